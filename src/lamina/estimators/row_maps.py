"""Rows that are flattened maps: their shape, and scaling that treats all places of a channel alike."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.estimators.base import Scaling


def row_shape(shape: Sequence[int] | None, n_features: int) -> tuple[int, ...]:
    """(channels, *size) of rows with ``n_features`` values; None: a signal of one channel.

    Raises `SettingError` for what is no shape, `DataError` where it is not that of the rows.
    """
    if shape is None:
        return (1, n_features)
    if not isinstance(shape, (tuple, list)) or len(shape) not in (2, 3):
        raise SettingError(
            f"shape is {shape!r}; expected (channels, height, width), (channels, length), or None for a signal of one "
            f"channel"
        )
    for entry in shape:
        check_number("shape", entry, low=1, integer=True)
    if prod(shape) != n_features:
        raise DataError(
            f"shape is {tuple(shape)}, {prod(shape)} values, but the rows have {n_features} features: expected equal "
            f"numbers"
        )
    return tuple(int(entry) for entry in shape)


def scaling_of_channels(X: np.ndarray, shape: tuple[int, ...]) -> Scaling:
    """Mean and deviation of every channel over rows and places: (channels,) each."""
    return Scaling.of(X.reshape(len(X), shape[0], -1).swapaxes(1, 2).reshape(-1, shape[0]))


def scaling_of_columns(channels: Scaling, shape: tuple[int, ...]) -> Scaling:
    """The same for the columns of the rows, which it can be applied to: (channels · places,) each."""
    places: Any = prod(shape[1:])
    return Scaling(np.repeat(channels.mean, places), np.repeat(channels.scale, places))
