"""Sequences of different lengths side by side: X (n, T, n_features) and lengths (n,), each at the front of its row.

What stands behind a sequence's end (padding) has no meaning and is never looked at, not even where it is NaN.
`lamina.frontends.pad_sequences` makes the pair from a list of arrays.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.core.errors import DataError


def check_sequences(X: Tensor, lengths: Tensor | None, n_features: int) -> Tensor:
    """The lengths (n,) int64 of sequences X (n, T, n_features), all T where none are given.

    Raises `DataError` for another width, lengths outside 1 … T, or NaN in a frame that counts.
    """
    if X.dim() != 3 or X.shape[2] != n_features or X.shape[1] == 0:
        raise DataError(
            f"sequences have shape {tuple(X.shape)}; expected (n, frames, {n_features}): make them from a list of "
            f"(frames, {n_features}) arrays with lamina.frontends.pad_sequences"
        )
    if lengths is None:
        lengths = torch.full((len(X),), X.shape[1], device=X.device)
    check_lengths(lengths, len(X), X.shape[1])
    lengths = lengths.to(X.device, torch.int64)
    bad = ~torch.isfinite(clear_padding(X, lengths)).all(2)
    if bad.any():
        row, frame = (int(place) for place in bad.nonzero()[0])
        raise DataError(
            f"{int(bad.sum())} frame(s) hold NaN or infinite values, first sequence {row}, frame {frame}; expected "
            f"finite numbers up to each sequence's end: drop those frames or fill them in"
        )
    return lengths


def check_lengths(lengths: Tensor, n: int, most: int) -> None:
    """`DataError` unless ``lengths`` are ``n`` integers in 1 … ``most``."""
    if lengths.dim() != 1 or len(lengths) != n or lengths.is_floating_point():
        raise DataError(
            f"lengths have shape {tuple(lengths.shape)} and type {lengths.dtype}; expected ({n},) integers, the number "
            f"of frames of each sequence"
        )
    if n and (int(lengths.min()) < 1 or int(lengths.max()) > most):
        raise DataError(
            f"lengths lie in [{int(lengths.min())}, {int(lengths.max())}]; expected 1 to {most}, the frames that X has "
            f"room for: drop empty sequences"
        )


def frame_mask(lengths: Tensor, steps: int) -> Tensor:
    """True for the frames up to each sequence's end: (n,) → (n, steps)."""
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)


def clear_padding(X: Tensor, lengths: Tensor) -> Tensor:
    """Zeros behind each sequence's end, whatever stood there: (n, T, n_features); same shape."""
    return torch.where(frame_mask(lengths, X.shape[1]).unsqueeze(2), X, X.new_zeros(()))


def reverse(X: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence back to front, still at the front of its row: (n, T, n_features); the padding is of no meaning."""
    places = (lengths.unsqueeze(1) - 1 - torch.arange(X.shape[1], device=X.device)).clamp(min=0)
    return X.gather(1, places.unsqueeze(2).expand_as(X))


def frame_at(X: Tensor, places: Tensor) -> Tensor:
    """The frame at one place per sequence: (n, T, n_features), (n,) → (n, n_features)."""
    return X.gather(1, places.view(-1, 1, 1).expand(-1, 1, X.shape[2])).squeeze(1)
