"""Contrast taken out of images and patches, and put back: what is left is structure, at one scale for all rows.

=================== ============================================= ================================================
function            computes                                      source
=================== ============================================= ================================================
`patch_contrast`    (x − mean) / max(deviation, floor), per row   Coates, Lee, Ng 2011 (there √(variance + floor))
`local_contrast`    subtractive, then divisive, per pixel, with   Jarrett, Kavukcuoglu, Ranzato, LeCun 2009;
                    Gaussian windows                              Pinto, Cox, DiCarlo 2008
=================== ============================================= ================================================

(docs/mathematics.md, eq. 146.) Each gives a record that holds what was taken away: ``undo`` gives the images
back, or puts the contrast of the input on a reconstruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from lamina.core.checks import check_number
from lamina.core.errors import DataError


@dataclass(frozen=True)
class Contrast:
    """``values`` = (x − ``mean``) / ``scale``; the three broadcast against each other."""

    values: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def undo(self, values: Any | None = None) -> np.ndarray:
        """x again, or ``values`` (a reconstruction of `values`, say) with the mean and contrast of x."""
        given = self.values if values is None else np.asarray(values)
        if given.shape != self.values.shape:
            raise DataError(f"the values have shape {given.shape}; expected {self.values.shape}, as were taken")
        return given * self.scale + self.mean


def patch_contrast(X: Any, floor: float | None = None) -> Contrast:
    """Each row, or patch (n, ...), less its mean, and divided by max(its deviation, ``floor``) where that is given.

    The floor is in the units of ``X``: rows of smaller deviation (sky, blur) are not blown up, they stay small. A flat
    row is 0; with ``floor=0`` it is too, and every other row gets deviation 1. Channels of a patch share one mean.
    """
    X = _real(X, 2)
    rest = tuple(range(1, X.ndim))
    mean = X.mean(rest, keepdims=True)
    values = X - mean
    if floor is None:
        return Contrast(values, mean, np.ones_like(mean))
    check_number("floor", floor, low=0.0)
    scale = np.maximum(np.sqrt((values**2).mean(rest, keepdims=True)), floor)
    scale[scale == 0] = 1.0
    return Contrast(values / scale, mean, scale)


def local_contrast(images: Any, sd: float, floor: float | None = None) -> Contrast:
    """Subtractive and divisive normalisation in Gaussian windows of ``sd`` pixels: (..., height, width).

    v = x − w ∗ x and y = v / max(floor, √(w ∗ v²)), w a Gaussian that sums to one, mirrored at the border, and for each
    map by itself. Without ``floor`` each image takes the mean of its own √(w ∗ v²), as Jarrett et al. 2009 do.
    """
    x = _real(images, 2)
    check_number("sd", sd, low=1e-6)
    windows = (0.0,) * (x.ndim - 2) + (float(sd), float(sd))
    mean = gaussian_filter(x, windows, mode="reflect")
    v = x - mean
    deviation = np.sqrt(np.maximum(gaussian_filter(v**2, windows, mode="reflect"), 0.0))
    if floor is None:
        least = deviation.mean((-2, -1), keepdims=True)
    else:
        check_number("floor", floor, low=0.0)
        least = np.asarray(float(floor))
    scale = np.maximum(deviation, least)
    scale[scale == 0] = 1.0
    return Contrast(v / scale, mean, scale)


def _real(X: Any, dimensions: int) -> np.ndarray:
    array = np.asarray(X)
    if array.ndim < dimensions or array.dtype.kind not in "fiub" or array.size == 0:
        raise DataError(
            f"the images have shape {array.shape} and type {array.dtype}; expected numbers in at least {dimensions} "
            f"dimensions, none of them 0"
        )
    if not np.isfinite(array).all():
        raise DataError("the images hold NaN or infinite values; expected finite numbers: fill them in or drop them")
    return array.astype(np.float64)
