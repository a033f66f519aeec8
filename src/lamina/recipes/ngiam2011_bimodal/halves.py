"""Two signals out of one picture, and what is set beside the autoencoder: linear regression, canonical correlation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIDE = 28


@dataclass(frozen=True)
class Pair:
    """The left halves ``a`` and the right halves ``b`` of digits, (n, 392) each, with class codes ``y`` (n,)."""

    a: np.ndarray
    b: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.a)

    @property
    def rows(self) -> np.ndarray:
        """[a, b], (n, 784)."""
        return np.concatenate([self.a, self.b], 1)

    def first(self, n: int) -> Pair:
        return Pair(self.a[:n], self.b[:n], self.y[:n])


def halves(X: np.ndarray, y: np.ndarray) -> Pair:
    """Digits (n, 784) cut down the middle."""
    images = X.reshape(-1, SIDE, SIDE)
    left, right = images[:, :, : SIDE // 2], images[:, :, SIDE // 2 :]
    return Pair(left.reshape(len(X), -1).copy(), right.reshape(len(X), -1).copy(), y)


def pictures(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Both halves put together again: (n, 392), (n, 392) → (n, 28, 28)."""
    left, right = (x.reshape(-1, SIDE, SIDE // 2) for x in (a, b))
    return np.concatenate([left, right], 2)


def linear_guess(given: np.ndarray, wanted: np.ndarray, strength: float) -> Callable[[np.ndarray], np.ndarray]:
    """Ridge regression of ``wanted`` on ``given``, cut to [0, 1]: B = (XᵀX + λ I)⁻¹ XᵀY on centred columns."""
    mean_x, mean_y = given.mean(0, dtype=np.float64), wanted.mean(0, dtype=np.float64)
    X, Y = given - mean_x, wanted - mean_y
    B = np.linalg.solve(X.T @ X + strength * np.eye(X.shape[1]), X.T @ Y)
    return lambda new: np.clip((new - mean_x) @ B + mean_y, 0, 1)


@dataclass(frozen=True)
class CanonicalPair:
    """Canonical correlation analysis: `project_a` and `project_b` give variates of unit variance, paired by column."""

    mean_a: np.ndarray
    mean_b: np.ndarray
    A: np.ndarray
    B: np.ndarray
    correlations: np.ndarray

    def project_a(self, a: np.ndarray, k: int) -> np.ndarray:
        return (a - self.mean_a) @ self.A[:, :k]

    def project_b(self, b: np.ndarray, k: int) -> np.ndarray:
        return (b - self.mean_b) @ self.B[:, :k]


def canonical(a: np.ndarray, b: np.ndarray, ridge: float) -> CanonicalPair:
    """C_aa^(−½) C_ab C_bb^(−½) = U S Vᵀ; the variates are a C_aa^(−½) U and b C_bb^(−½) V (Hotelling 1936).

    ``ridge`` · mean variance is added to the diagonals of C_aa and C_bb: pixels that never change have none.
    """
    mean_a, mean_b = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
    X, Y = a - mean_a, b - mean_b
    n = len(X) - 1
    root_a, root_b = (_inverse_root(Z.T @ Z / n, ridge) for Z in (X, Y))
    U, S, Vt = np.linalg.svd(root_a @ (X.T @ Y / n) @ root_b, full_matrices=False)
    return CanonicalPair(mean_a, mean_b, root_a @ U, root_b @ Vt.T, S)


def _inverse_root(C: np.ndarray, ridge: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(C + ridge * np.trace(C) / len(C) * np.eye(len(C)))
    return (vectors / np.sqrt(values)) @ vectors.T
