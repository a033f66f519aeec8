"""Learning a counter-propagation network: the winner moves towards the row, and its answer towards the row's target.

    w_c ← w_c + η (x − w_c)  (Kohonen),    v_c ← v_c + η κ (y − v_c)  (Grossberg's outstar)                 (eq. 227)

The outstar ends with the mean target of the rows that its unit wins: of 0 and 1 for classes, their shares. It may learn
faster (``outstar_rate`` κ > 1) than the prototypes, which must settle first; η κ beyond 1 overshoots.

`OutstarMeans` sets every answer to that mean at once, from sums over a pass: the outstar rule's limit. Units that win
nothing keep their answer.

Data: (x, y), rows (n, n_visible) and targets (n, n_out). Measures: "quantisation error", "dead units", "squared error"
(mean over outputs, of the answers before the step).

Source: R. Hecht-Nielsen (1987), Counterpropagation networks, Applied Optics 26.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.maps.counter_propagation import CounterPropagation
from lamina.training.competitive import CompetitiveLearning
from lamina.training.rules import Rule, Setting, StatisticsRule
from lamina.training.self_organising import pulled_apart
from lamina.training.sources import Batch


class CounterPropagationLearning(CompetitiveLearning):
    """Both layers at once, on a `CounterPropagation`; ``against_dead`` as in `CompetitiveLearning`."""

    watched = "validation squared error"

    def __init__(
        self, against_dead: str | None = "conscience", *, conscience: float = 1.0, outstar_rate: float = 1.0
    ) -> None:
        super().__init__(against_dead, conscience=conscience)
        check_number("outstar_rate", outstar_rate, low=0.0)
        self.outstar_rate = float(outstar_rate)

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [model.weights, model.outstar]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        _check(self, model, values)

    def squared_distances(self, model: Any, batch: Batch) -> Tensor:
        if not model.full:
            return super().squared_distances(model, batch)
        x, y = batch.values
        squared = (x**2).sum(1) + model.balance * (y**2).sum(1)
        return (squared.unsqueeze(1) - 2 * model.joint_nearness(x, y)).clamp_min_(0)

    def move(self, model: Any, batch: Batch, won: Tensor) -> None:
        super().move(model, batch, won)
        change = pulled_apart(model.outstar, batch.values[1], won, self.world)
        model.outstar.grad.copy_(change.mul_(self.outstar_rate))

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        measures = dict(super().gradients(model, batch, step, random))
        if len(batch.values[0]):
            x, y = batch.values
            measures["squared error"] = ((model.outstar[model.nearness(x).argmax(1)] - y) ** 2).mean(1).sum()
        return measures

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Squared error (mean over outputs) of validation and of training rows, beside the quantisation errors."""
        means = [float(((model(x) - y) ** 2).mean()) for x, y in (values, train)]
        more = {"validation squared error": means[0], "training squared error": means[1]}
        return super().validate(model, values, train) | more

    def describe(self) -> dict:
        return super().describe() | {"outstar_rate": self.outstar_rate}


class OutstarMeans(StatisticsRule):
    """v_c ← the mean target of the rows that unit c wins by ‖x − w_c‖; prototypes stay. One pass is enough."""

    def start(self, model: Any, setting: Setting) -> None:
        self.totals = torch.zeros_like(model.outstar, requires_grad=False)
        self.counts = self.totals.new_zeros(model.n_units)

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [model.outstar]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        _check(self, model, values)

    def zero(self) -> list[Tensor]:
        return [self.totals.zero_(), self.counts.zero_()]

    def accumulate(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        x, y = batch.values
        if not len(x):
            return {}
        winners = model.nearness(x).argmax(1)
        self.totals.index_add_(0, winners, y)
        self.counts += torch.bincount(winners, minlength=model.n_units)
        return {"squared error": ((model.outstar[winners] - y) ** 2).mean(1).sum()}

    @torch.no_grad()
    def maximise(self, model: Any) -> None:
        means = self.totals / self.counts.clamp_min(1).unsqueeze(1)
        model.outstar.copy_(torch.where((self.counts > 0).unsqueeze(1), means, model.outstar))


def _check(rule: Rule, model: Any, values: tuple[Tensor, ...]) -> None:
    name = type(rule).__name__
    if not isinstance(model, CounterPropagation):
        raise SettingError(f"{name} learns a CounterPropagation network; {type(model).__name__} given")
    if len(values) != 2:
        raise DataError(f"{len(values)} arrays given; expected two, rows and their targets: (x, y)")
    model.check_rows(values[0])
    if values[1].dim() != 2 or values[1].shape[1] != model.n_out:
        raise DataError(
            f"the targets have shape {tuple(values[1].shape)}; expected (rows, {model.n_out}): classes as 0 and 1, one "
            f"column per class"
        )
