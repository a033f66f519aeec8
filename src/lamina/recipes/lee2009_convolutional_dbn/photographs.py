"""Photographs as the first layer of a model of natural images wants them: whitened, in small squares."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_sample_images

from lamina.core.random import Random
from lamina.frontends import frequency_whitened, random_patches

CUT_OFF = 0.4  # cycles per pixel: beyond it noise is all there is (Olshausen and Field 1997)
BORDER = 10  # pixels cut off after whitening, which wraps around


def whitened(photograph: np.ndarray) -> np.ndarray:
    """Grey values of mean 0 and deviation 1 with a flat spectrum up to `CUT_OFF`, at half the size.

    Natural images have amplitudes that fall as 1/frequency; the filter |f| exp(−(|f|/f₀)⁴) takes that away.
    ``photograph``: (height, width, 3) grey levels.
    """
    flat = frequency_whitened(halved(photograph.astype(np.float64).mean(2)), CUT_OFF)[BORDER:-BORDER, BORDER:-BORDER]
    return flat / flat.std()


def halved(grey: np.ndarray) -> np.ndarray:
    """Means of squares of 2 x 2 pixels: the finest detail of these photographs is mostly their compression's."""
    height, width = (side // 2 * 2 for side in grey.shape)
    return grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def patches(n: int, size: int, random: Random) -> np.ndarray:
    """``n`` squares (n, 1, size, size) float32 from random places of scikit-learn's two whitened photographs."""
    images = [whitened(photograph) for photograph in load_sample_images().images]
    return random_patches(images, n, size, random.child("patches"))[:, None].astype(np.float32)


def orientation(filters: np.ndarray) -> np.ndarray:
    """How oriented each filter (n, height, width) is: 0 for a spot, 1 for a grating, (n,).

    (λ₁ − λ₂)/(λ₁ + λ₂) of the second-moment matrix of the power spectrum over frequencies.
    """
    side = 4 * max(filters.shape[1:])
    power = np.abs(np.fft.fft2(filters - filters.mean((1, 2), keepdims=True), s=(side, side))) ** 2
    f = np.fft.fftfreq(side)
    xx = (power * f[None, None, :] ** 2).sum((1, 2))
    yy = (power * f[None, :, None] ** 2).sum((1, 2))
    xy = (power * f[None, :, None] * f[None, None, :]).sum((1, 2))
    return np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-300)
