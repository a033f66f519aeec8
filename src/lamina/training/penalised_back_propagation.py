"""Back-propagation with weighted rows and a penalty of weights that is divided by a batch's weight.

The cost of a batch B of rows with weights s_r (1 unless given) is (docs/mathematics.md, eq. 238)

    C_B = (Σ_{r∈B} s_r ℓ(z_r, y_r) + α/2 Σ_k ‖W_k‖²) / Σ_{r∈B} s_r,

so that α counts against the sum over rows: the same α holds back less where there are more rows. Losses, with z the
outputs before any link:

======================= ============================================= ==================
loss                    ℓ(z, y)                                       mean given z
======================= ============================================= ==================
"cross-entropy"         −log softmax(z)_y, y a class code             softmax(z)
"binary cross-entropy"  Σ_j log(1 + exp z_j) − y_j z_j                sigmoid(z)
"squared"               ½ Σ_j (z_j − y_j)²                            z
"poisson"               Σ_j y_j (log y_j − z_j) − y_j + exp z_j       exp(z)
======================= ============================================= ==================

The slopes ∂ℓ/∂z are mean − y in all of them. Plain perceptrons get their gradients from
`lamina.training.perceptron_gradients`, all others from autograd. The penalty and these conventions are those of
scikit-learn's perceptrons, whose faces `lamina.estimators.MLPClassifier` and `MLPRegressor` are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError, nearest_names
from lamina.core.random import Random
from lamina.training.perceptron_gradients import PlainGradients, is_plain
from lamina.training.rules import GradientRule, ObjectiveRule, Rule, Setting
from lamina.training.sources import Batch


def _cross_entropy(z: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    log_p, codes = torch.log_softmax(z, 1), y[:, None]
    delta = log_p.detach().exp().scatter_(1, codes, -1.0, reduce="add")
    if weights is None:
        return functional.nll_loss(log_p, y, reduction="sum"), delta
    return -torch.dot(log_p.gather(1, codes)[:, 0], weights), delta


def _binary_cross_entropy(z: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    return _summed(functional.softplus(z) - y * z, weights), torch.sigmoid(z.detach()).sub_(y)


def _squared(z: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    difference = z - y
    return _summed(difference.square(), weights) / 2, difference.detach()


def _poisson(z: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    mean = z.exp()
    return _summed(torch.xlogy(y, y) - y * z - y + mean, weights), mean.detach() - y


def _summed(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.sum() if weights is None else torch.dot(values.sum(1), weights)


# name: (outputs (n, n_out), targets, row weights) → Σ s_r ℓ_r, differentiable, and the slopes ∂ℓ_r/∂z_r (n, n_out)
LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]] = {
    "cross-entropy": _cross_entropy,
    "binary cross-entropy": _binary_cross_entropy,
    "squared": _squared,
    "poisson": _poisson,
}


class _Weighted(Rule):
    """What the rule and the objective share: the loss, and checks of the data."""

    def __init__(self, loss: str = "cross-entropy") -> None:
        if loss not in LOSSES:
            raise SettingError(f"loss is {loss!r}; {nearest_names(loss, list(LOSSES))}")
        self.loss = loss

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if len(values) not in (2, 3):
            raise DataError(f"the data are {len(values)} array(s); expected rows, targets and, if need be, row weights")
        codes = self.loss == "cross-entropy"
        if codes == values[1].is_floating_point() or (not codes and values[1].dim() != 2):
            wanted = "class codes (n,)" if codes else "targets (n, n_out) of floats"
            raise DataError(
                f"targets have shape {tuple(values[1].shape)} and type {values[1].dtype}; loss {self.loss!r} expects "
                f"{wanted}"
            )
        if len(values) == 3 and bool((values[2] < 0).any()):
            raise DataError("some row weights are below 0; expected weights of at least 0")

    def describe(self) -> dict:
        return {"rule": type(self).__name__, "loss": self.loss}


class PenalisedBackPropagation(_Weighted, GradientRule):
    """Descends C_B batch by batch; data are (rows, targets) or (rows, targets, row weights (n,)).

    A batch whose rows all weigh nothing teaches nothing. The measure "training loss" is the mean of C_B over rows,
    for "squared" the part of it that comes from the weights stands apart as "penalty" too.
    """

    def __init__(self, loss: str = "cross-entropy", *, alpha: float = 0.0) -> None:
        super().__init__(loss)
        check_number("alpha", alpha, low=0.0)
        self.alpha = float(alpha)

    def describe(self) -> dict:
        return super().describe() | {"alpha": self.alpha}

    def start(self, model: nn.Module, setting: Setting) -> None:
        self.world = setting.world
        self.learnt = self.parameters(model)
        self.weights = [p for p in self.learnt if p.dim() >= 2]
        self.plain = PlainGradients(model) if is_plain(model) else None  # type: ignore[arg-type]  # an MLP then

    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        x, y = batch.values[:2]
        weights = batch.values[2] if len(batch.values) == 3 else None
        total = self._total(batch, weights)
        scale = 1 / total if total > 0 else 0.0
        decay = self.alpha * scale / self.world.size
        if self.plain is not None:
            with torch.no_grad():
                values = self.plain.values(x)
                cost, delta = self._slopes(values[-1], y, weights, scale)
                self.plain.gradients(values, delta, decay)
                return self._measures(cost, scale * batch.total)
        outputs = model(x, random.at(step, batch.rows), track=True)
        with torch.no_grad():
            cost, delta = self._slopes(outputs, y, weights, scale)
            self._autograd(outputs, delta, decay)
            return self._measures(cost, scale * batch.total)

    def _total(self, batch: Batch, weights: Tensor | None) -> float:
        """The weight of the batch's rows over all processes."""
        if weights is None:
            return float(batch.total)
        total = weights.sum()
        self.world.sum_([total])
        return float(total)

    def _slopes(self, outputs: Tensor, y: Tensor, weights: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
        """Σ s_r ℓ_r over this process's rows, and ``scale`` · s_r ∂ℓ_r/∂z_r."""
        cost, delta = LOSSES[self.loss](outputs, y, weights)
        return cost, delta.mul_(scale if weights is None else weights[:, None] * scale)

    def _autograd(self, outputs: Tensor, delta: Tensor, decay: float) -> None:
        found = torch.autograd.grad(outputs, self.learnt, delta)
        for parameter, gradient in zip(self.learnt, found, strict=True):
            parameter.grad.copy_(gradient)  # type: ignore[union-attr]  # the loop made it
        for weights in self.weights if decay else ():
            weights.grad.add_(weights, alpha=decay)  # type: ignore[union-attr]

    def _measures(self, cost: Tensor, share: float) -> dict[str, Tensor]:
        """Sums over rows: of the cost, and of its part that comes from the weights."""
        if not self.alpha:
            return {"training loss": cost.mul_(share)}
        squares = torch.dot(self.weights[0].view(-1), self.weights[0].view(-1))
        for W in self.weights[1:]:
            squares += torch.dot(W.view(-1), W.view(-1))
        penalty = squares.mul_(self.alpha / 2 / self.world.size)
        if self.loss == "squared":
            return {"training loss": cost.add_(penalty).mul_(share), "penalty": penalty.mul_(share)}
        return {"training loss": cost.add_(penalty).mul_(share)}

    def as_objective(self) -> WeightedObjective:
        """The loss over all rows, for L-BFGS; the penalty is then `fit`'s: ``weight_decay`` = α / Σ s_r."""
        return WeightedObjective(self.loss)


class WeightedObjective(_Weighted, ObjectiveRule):
    """Σ_r s_r ℓ_r / number of rows, without dropout; data as for `PenalisedBackPropagation`.

    Weights of mean 1 make it the weighted mean. `fit` adds its ``weight_decay``.
    """

    def objective(self, model: Any, batch: Batch) -> Tensor:
        x, y = batch.values[:2]
        weights = batch.values[2] if len(batch.values) == 3 else None
        return LOSSES[self.loss](model(x), y, weights)[0] / batch.total
