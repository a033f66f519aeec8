"""Virtual adversarial training (Miyato, Maeda, Koyama, Ishii 2018): labels for a few rows, smoothness for all.

The loss of a step is

    cross-entropy(labelled rows) + KL(p(·|x) ‖ p(·|x + r)) + λ H(p(·|x))                 (docs/mathematics.md, eq. 12)

over a batch of labelled rows and one of any rows x. r is the direction of length ε in which the output changes most,
found by one power iteration from a random direction: no label is needed to ask that a network's answer not change
under it. The entropy term (Grandvalet & Bengio 2005) moves the boundary between classes to where rows are few.

Cost: about four times a supervised step on as many rows. Known failure: where the clusters of the data are not the
classes, it sharpens the wrong boundary, so `lamina learn` chooses it on the labelled rows only where it helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.random import Random
from lamina.training.back_propagation import BackPropagation
from lamina.training.rules import Setting
from lamina.training.sources import Batch


class VirtualAdversarial(BackPropagation):
    """Data are rows without labels (n, features); the labelled rows ``X`` (m, features), ``y`` (m,) codes belong to the
    rule and are drawn with replacement, ``labelled_batch`` at a step.

    ``radius`` is ε, in the Euclidean norm of a row; ``probe`` the length of the first random direction; ``entropy``
    is λ.
    """

    def __init__(
        self,
        X: Tensor,
        y: Tensor,
        *,
        radius: float = 2.0,
        probe: float = 0.1,
        entropy: float = 1.0,
        labelled_batch: int = 100,
    ) -> None:
        super().__init__("cross-entropy")
        check_number("radius", radius, low=1e-9)
        check_number("probe", probe, low=1e-9)
        check_number("entropy", entropy, low=0.0)
        check_number("labelled_batch", labelled_batch, low=1, integer=True)
        self.X, self.y = X, y
        self.radius, self.probe, self.entropy = radius, probe, entropy
        self.labelled_batch = min(int(labelled_batch), len(X))

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        super().check(model, (self.X.to(values[0]), self.y.to(values[0].device)))

    def start(self, model: nn.Module, setting: Setting) -> None:
        super().start(model, setting)
        self.X = self.X.to(setting.device, setting.dtype)
        self.y = self.y.to(setting.device)
        self.world = setting.world
        self.labelled_random = setting.random.child("labelled rows")

    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        x = batch.values[0]
        drawn = self._labelled_rows(step)
        supervised = functional.cross_entropy(
            model(self.X[drawn], self.labelled_random), self.y[drawn], reduction="sum"
        )
        random.at(step, batch.rows)
        logits = model(x, random, track=True)
        fixed = functional.log_softmax(logits.detach(), 1)
        towards = self._adversarial_direction(model, x, fixed, random)
        smoothness = _kl(fixed, functional.log_softmax(model(x + towards, random), 1))
        entropy = _entropy(logits)
        loss = supervised / self.labelled_batch + (smoothness + self.entropy * entropy) / batch.total
        parameters = self.parameters(model)
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad.copy_(gradient)
        share = len(x) / max(1, len(drawn))
        return {
            "training loss": supervised.detach() * share,
            "smoothness": smoothness.detach(),
            "entropy": entropy.detach(),
        }

    def _labelled_rows(self, step: int) -> Tensor:
        """This process's part of the labelled rows drawn at ``step``."""
        generator = self.labelled_random.at(step).numpy()
        drawn = torch.from_numpy(generator.integers(len(self.X), size=self.labelled_batch))
        mine = self.world.slice(self.labelled_batch)
        places = torch.arange(mine.start, mine.stop, device=self.X.device)
        self.labelled_random.at(step, places)
        return drawn[mine].to(self.X.device)

    def _adversarial_direction(self, model: Any, x: Tensor, fixed: Tensor, random: Random) -> Tensor:
        """r (n, features) of length ε: the gradient of the divergence at a small random step, one power iteration."""
        direction = _of_length(random.normal(x.shape, x.dtype, x.device), self.probe).requires_grad_()
        divergence = _kl(fixed, functional.log_softmax(model(x + direction, random), 1))
        (gradient,) = torch.autograd.grad(divergence, direction)
        return _of_length(gradient, self.radius)

    def health(self, model: Any, values: tuple[Tensor, ...]) -> dict[str, list[float]]:
        return super().health(model, (self.X.to(values[0]), self.y.to(values[0].device)))

    def describe(self) -> dict:
        return {
            "rule": "VirtualAdversarial",
            "radius": self.radius,
            "probe": self.probe,
            "entropy": self.entropy,
            "labelled_batch": self.labelled_batch,
            "labelled_rows": len(self.X),
        }


def _of_length(x: Tensor, length: float) -> Tensor:
    return x * (length / x.norm(dim=1, keepdim=True).clamp(min=1e-12))


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Σ over rows of KL(p ‖ q) for log-probabilities (n, classes)."""
    return (log_p.exp() * (log_p - log_q)).sum()


def _entropy(logits: Tensor) -> Tensor:
    """Σ over rows of the entropy of softmax(logits), in nats."""
    log_p = functional.log_softmax(logits, 1)
    return -(log_p.exp() * log_p).sum()
