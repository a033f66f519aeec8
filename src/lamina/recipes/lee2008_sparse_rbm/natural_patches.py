"""Patches of photographs, whitened by principal components: what the first layer of a model of natural images sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_sample_images

from lamina.core.random import Random
from lamina.frontends import random_patches

FLAT = 0.05  # patches of log intensity with a smaller deviation (sky, blur) hold camera noise alone
OFFSET = 10.0  # grey levels added before the logarithm, which keeps dark noise small


@dataclass(frozen=True)
class Patches:
    """``rows`` (n, n_components) float32 of mean 0 and deviation 1, and what turns them into pixels.

    ``basis`` (size², n_components) has orthonormal columns: the principal components of largest variance, so that
    ``rows @ basis.T`` are whitened, low-pass filtered patches, and a filter on rows is one on those.
    """

    rows: np.ndarray
    basis: np.ndarray
    size: int
    share: float  # of the variance, kept by the components

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """Rows or filters (n, n_components) as patches (n, size, size)."""
        return (rows @ self.basis.T).reshape(-1, self.size, self.size)


def natural_patches(n: int, size: int, n_components: int, contrast: float, random: Random) -> Patches:
    """``n`` places of scikit-learn's two photographs, in turn, less those without contrast.

    Each patch of log intensities loses its mean; the ``n_components`` principal components of largest variance are
    brought to variance 1. Each row is then divided by its root mean square to the power ``contrast``, a gain control
    without which few patches of high contrast drive all filters.
    """
    raw = _log_patches(n, size, random)
    raw -= raw.mean(1, keepdims=True)
    raw = raw[raw.std(1) > FLAT]
    raw -= raw.mean(0)
    variance, vectors = np.linalg.eigh(np.cov(raw.T))
    kept, basis = variance[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    rows = raw @ basis / np.sqrt(kept)
    rows /= np.sqrt((rows**2).mean(1, keepdims=True)) ** contrast
    rows /= rows.std()
    return Patches(rows.astype(np.float32), basis, size, float(kept.sum() / variance.sum()))


def _log_patches(n: int, size: int, random: Random) -> np.ndarray:
    """(n, size²) log intensities at random places."""
    images = [np.log(photograph.astype(np.float64).mean(2) + OFFSET) for photograph in load_sample_images().images]
    return random_patches(images, n, size, random).reshape(n, -1)
