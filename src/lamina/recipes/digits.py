"""MNIST as recipes take it: grey values in [0, 1], and rows kept aside from the training part to choose settings by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamina.data import load
from lamina.recipes.context import Context


@dataclass(frozen=True)
class Part:
    """``X`` (n, 784) float32 in [0, 1] and class codes ``y`` (n,) int64."""

    X: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True)
class Digits:
    """``train`` to learn from, ``validation`` to choose by, ``test`` to report once; ``full`` is both of the first."""

    train: Part
    validation: Part
    test: Part
    full: Part


def mnist(context: Context, *, held: int = 10_000, quick_rows: int = 5000, quick_test: int = 1000) -> Digits:
    """The official parts, the last ``held`` training rows kept aside; in a quick run only the first rows of each."""
    data = load("mnist")
    assert data.y is not None  # MNIST has labels and a test part
    assert data.X_test is not None
    assert data.y_test is not None
    n = min(quick_rows, len(data.X)) if context.quick else len(data.X)
    n_test = min(quick_test, len(data.X_test)) if context.quick else len(data.X_test)
    full = Part(_grey(data.X[:n]), data.y[:n])
    first = n - min(held, n // 4)
    return Digits(
        train=Part(full.X[:first], full.y[:first]),
        validation=Part(full.X[first:], full.y[first:]),
        test=Part(_grey(data.X_test[:n_test]), data.y_test[:n_test]),
        full=full,
    )


def _grey(images: np.ndarray) -> np.ndarray:
    return np.asarray(images, np.float32) / 255
