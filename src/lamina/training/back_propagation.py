"""Back-propagation: the gradient of a loss through a network, by autograd.

`BackPropagation` is the gradient rule (batch by batch); `FullBackPropagation` the same losses as an objective over all
rows, for L-BFGS: the right way for a convex head on fixed features, and for small data.

Any network is trained that gives outputs before the softmax as ``network(x, random, track)`` and lists its learnable
tensors as ``layer_parameters()``; `lamina.training.losses` holds the losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.training.health import layer_health
from lamina.training.loss_rule import LossRule
from lamina.training.losses import Loss
from lamina.training.rules import ObjectiveRule, Setting
from lamina.training.sources import Batch

CHUNK = 4096  # rows that go through the network at once where nothing is learnt


class _OfLoss:
    """What the batch rule and the full objective share: a loss of (inputs, targets) or (inputs, targets, weights).

    A network may take several arrays per row: ``network.n_inputs`` counts them (rows and their lengths, say: 2), and it
    is called with a tuple of them.
    """

    def __init__(self, loss: str, frozen: int, class_weight: Sequence[float] | None) -> None:
        check_number("frozen", frozen, low=0, integer=True)
        self.losses, self.loss_name, self.frozen = Loss(loss, class_weight), loss, int(frozen)

    def parameters(self, model: Any) -> list[nn.Parameter]:
        """The tensors of the layers above the frozen ones: all weights, then all biases."""
        if hasattr(model, "layer_parameters"):
            learnt = [p for layer in model.layer_parameters()[self.frozen :] for p in layer]
        else:
            learnt = [p for p in model.parameters() if p.requires_grad]
        return [p for p in learnt if p.dim() >= 2] + [p for p in learnt if p.dim() < 2]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        n_inputs = getattr(model, "n_inputs", 1)
        if len(values) not in (n_inputs + 1, n_inputs + 2):
            raise DataError(
                f"the data are {len(values)} array(s); expected {n_inputs} of inputs, one of targets and, if rows are "
                f"weighed, one of weights: fit(network, (X, y), ...)"
            )
        self._check_frozen(model)
        x, y, weights = parts(model, values)
        with torch.no_grad():
            self.losses.check(model(tuple(v[:1] for v in x) if isinstance(x, tuple) else x[:1]), y, weights)

    def _check_frozen(self, model: Any) -> None:
        if not self.frozen:
            return
        if not hasattr(model, "layer_parameters"):
            raise SettingError(f"a {type(model).__name__} does not list its layers: none can be frozen (frozen=0)")
        n_layers = len(model.layer_parameters())
        if self.frozen >= n_layers:
            raise SettingError(f"frozen is {self.frozen}; expected fewer than the network's {n_layers} layers")

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        y, weights = parts(model, values)[1:]
        outputs = outputs_of(model, values)
        measures = {"validation loss": float(self.losses.sum(outputs, y, weights)) / len(y)}
        wrong = self.losses.wrong(outputs, y)
        if wrong is not None:
            measures["validation error"] = float(wrong) / len(y)
        return measures

    def health(self, model: Any, values: tuple[Tensor, ...]) -> dict[str, list[float]]:
        return layer_health(model, values, self.losses.sum)

    def describe(self) -> dict:
        return {"rule": type(self).__name__, **self.losses.describe(), "frozen": self.frozen}


class BackPropagation(_OfLoss, LossRule):
    """Mean loss over the rows of a batch; data are (inputs, targets) or (inputs, targets, row weights (n,)).

    ``loss`` is one of `lamina.training.losses.NAMES`. ``frozen`` is the number of lowest layers whose weights stay as
    they are, bit for bit. ``augment`` changes the inputs of every batch that is learnt from, anew at each step (an
    `ElasticDistortion` say): anything with ``apply(x, random) -> x`` and ``describe()``. ``class_weight`` (one number
    per class) multiplies the cross-entropy of the rows of a class.
    """

    watched = "validation loss"

    def __init__(
        self,
        loss: str = "cross-entropy",
        *,
        frozen: int = 0,
        augment: Any = None,
        class_weight: Sequence[float] | None = None,
    ) -> None:
        super().__init__(loss, frozen, class_weight)
        if augment is not None and not (hasattr(augment, "apply") and hasattr(augment, "describe")):
            raise SettingError(f"augment is {augment!r}; expected something with apply(x, random) and describe()")
        self.augment = augment

    def start(self, model: nn.Module, setting: Setting) -> None:
        if getattr(model, "normalise", False) and setting.world.size > 1:
            raise SettingError(
                "batch normalisation takes its statistics from one process's rows; expected one process, or a network "
                "without it (normalise=False)"
            )

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        x, y, weights = parts(model, batch.values)
        if self.augment is not None:
            x = self.augment.apply(x, random)
        outputs = model(x, random, track=True)
        total = self.losses.sum(outputs, y, weights)
        measures = {"training loss": total}
        wrong = self.losses.wrong(outputs, y)
        return total, measures if wrong is None else measures | {"training error": wrong}

    def as_objective(self) -> FullBackPropagation:
        """The same loss over all rows, for L-BFGS: without dropout, so `SettingError` where rows are augmented."""
        if self.augment is not None:
            raise SettingError("an objective over all rows is one function, but augment changes the rows at each step")
        return FullBackPropagation(self.loss_name, frozen=self.frozen, class_weight=self.losses.class_weight)

    def describe(self) -> dict:
        described = super().describe()
        return described if self.augment is None else described | {"augment": self.augment.describe()}


class FullBackPropagation(_OfLoss, ObjectiveRule):
    """The mean loss over all rows, without dropout, as an objective for L-BFGS; data as for `BackPropagation`."""

    watched = "validation loss"

    def __init__(
        self, loss: str = "cross-entropy", *, frozen: int = 0, class_weight: Sequence[float] | None = None
    ) -> None:
        super().__init__(loss, frozen, class_weight)

    def objective(self, model: Any, batch: Batch) -> Tensor:
        x, y, weights = parts(model, batch.values)
        return self.losses.sum(model(x), y, weights) / batch.total


def parts(model: Any, values: tuple[Tensor, ...]) -> tuple[Any, Tensor, Tensor | None]:
    """What ``network(...)`` takes (one array, or a tuple of ``n_inputs``), targets, and row weights or None."""
    n = getattr(model, "n_inputs", 1)
    inputs = values[0] if n == 1 else values[:n]
    return inputs, values[n], values[n + 1] if len(values) > n + 1 else None


@torch.no_grad()
def outputs_of(model: Any, values: tuple[Tensor, ...]) -> Tensor:
    """Outputs for all rows of ``values`` (as `parts` reads them), a chunk of rows at a time."""
    x = parts(model, values)[0]
    if isinstance(x, tuple):
        chunks = zip(*(array.split(CHUNK) for array in x), strict=True)
        return torch.cat([model(chunk) for chunk in chunks])
    return torch.cat([model(chunk) for chunk in x.split(CHUNK)])
