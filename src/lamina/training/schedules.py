"""Schedules: a number that changes with the epochs (learning rate, momentum).

================== ==============================================================================================
`Schedule`         points, with steps or straight lines between them
`exponential`      v · factor^epoch
`step`             v · factor^⌊epoch / every⌋
`cosine`           from v down to ``last`` along half a cosine
`inverse_scaling`  v / (⌊epoch⌋ · per_epoch + 1)^power
`warm_up`          any of these after a straight rise from a share of its value
`plateau`          v · factor^cuts, a cut wherever a measure has stopped falling: the one that looks at what is learnt
================== ==============================================================================================

Epochs count from 0 and are fractions: the loop asks at each step. A schedule holds no state: `plateau` finds its cuts
in the history of the run, which every checkpoint holds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.training.history import History
from lamina.training.improvement import stale_runs


@dataclass(frozen=True)
class Schedule:
    """Values at epochs, e.g. ``Schedule(((0, 0.5), (5, 0.9)))``: 0.5 before epoch 5, 0.9 from then on.

    ``linear=True`` interpolates between the points instead. Epochs count from 0 and may be fractions: the loop asks at
    each step. Before the first and after the last point the value stays.
    """

    points: Sequence[tuple[float, float]]
    linear: bool = False

    def __post_init__(self) -> None:
        epochs = [epoch for epoch, _ in self.points]
        if not epochs or epochs != sorted(epochs):
            raise SettingError(f"schedule points are {self.points}; expected (epoch, value) pairs in order of epoch")

    def __call__(self, epoch: float) -> float:
        epochs = [e for e, _ in self.points]
        k = bisect_right(epochs, epoch) - 1
        if k < 0:
            return self.points[0][1]
        start, value = self.points[k]
        if not self.linear or k + 1 == len(self.points):
            return value
        end, target = self.points[k + 1]
        return value + (target - value) * (epoch - start) / (end - start)

    def given(self, history: History, watched: str) -> Schedule:
        """The schedule of the epoch after ``history``; ``watched`` is the measure that early stopping watches."""
        return self

    def exhausted(self, history: History, watched: str) -> str | None:
        """Why training should end before another epoch, or None."""
        return None

    def describe(self) -> dict[str, Any]:
        """Settings, for records and for telling whether a checkpoint belongs to this run."""
        return dict(vars(self))


@dataclass(frozen=True)
class Formula(Schedule):
    """A named formula of `FORMULAS` with its values; made by `exponential`, `cosine`, ..."""

    points: Sequence[tuple[float, float]] = ()
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in FORMULAS:
            raise SettingError(f"schedule is {self.name!r}; expected one of {', '.join(FORMULAS)}")

    def __call__(self, epoch: float) -> float:
        return FORMULAS[self.name](epoch, **self.values)

    def describe(self) -> dict[str, Any]:
        values = {k: v.describe() if isinstance(v, Schedule) else v for k, v in self.values.items()}
        return {"schedule": self.name, **values}


@dataclass(frozen=True)
class Plateau(Schedule):
    """Made by `plateau`; a constant within each epoch."""

    points: Sequence[tuple[float, float]] = ()
    first: float = 0.1
    factor: float = 0.2
    patience: int = 2
    tolerance: float = 1e-4
    lowest: float = 1e-6
    measure: str | None = None

    def __post_init__(self) -> None:
        check_number("first", self.first, low=0.0)
        check_number("factor", self.factor, low=1e-12, high=1.0)
        check_number("patience", self.patience, low=1, integer=True)
        check_number("tolerance", self.tolerance, low=0.0)
        check_number("lowest", self.lowest, low=0.0)

    def __call__(self, epoch: float) -> float:
        return self.first

    def _cuts(self, history: History, watched: str) -> int:
        if not len(history):
            return 0
        measure = self.measure or _watched_or_its_twin(history, watched)
        values = [value for value in history[measure] if value is not None]
        if not values:
            raise SettingError(
                f"the plateau watches {measure!r}, which the rule does not measure; expected one of "
                f"{', '.join(history.names)}: pass measure="
            )
        return stale_runs(values, self.patience, self.tolerance)

    def given(self, history: History, watched: str) -> Schedule:
        return Schedule(((0.0, self.first * self.factor ** self._cuts(history, watched)),))

    def exhausted(self, history: History, watched: str) -> str | None:
        cuts = self._cuts(history, watched)
        if not cuts or self.first * self.factor ** (cuts - 1) > self.lowest:
            return None
        return f"no improvement at the lowest learning rate, {self.first * self.factor ** (cuts - 1):.3g}"


def _watched_or_its_twin(history: History, watched: str) -> str:
    """The watched measure; where it was not taken for want of validation data, the same of the training data."""
    return watched if watched in history.names else watched.replace("validation", "training")


FORMULAS: dict[str, Callable[..., float]] = {
    "exponential": lambda epoch, value, factor: value * factor**epoch,
    "step": lambda epoch, value, factor, every: value * factor ** math.floor(epoch / every),
    "cosine": lambda epoch, value, last, epochs: (
        last + (value - last) * (1 + math.cos(math.pi * min(1.0, epoch / epochs))) / 2
    ),
    "inverse scaling": lambda epoch, value, power, per_epoch: value / (math.floor(epoch) * per_epoch + 1) ** power,
    "warm-up": lambda epoch, then, epochs, share: then(epoch) * min(1.0, share + (1 - share) * epoch / epochs),
}


def exponential(value: float, factor: float) -> Schedule:
    """value · factor^epoch: smooth within epochs."""
    check_number("value", value)
    check_number("factor", factor, low=1e-12)
    return Formula(name="exponential", values={"value": float(value), "factor": float(factor)})


def step(value: float, factor: float, every: float) -> Schedule:
    """value · factor^⌊epoch / every⌋."""
    check_number("value", value)
    check_number("factor", factor, low=1e-12)
    check_number("every", every, low=1e-9)
    return Formula(name="step", values={"value": float(value), "factor": float(factor), "every": float(every)})


def cosine(value: float, epochs: float, last: float = 0.0) -> Schedule:
    """last + (value − last)(1 + cos(π epoch/epochs))/2 up to ``epochs``, then ``last`` (Loshchilov & Hutter 2017)."""
    check_number("value", value)
    check_number("epochs", epochs, low=1e-9)
    check_number("last", last)
    return Formula(name="cosine", values={"value": float(value), "last": float(last), "epochs": float(epochs)})


def inverse_scaling(value: float, power: float = 0.5, per_epoch: float = 1.0) -> Schedule:
    """value / (⌊epoch⌋ · per_epoch + 1)^power.

    With ``per_epoch`` the number of training rows this is scikit-learn's "invscaling", which counts rows.
    """
    check_number("value", value)
    check_number("power", power, low=0.0)
    check_number("per_epoch", per_epoch, low=0.0)
    values = {"value": float(value), "power": float(power), "per_epoch": float(per_epoch)}
    return Formula(name="inverse scaling", values=values)


def warm_up(then: float | Schedule, epochs: float, share: float = 0.1) -> Schedule:
    """``then`` times a factor that rises in a straight line from ``share`` to 1 over the first ``epochs``."""
    check_number("epochs", epochs, low=1e-9)
    check_number("share", share, low=0.0, high=1.0)
    if isinstance(then, Plateau):
        raise SettingError("warm_up cannot precede a plateau, which is no formula of epochs; expected another schedule")
    return Formula(name="warm-up", values={"then": as_schedule(then), "epochs": float(epochs), "share": float(share)})


def plateau(
    value: float,
    factor: float = 0.2,
    *,
    patience: int = 2,
    tolerance: float = 1e-4,
    lowest: float = 1e-6,
    measure: str | None = None,
) -> Schedule:
    """value · factor^cuts: one cut after each ``patience`` epochs in a row without a fall by ``tolerance``.

    An epoch counts as such when its measure is not below the lowest so far less ``tolerance`` (scikit-learn's
    "adaptive", which divides by 5). Once a cut is due and the rate is at most ``lowest``, training ends. ``measure`` is
    by default what early stopping watches ("validation loss"), or the same of the training data without validation
    data. For learning rates of gradient rules; `SettingError` where nothing of that name is measured.
    """
    return Plateau(first=value, factor=factor, patience=patience, tolerance=tolerance, lowest=lowest, measure=measure)


def as_schedule(value: float | Schedule) -> Schedule:
    """A constant as a schedule; a schedule as it is."""
    return value if isinstance(value, Schedule) else Schedule(((0.0, float(value)),))


def warm_momentum(epochs: int, first: float = 0.5, last: float = 0.9, switch: int = 5) -> Schedule:
    """Momentum 0.5, then 0.9 once the large initial gradients are over (Hinton 2010, section 9)."""
    return Schedule(((0.0, first), (float(min(switch, epochs / 2)), last)))
