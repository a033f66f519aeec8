"""Improvement: when a measure that should fall has stopped falling.

An epoch is stale when its value is not below the lowest of all epochs before it less ``tolerance`` (scikit-learn's
rule). Both functions look at the values of a whole run, so that a resumed run finds what an unbroken one would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def stale_epochs(values: Sequence[float], tolerance: float = 0.0) -> int:
    """How many of the latest epochs in a row are stale."""
    lowest, stale = math.inf, 0
    for value in values:
        stale = 0 if value < lowest - tolerance else stale + 1
        lowest = min(lowest, value)
    return stale


def stale_runs(values: Sequence[float], patience: int, tolerance: float = 0.0) -> int:
    """How often ``patience`` epochs in a row were stale; counting begins anew after each time."""
    lowest, stale, runs = math.inf, 0, 0
    for value in values:
        stale = 0 if value < lowest - tolerance else stale + 1
        lowest = min(lowest, value)
        if stale == patience:
            stale, runs = 0, runs + 1
    return runs
