"""Whitened patches of two photographs: what sparse coders of natural images learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_sample_images

from lamina.core.random import Random
from lamina.frontends import FrequencyWhitening, patch_contrast, random_patches

CUT_OFF = 0.4  # cycles per pixel, as Olshausen and Field's 200 per 512 pixels
BORDER = 8  # pixels cut off after whitening, which wraps around
FLAT = 0.4  # patches below this share of the image's deviation (sky, blur) hold noise and compression alone


@dataclass(frozen=True)
class Patches:
    """``rows`` (n, size²) float32 of overall deviation 1, every row of mean 0; ``kept`` of the places were not flat."""

    rows: np.ndarray
    size: int
    kept: float

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, size²) as (n, size, size)."""
        return np.asarray(rows).reshape(-1, self.size, self.size)


def natural_patches(places: int, size: int, contrast: float, random: Random) -> Patches:
    """Patches at ``places`` random places of scikit-learn's two photographs, in turn, less the flat ones.

    Photographs at half size (their finest detail is compression's) are whitened by |f| exp(−(|f|/f₀)⁴). Each patch
    loses its mean and is divided by its deviation to the power ``contrast``: 0 leaves contrasts as they are, 1 makes
    them equal.
    """
    images = [whitened(photograph) for photograph in load_sample_images().images]
    found = patch_contrast(random_patches(images, places, size, random).reshape(places, -1), floor=0.0)
    textured = found.scale[:, 0] > FLAT
    rows = found.values[textured] * found.scale[textured] ** (1 - contrast)
    return Patches((rows / rows.std()).astype(np.float32), size, float(textured.mean()))


def whitened(photograph: np.ndarray) -> np.ndarray:
    """Grey values of mean 0 and deviation 1 with a flat spectrum up to `CUT_OFF`, at half the size.

    ``photograph``: (height, width, 3) grey levels.
    """
    grey = photograph.astype(np.float64).mean(2)
    height, width = (side // 2 * 2 for side in grey.shape)
    half = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    flat = FrequencyWhitening(half.shape, CUT_OFF).apply(half)[BORDER:-BORDER, BORDER:-BORDER]
    return flat / flat.std()
