"""Sequences of different lengths as one array, and back.

A list of arrays (T_i, n_features) becomes X (n, T, n_features), T the longest, each sequence at the front of its row
with zeros behind it, and the lengths (n,) int64. That pair is what `lamina.RecurrentAutoencoder` reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina.core.errors import DataError


def pad_sequences(
    sequences: Iterable[Any], *, n_features: int | None = None, dtype: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """X (n, T, n_features) and lengths (n,) int64 of a list of arrays (T_i, n_features); zeros behind each end.

    ``dtype`` is float32 or float64; by default float32 where all sequences are, else float64. An array (n, T,
    n_features) is a list of sequences of one length.

    Raises `DataError` for an empty list, a sequence without frames, widths that differ (or are not ``n_features``),
    values that are not numbers, NaN or infinity: each message names the sequence.
    """
    if isinstance(sequences, (str, bytes)) or not isinstance(sequences, Iterable):
        raise DataError(f"the sequences are a {type(sequences).__name__}; expected a list of (frames, features) arrays")
    arrays = [_checked(k, sequence) for k, sequence in enumerate(sequences)]
    if not arrays:
        raise DataError("there are 0 sequences; expected at least one: is the list or filter empty?")
    width = arrays[0].shape[1] if n_features is None else n_features
    for k, array in enumerate(arrays):
        if array.shape[1] != width:
            raise DataError(
                f"sequence {k} has {array.shape[1]} features; expected {width}, as "
                f"{'sequence 0 has' if n_features is None else 'in fit'}: give all frames the same columns"
            )
    if dtype is None:
        dtype = np.float32 if all(array.dtype == np.float32 for array in arrays) else np.float64
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    X = np.zeros((len(arrays), int(lengths.max()), width), dtype=dtype)
    for row, array in zip(X, arrays, strict=True):
        row[: len(array)] = array
    return X, lengths


def split_sequences(X: Any, lengths: Any) -> list[np.ndarray]:
    """The inverse of `pad_sequences`: copies (T_i, n_features) of the rows of X (n, T, n_features) up to their ends.

    Raises `DataError` where the lengths are not whole numbers from 1 to T, one for each row.
    """
    X, lengths = np.asarray(X), np.asarray(lengths)
    if X.ndim != 3:
        raise DataError(f"X has shape {X.shape}; expected (n, frames, features)")
    if lengths.shape != X.shape[:1] or lengths.dtype.kind not in "iu":
        raise DataError(
            f"lengths have shape {lengths.shape} and type {lengths.dtype}; expected ({len(X)},) integers, one for each "
            f"row of X"
        )
    if len(lengths) and (lengths.min() < 1 or lengths.max() > X.shape[1]):
        raise DataError(
            f"lengths lie in [{lengths.min()}, {lengths.max()}]; expected 1 to {X.shape[1]}, the frames that X has "
            f"room for"
        )
    return [row[:length].copy() for row, length in zip(X, lengths, strict=True)]


def _checked(k: int, sequence: Any) -> np.ndarray:
    try:
        array = np.asarray(sequence)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "fiub":
        raise DataError(f"sequence {k} has type {array.dtype}; expected an array of numbers (frames, features)")
    if array.ndim != 2 or array.shape[1] == 0:
        hint = "a single signal needs reshape(-1, 1)" if array.ndim == 1 else "one row per frame"
        raise DataError(f"sequence {k} has shape {array.shape}; expected (frames, features): {hint}")
    if len(array) == 0:
        raise DataError(f"sequence {k} has no frames; expected at least one: drop empty sequences")
    bad = ~np.isfinite(array).all(1) if array.dtype.kind == "f" else np.zeros(len(array), dtype=bool)
    if bad.any():
        raise DataError(
            f"sequence {k} holds NaN or infinite values in {int(bad.sum())} frame(s), first in frame "
            f"{int(np.flatnonzero(bad)[0])}; expected finite numbers: drop those frames or fill them in"
        )
    return array
