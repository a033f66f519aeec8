"""Checks that several families share: the width of rows, and the limits within which their values lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.core.checks import check_matrix, value_range
from lamina.core.errors import DataError


def check_width(X: Any, n: int, name: str, what: str) -> None:
    """Raise `DataError` unless ``X`` is (rows, n)."""
    if X.ndim != 2 or X.shape[1] != n:
        raise DataError(f"{name} have shape {tuple(X.shape)}; expected (rows, {n}): one column for each of the {what}")


def check_limits(X: Any, low: float, high: float, name: str, what: str, hint: str) -> None:
    """Raise `DataError` unless every value lies in [low, high]; ``hint`` says what to do."""
    least, most = value_range(X)
    if not np.isfinite([least, most]).all():
        check_matrix(X, name=name)  # says where the NaN or infinite values are
    if least >= low and most <= high:
        return
    limits = f"[{low:g}, {high:g}]" if np.isfinite(high) else f"[{low:g}, ∞)"
    raise DataError(f"{name} lie in [{least:g}, {most:g}]; {what} need {limits}: {hint}")
