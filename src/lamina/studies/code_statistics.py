"""What a code is like, layer by layer: how active, how sparse, with which units in use, and what is lost in it.

Near zero: |h| at most 1 % of the layer's largest magnitude (its 99.9th percentile, which no single outlier moves). A
unit that is near zero on every row looked at is *dead*. Hoyer's sparsity of a row is (√n − ‖h‖₁/‖h‖₂)/(√n − 1), 0 where
all n units are equally active and 1 where a single one is; a row without any activity counts as 1 (Hoyer 2004,
Non-negative matrix factorization with sparseness constraints. J. Machine Learning Research 5, 1457-1469).

Reconstruction errors are mean squares per value, through all layers up to the one named and down again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.models import Stack
from lamina.studies.pictures import some_rows
from lamina.studies.preparation import Prepared
from lamina.training import encode_rows

MOST_ROWS = 5000  # rows looked at, of the training part and of the test part each
NEAR_ZERO = 0.01
BINS = 32


def code_statistics(prepared: Prepared, stack: Stack, seed: int) -> list[dict]:
    """One document per layer, from the bottom up; ``error_test`` is None without test rows."""
    found = [
        {"layer": k, "units": size, **_of_code(code), "error_train": error}
        for k, (size, code, error) in enumerate(_codes(stack, _some(prepared.X, seed)), start=1)
    ]
    held = prepared.X_test
    if held is None or not len(held):
        return [{**document, "error_test": None} for document in found]
    errors = [error for _, _, error in _codes(stack, _some(held, seed))]
    return [{**document, "error_test": error} for document, error in zip(found, errors, strict=True)]


def _some(X: Any, seed: int) -> np.ndarray:
    return np.asarray(X[some_rows(len(X), MOST_ROWS, seed)], np.float32)


def _codes(stack: Stack, X: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
    """Of every layer its size, code (n, size) and the error of the rows decoded from it."""
    found, below = [], torch.from_numpy(X)
    for depth, size in enumerate(stack.sizes, start=1):
        below = encode_rows(_encoder(stack[depth - 1]), below, size)
        back = encode_rows(_decoder(stack, depth), below, stack.n_visible).cpu().numpy()
        found.append((size, below.cpu().numpy(), float(np.mean((back - X) ** 2, dtype=np.float64))))
    return found


def _encoder(layer: Any) -> Callable[[Tensor], Tensor]:
    like = next(layer.parameters())
    return lambda v: layer.mean_h_from_v(v.to(like))


def _decoder(stack: Stack, depth: int) -> Callable[[Tensor], Tensor]:
    like = next(stack.parameters())
    return lambda h: stack.decode(h.to(like), depth)


def _of_code(code: np.ndarray) -> dict:
    """Statistics of activations ``code`` (n_rows, n_units)."""
    size = np.abs(code)
    level = NEAR_ZERO * largest(size)
    return {
        "mean_activity": float(size.mean(dtype=np.float64)),
        "near_zero": float((size <= level).mean()),
        "hoyer": hoyer_sparsity(code),
        "dead": int((size.max(axis=0) <= level).sum()),
        "histogram": histogram(code),
    }


def largest(size: np.ndarray) -> float:
    """The 99.9th percentile of magnitudes, or the very largest where that is 0."""
    high = float(np.percentile(size, 99.9))
    return high if high > 0 else float(size.max())


def hoyer_sparsity(code: np.ndarray) -> float | None:
    """Mean over the rows of ``code`` (n_rows, n_units) of Hoyer's sparsity, in [0, 1]; None for a single unit."""
    n = code.shape[1]
    if n < 2:
        return None
    size = np.abs(code).astype(np.float64)
    length = np.linalg.norm(size, axis=1)
    ratio = size.sum(1) / np.where(length > 0, length, 1.0)
    sparsity = (np.sqrt(n) - np.where(length > 0, ratio, 1.0)) / (np.sqrt(n) - 1)
    return float(np.clip(sparsity, 0, 1).mean())


def histogram(code: np.ndarray) -> dict:
    """Shares of the activations in equal bins from ``low`` to ``high``: 0 and all but the outer 0.1 % lie inside."""
    low, high = min(0.0, float(np.percentile(code, 0.1))), max(0.0, float(np.percentile(code, 99.9)))
    if high <= low:
        high = low + 1.0
    counts, _ = np.histogram(np.clip(code, low, high), bins=BINS, range=(low, high))
    return {"low": low, "high": high, "shares": [float(c) for c in counts / counts.sum()]}
