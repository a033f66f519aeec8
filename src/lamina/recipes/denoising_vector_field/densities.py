"""Mixtures of round Gaussians in the plane: samples, and the score ∇ log p in closed form at any smoothing.

p(x) = mean over k of N(x; m_k, Σ). Noise of variance s² added to samples gives the same mixture with Σ + s² I, so the
smoothed density's score is known as exactly as the density's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamina.core.random import Random


@dataclass(frozen=True)
class Mixture:
    """``means`` (K, 2) of equal weight, one ``covariance`` (2, 2) for all."""

    means: np.ndarray
    covariance: np.ndarray

    def sample(self, n: int, random: Random, noise: float = 0.0) -> np.ndarray:
        """``n`` draws (n, 2), with noise of deviation ``noise`` added."""
        generator = random.numpy()
        root = np.linalg.cholesky(self.smoothed(noise))
        return self.means[generator.integers(len(self.means), size=n)] + generator.normal(size=(n, 2)) @ root.T

    def smoothed(self, noise: float) -> np.ndarray:
        """Σ + noise² I."""
        return self.covariance + noise**2 * np.eye(2)

    def score(self, x: np.ndarray, noise: float = 0.0) -> np.ndarray:
        """∇ log of the density smoothed by ``noise``: (n, 2) → (n, 2)."""
        precision = np.linalg.inv(self.smoothed(noise))
        difference = self.means - x[:, None]  # (n, K, 2)
        logs = -0.5 * np.einsum("nki,ij,nkj->nk", difference, precision, difference)
        share = np.exp(logs - logs.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        return np.einsum("nk,nki->ni", share, difference) @ precision


def ellipse() -> Mixture:
    """One Gaussian with deviations about 1.6 and 0.5 along slanted axes."""
    angle = 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Mixture(np.array([[0.3, -0.2]]), turn @ np.diag([1.6**2, 0.5**2]) @ turn.T)


def spiral(width: float = 0.15) -> Mixture:
    """A band of deviation ``width`` along nearly a turn of a spiral, flattened to a wide picture."""
    angle = np.sqrt(np.linspace(0.15, 1.0, 120)) * 3 * np.pi
    radius = 0.19 * angle
    return Mixture(np.stack([1.3 * radius * np.cos(angle), 0.9 * radius * np.sin(angle)], 1), width**2 * np.eye(2))
