"""Checks of the user's arrays and options, each failing with one line that guesses the mistake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina.core.errors import DataError, DeviceError, SettingError


def check_matrix(X: Any, *, name: str = "the data", n_features: int | None = None, rows_at_least: int = 1) -> None:
    """Raise `DataError` unless ``X`` is a real numeric array (n_rows, n_features) without NaN or infinity.

    Memory maps are read in chunks of 64 MiB, so that checking never loads them whole.
    """
    if X.ndim != 2:
        raise DataError(
            f"{name} have shape {tuple(X.shape)}; expected (rows, features): "
            f"reshape one row with X.reshape(1, -1), images with X.reshape(len(X), -1)"
        )
    if X.shape[0] < rows_at_least:
        raise DataError(
            f"{name} have {X.shape[0]} row(s); at least {rows_at_least} needed: is the file or filter empty?"
        )
    if X.shape[1] == 0:
        raise DataError(f"{name} have no features: expected at least one column")
    if n_features is not None and X.shape[1] != n_features:
        raise DataError(
            f"{name} have {X.shape[1]} features; the model was fitted with {n_features}: pass the same columns"
        )
    if X.dtype.kind not in "fiub":
        raise DataError(f"{name} have type {X.dtype}; expected numbers: convert text columns to numbers first")
    if X.dtype.kind == "f":
        _check_finite(X, name)


def _chunks(X: Any) -> Iterable[tuple[int, np.ndarray]]:
    rows = max(1, (64 << 20) // max(1, X.shape[1] * X.dtype.itemsize))
    for start in range(0, X.shape[0], rows):
        yield start, np.asarray(X[start : start + rows])


def _check_finite(X: Any, name: str) -> None:
    count, rows, columns = 0, [], set()
    for start, chunk in _chunks(X):
        with np.errstate(over="ignore", invalid="ignore"):  # an infinite sum is looked into below
            total = chunk.sum(dtype=np.float64)
        if np.isfinite(total):  # one pass for good data; a sum hides no NaN
            continue
        bad_rows, bad_columns = np.nonzero(~np.isfinite(chunk))
        count += len(bad_rows)
        rows += [start + int(r) for r in np.unique(bad_rows)[:5]]
        columns |= {int(c) for c in np.unique(bad_columns)[:5]}
    if count:
        raise DataError(
            f"{name} hold {count} NaN or infinite value(s), first in row(s) {_few(rows)}, column(s) "
            f"{_few(sorted(columns))}; expected finite numbers: drop those rows or fill the values in"
        )


def _few(numbers: list[int], most: int = 5) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return shown + (", ..." if len(numbers) > most else "")


def value_range(X: Any) -> tuple[float, float]:
    """Smallest and largest value of ``X``, read in chunks; NaN where ``X`` holds one."""
    low, high = np.inf, -np.inf
    for _, chunk in _chunks(X):
        low, high = float(np.minimum(low, chunk.min())), float(np.maximum(high, chunk.max()))
    return low, high


def check_unit_interval(X: Any, *, name: str = "the data", what: str = "Bernoulli visible units") -> None:
    """Raise `DataError` unless every value lies in [0, 1]."""
    low, high = value_range(X)
    if low >= 0 and high <= 1:
        return
    if not np.isfinite([low, high]).all():
        _check_finite(X, name)
    if low >= 0 and high <= 255:
        hint = f"values reach {high:g}: scale pixels to [0, 1] (divide by {high:g}), or use Gaussian visible units"
    else:
        hint = "scale each column to [0, 1], or standardise and use Gaussian visible units"
    raise DataError(f"{name} lie in [{low:g}, {high:g}]; {what} need [0, 1]: {hint}")


def column_moments(X: Any, most_rows: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column in float64, from at most about ``most_rows`` evenly spaced rows."""
    step = max(1, X.shape[0] // most_rows)
    total = np.zeros(X.shape[1])
    square = np.zeros(X.shape[1])
    n = 0
    shift = np.asarray(X[0], dtype=np.float64)  # shifted sums: no cancellation for data far from zero
    for _, chunk in _chunks(X[::step]):
        centred = chunk.astype(np.float64) - shift
        total += centred.sum(0)
        square += (centred**2).sum(0)
        n += len(chunk)
    mean = total / n
    return mean + shift, np.sqrt(np.maximum(square / n - mean**2, 0.0))


def check_standardised(X: Any, *, name: str = "the data") -> None:
    """Raise `DataError` unless columns have means near 0 and standard deviations near 1 (or 0: constant columns).

    A Gaussian unit with σ = 1 models unit variance; on raw data its learning rate is off by the scale squared.
    """
    mean, deviation = column_moments(X)
    if not np.isfinite(mean).all():
        _check_finite(X, name)
    moving = deviation > 1e-8
    if not moving.any():
        return
    worst_mean = float(np.abs(mean[moving]).max())
    low, high = float(deviation[moving].min()), float(deviation[moving].max())
    if worst_mean > 1.0 or high > 5.0 or float(np.median(deviation[moving])) < 0.2:
        raise DataError(
            f"{name} are not standardised (column means up to {worst_mean:.3g}, standard deviations "
            f"{low:.3g} to {high:.3g}); Gaussian units with fixed variance expect mean 0 and deviation 1: "
            f"use sklearn.preprocessing.StandardScaler, or learn the variance"
        )


def constant_columns(X: Any) -> np.ndarray:
    """Indices of the columns that hold one single value."""
    low = np.asarray(X[0]).copy()
    high = low.copy()
    for _, chunk in _chunks(X):
        np.minimum(low, chunk.min(0), out=low)
        np.maximum(high, chunk.max(0), out=high)
    return np.flatnonzero(low == high)


def check_number(
    name: str, value: Any, *, low: float | None = None, high: float | None = None, integer: bool = False
) -> None:
    """Raise `SettingError` unless ``value`` is a number in [low, high]."""
    kind = "an integer" if integer else "a number"
    limits = (
        ""
        if low is None and high is None
        else f" in [{'-inf' if low is None else low}, {'inf' if high is None else high}]"
    )
    number = isinstance(value, (int, np.integer) if integer else (int, float, np.integer, np.floating))
    fine = number and not isinstance(value, bool) and value == value
    if not fine or (low is not None and value < low) or (high is not None and value > high):
        raise SettingError(f"{name} is {value!r}; expected {kind}{limits}")


def check_device(device: Any) -> Any:
    """The `torch.device` for ``device`` (None: the CPU); `DeviceError` where the machine lacks it."""
    import torch

    try:
        found = torch.device("cpu" if device is None else device)
    except RuntimeError:
        raise DeviceError(f"device is {device!r}; expected cpu, cuda, cuda:0, ... or mps") from None
    if found.type == "cuda" and (not torch.cuda.is_available() or (found.index or 0) >= torch.cuda.device_count()):
        raise DeviceError(
            f"device is {device!r}, but torch sees {torch.cuda.device_count()} CUDA device(s) here: use device='cpu', "
            f"or install a CUDA build of torch and its driver"
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device is 'mps', but this torch has no MPS here: use device='cpu'")
    return found
