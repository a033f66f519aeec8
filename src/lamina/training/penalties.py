"""Penalties: what is asked of weights or of hidden activity beside likelihood. (L2 is `fit`'s ``weight_decay``.)

=================== ============ =========================================================================
`L1`                weights      cost · Σ |w|
`MaxNorm`           weights      a unit's incoming weights are no longer than a limit (a projection)
`MaxGradientNorm`   gradients    the gradient of all parameters together is no longer than a limit
`SparsityTarget`    activity     cost · Σ_j (target − mean over rows of E[h_j | v])²
`SparseGroup`       activity     mean over rows of Σ_groups cost · ‖E[h_group | v]‖₂ + cost₁ · Σ_j |E[h_j | v]|
=================== ============ =========================================================================

Penalties of weights are handed to `fit`, which applies them to every parameter with two or more dimensions (biases are
spared; `MaxGradientNorm` sees all). Penalties of activity are handed to a rule, since they need its hidden means: they
give their slope with respect to the hidden units' fields, ∂penalty/∂f (rows, n_hidden), which the rule folds into the
product that makes ∂/∂W.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.training.distributed import World
from lamina.units import Family


class WeightPenalty:
    """A penalty of weights: adds to their gradients before a step, or corrects them after it."""

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the penalty's gradient to ``.grad``."""

    def correct(self, parameters: Iterable[nn.Parameter]) -> None:
        """Change the parameters after a step."""

    def describe(self) -> dict:
        """Settings, for records and checkpoints."""
        return {"penalty": type(self).__name__, **vars(self)}


class L1(WeightPenalty):
    """cost · Σ |w|: drives small weights to zero (up to the step's own size, since this is a subgradient)."""

    def __init__(self, cost: float) -> None:
        check_number("cost", cost, low=0.0)
        self.cost = float(cost)

    @torch.no_grad()
    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        for weights in _weights(parameters):
            weights.grad.add_(weights.sign(), alpha=self.cost)


class MaxNorm(WeightPenalty):
    """‖incoming weights of a unit‖₂ ≤ limit, by rescaling after each step (Srebro and Shraibman 2005; Srivastava 2014).

    Weights are (n_in, n_out): a column holds one unit's incoming weights. Of convolutional weights (n_filters,
    n_channels, ...) a filter counts as a unit.
    """

    def __init__(self, limit: float) -> None:
        check_number("limit", limit, low=1e-12)
        self.limit = float(limit)

    @torch.no_grad()
    def correct(self, parameters: Iterable[nn.Parameter]) -> None:
        for weights in _weights(parameters):
            inside = 0 if weights.dim() == 2 else tuple(range(1, weights.dim()))
            norms = weights.square().sum(inside, keepdim=True).sqrt()
            weights.mul_((self.limit / norms.clamp(min=1e-12)).clamp(max=1.0))


class MaxGradientNorm(WeightPenalty):
    """g ← g · min(1, limit / ‖g‖₂), ‖g‖ over all parameters together, biases too (Pascanu, Mikolov, Bengio 2013).

    What a recurrent network needs, whose gradient is now and then a thousand times longer than usual. Only the length
    changes, never the direction. `fit` clips the gradient of the whole batch, after its sum over processes; of several
    penalties those handed over before it are part of what is clipped. Weight decay, which the optimiser adds, is not.
    """

    def __init__(self, limit: float) -> None:
        check_number("limit", limit, low=1e-12)
        self.limit = float(limit)

    @torch.no_grad()
    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        torch._foreach_mul_(gradients, (self.limit / norm.clamp(min=1e-30)).clamp(max=1.0))


def _weights(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in parameters if p.dim() >= 2]


class ActivityPenalty(ABC):
    """A penalty of hidden activity, by its slope with respect to the hidden units' fields."""

    def check(self, hidden: Family) -> None:
        """Raise `SettingError` where the hidden units' means have no slope to follow."""
        hidden.slope_of_mean(torch.zeros(hidden.n))

    @abstractmethod
    def slopes(self, mean: Tensor, hidden: Family, total: int, world: World) -> tuple[Tensor | None, Tensor | None]:
        """Slope at the fields (rows, n_hidden), and a direct pull on the hidden biases (n_hidden,); None = none.

        ``mean`` (rows, n_hidden) is E[h | v] of this process's rows; a batch has ``total`` rows over all processes.
        """

    def describe(self) -> dict:
        """Settings, for records and checkpoints."""
        return {"penalty": type(self).__name__, **vars(self)}


class SparsityTarget(ActivityPenalty):
    """cost · Σ_j (target − q_j)², q_j the batch's mean of E[h_j | v] (Lee, Ekanadham, Ng 2008).

    ``biases_only`` adds the pull cost · (q_j − target) to the hidden biases' gradients and leaves the weights alone, as
    that paper found to be enough (see Hinton 2010, section 11, too); it is cheaper, and no gradient of any objective.
    """

    def __init__(self, target: float, cost: float, *, biases_only: bool = False) -> None:
        check_number("target", target, low=0.0, high=1.0)
        check_number("cost", cost, low=0.0)
        self.target, self.cost, self.biases_only = float(target), float(cost), bool(biases_only)

    def check(self, hidden: Family) -> None:
        if not self.biases_only:
            super().check(hidden)

    def slopes(self, mean: Tensor, hidden: Family, total: int, world: World) -> tuple[Tensor | None, Tensor | None]:
        if self.biases_only:
            return None, (mean.sum(0) / total - self.target * len(mean) / total) * self.cost
        activity = mean.sum(0) / total
        world.sum_([activity])
        return hidden.slope_of_mean(mean) * ((activity - self.target) * (2 * self.cost / total)), None


class SparseGroup(ActivityPenalty):
    """Mean over rows of Σ_g cost · ‖E[h_g | v]‖₂ + l1 · Σ_j |E[h_j | v]| (Luo et al. 2011).

    Hidden units g·size … (g+1)·size − 1 form group g. The norm of a group is pulled to zero as a whole: few groups
    answer a row, and with ``l1`` few units within them. Expects families whose means are at least zero.
    """

    def __init__(self, group_size: int, cost: float, *, l1: float = 0.0) -> None:
        check_number("group_size", group_size, low=1, integer=True)
        check_number("cost", cost, low=0.0)
        check_number("l1", l1, low=0.0)
        self.group_size, self.cost, self.l1 = int(group_size), float(cost), float(l1)

    def check(self, hidden: Family) -> None:
        super().check(hidden)
        if hidden.n % self.group_size:
            raise SettingError(
                f"group_size is {self.group_size} and the layer has {hidden.n} hidden units; expected a size that "
                f"divides their number"
            )

    def slopes(self, mean: Tensor, hidden: Family, total: int, world: World) -> tuple[Tensor | None, Tensor | None]:
        groups = mean.view(len(mean), -1, self.group_size)
        norm = groups.norm(dim=-1, keepdim=True).clamp_(min=1e-8)
        pull = (groups / norm).mul_(self.cost).add_(groups.sign(), alpha=self.l1).view_as(mean)
        return pull.mul_(hidden.slope_of_mean(mean)).div_(total), None
