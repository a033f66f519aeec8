"""Schedules of inverse temperatures β for annealing: 0 is a base whose sum is known, 1 is the model.

A schedule is an increasing sequence of floats from exactly 0 to exactly 1; its number of temperatures is its number of
steps, so that ``[0, 1]`` has one. Everywhere that takes ``betas``, an integer n means `salakhutdinov_betas` of n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lamina.core.checks import check_number
from lamina.core.errors import SettingError

PAPER_TEMPERATURES = 14_500

Betas = int | Sequence[float] | np.ndarray | None


def salakhutdinov_betas(n: int = PAPER_TEMPERATURES) -> list[float]:
    """``n`` + 1 values from 0 to 1, dense where a trained machine needs it (Salakhutdinov, Murray 2008).

    1/29 of the steps lie in [0, 0.5], 8/29 in [0.5, 0.9] and 20/29 in [0.9, 1]: with n = 14,500 steps of 0.001, 0.0001
    and 0.00001, the paper's own.
    """
    check_number("number of temperatures", n, low=1, integer=True)
    grid = np.interp(np.linspace(0.0, 1.0, int(n) + 1), [0.0, 1 / 29, 9 / 29, 1.0], [0.0, 0.5, 0.9, 1.0])
    return [float(beta) for beta in grid]


def as_betas(betas: Betas) -> list[float]:
    """A checked schedule from a number of temperatures, a sequence, or None (the paper's 14,500).

    Raises `SettingError` unless the values are numbers, begin at 0, end at 1 and increase at each step.
    """
    if betas is None:
        return salakhutdinov_betas()
    if isinstance(betas, (int, np.integer)) and not isinstance(betas, bool):
        return salakhutdinov_betas(int(betas))
    if isinstance(betas, (str, bool)) or not isinstance(betas, Iterable):
        raise SettingError(f"betas is {betas!r}; expected a number of temperatures or a sequence from 0 to 1")
    try:
        values = [float(beta) for beta in betas]
    except (TypeError, ValueError):
        raise SettingError(
            "betas hold something that is no number; expected a sequence of floats from 0 to 1"
        ) from None
    if len(values) < 2 or values[0] != 0.0 or values[-1] != 1.0:
        shown = f"{len(values)} value(s) from {values[0]:g} to {values[-1]:g}" if values else "no value"
        raise SettingError(f"betas have {shown}; expected at least two, from 0 (the base) to 1 (the model)")
    for k in range(1, len(values)):
        if not values[k] > values[k - 1]:  # also where either is NaN
            raise SettingError(
                f"betas go from {values[k - 1]:g} to {values[k]:g} at place {k}; expected each larger than the last"
            )
    return values
