"""Whether rows or codes fit a sparse coder: the same check, and the same words, for every kind."""

from __future__ import annotations

from torch import Tensor

from lamina.core.errors import DataError


def check_width(x: Tensor, n: int, side: str) -> None:
    """Raise `DataError` where the last dimension of ``x`` is not the ``n`` units of that ``side``."""
    if x.dim() == 0 or x.shape[-1] != n:
        raise DataError(f"{side} values have shape {tuple(x.shape)}; expected (..., {n}): one value per unit")
