"""Schedules: a number that changes with the epochs (learning rate, momentum)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from lamina.core.errors import SettingError


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


def as_schedule(value: float | Schedule) -> Schedule:
    """A constant as a schedule; a schedule as it is."""
    return value if isinstance(value, Schedule) else Schedule(((0.0, float(value)),))


def warm_momentum(epochs: int, first: float = 0.5, last: float = 0.9, switch: int = 5) -> Schedule:
    """Momentum 0.5, then 0.9 once the large initial gradients are over (Hinton 2010, section 9)."""
    return Schedule(((0.0, first), (float(min(switch, epochs / 2)), last)))
