"""Whitening: directions, or frequencies, brought to one scale, so that a layer need not learn what two pixels share.

=========================== ============================================== ==========================================
class                       computes                                       source
=========================== ============================================== ==========================================
`Whitening` kind "pca"      y = (x − μ) U Λ^{−1/2}                         principal components at variance 1
`Whitening` kind "zca"      y = (x − μ) U Λ^{−1/2} Uᵀ                      Bell and Sejnowski 1997: nearest to x
`FrequencyWhitening`        F⁻¹[ |f| exp(−(|f|/f₀)⁴) F x ], whole images   Olshausen and Field 1996, 1997
=========================== ============================================== ==========================================

with the covariance U Λ Uᵀ of the rows (docs/mathematics.md, eq. 147 and 148).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.checks import check_matrix, check_number
from lamina.core.errors import DataError, SettingError

KINDS = ("zca", "pca")
RANK = 1e-10  # directions with less than this share of the largest variance are no directions of the data


@dataclass(frozen=True)
class Whitening:
    """``mean`` (n,), ``basis`` (n, k) orthonormal columns by falling ``variance`` (k,), of n features in all.

    ``floor`` was added to the variances before their roots were taken; ``share`` is the variance kept by the k
    components. All float64.
    """

    kind: str
    mean: np.ndarray
    basis: np.ndarray
    variance: np.ndarray
    floor: float
    share: float

    @classmethod
    def of(cls, X: Any, kind: str = "zca", *, n_components: int | None = None, floor: float = 0.0) -> Whitening:
        """Measured on the rows of ``X`` (n_rows, n_features).

        ``n_components`` keeps the directions of largest variance (all that the rows span, without it).
        ``floor`` is added to every variance: directions of less variance than that, mostly noise, stay small, and the
        covariance of the result is Λ / (Λ + floor) instead of the identity.
        """
        if kind not in KINDS:
            raise SettingError(f"kind is {kind!r}; expected zca or pca")
        check_number("floor", floor, low=0.0)
        X = np.asarray(X)
        check_matrix(X, rows_at_least=2)
        X = X.astype(np.float64)
        mean = X.mean(0)
        X = X - mean
        values, vectors = np.linalg.eigh(X.T @ X / (len(X) - 1))
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        rank = int((values > RANK * values[0]).sum()) if values[0] > 0 else 0
        k = _kept(n_components, rank)
        return cls(kind, mean, vectors[:, :k].copy(), values[:k], float(floor), float(values[:k].sum() / values.sum()))

    @property
    def n_components(self) -> int:
        """Directions kept."""
        return len(self.variance)

    @property
    def gain(self) -> np.ndarray:
        """What a component is multiplied by, (variance + floor)^{−1/2}: (k,)."""
        return 1.0 / np.sqrt(self.variance + self.floor)

    def apply(self, X: Any) -> np.ndarray:
        """White rows: (..., n) → (..., k) for "pca", (..., n) for "zca"."""
        X = self._rows(X, len(self.mean), "the data")
        components = (X - self.mean) @ self.basis * self.gain
        return components @ self.basis.T if self.kind == "zca" else components

    def undo(self, Y: Any) -> np.ndarray:
        """Rows in the data's own units: the inverse of `apply` within the components kept, (..., n)."""
        Y = self._rows(Y, len(self.mean) if self.kind == "zca" else self.n_components, "the white rows")
        components = Y @ self.basis if self.kind == "zca" else Y
        return (components / self.gain) @ self.basis.T + self.mean

    def pictures(self, filters: Any) -> np.ndarray:
        """Filters on white rows as filters on white pixels, (m, n): the product with white rows is unchanged."""
        filters = np.asarray(filters, np.float64)
        return filters if self.kind == "zca" else filters @ self.basis.T

    def _rows(self, X: Any, width: int, name: str) -> np.ndarray:
        X = np.asarray(X, np.float64)
        if X.ndim == 0 or X.shape[-1] != width:
            raise DataError(f"{name} have shape {X.shape}; expected (..., {width}), as the whitening was measured on")
        return X


def _kept(n_components: int | None, rank: int) -> int:
    if rank == 0:
        raise DataError("the data are constant: no direction has variance; expected rows that differ")
    if n_components is None:
        return rank
    check_number("n_components", n_components, low=1, integer=True)
    if n_components > rank:
        raise SettingError(
            f"n_components is {n_components}; expected at most {rank}, the directions in which the rows vary: give "
            f"more rows or fewer components"
        )
    return int(n_components)


@dataclass(frozen=True)
class FrequencyWhitening:
    """Images of ``shape`` (height, width) filtered by |f| exp(−(|f|/cut_off)^steepness), f in cycles per pixel.

    Natural images have amplitudes that fall as 1/|f|; the first factor takes that away, the second the corners of the
    frequency plane, which hold noise and the grid alone. The filter wraps around the borders: cut some pixels off.
    Olshausen and Field took f₀ = 200 cycles per image of 512 pixels, 0.39 per pixel.
    """

    shape: tuple[int, int]
    cut_off: float = 0.4
    steepness: float = 4.0

    def __post_init__(self) -> None:
        check_number("cut_off", self.cut_off, low=1e-3)
        check_number("steepness", self.steepness, low=1e-3)

    @property
    def frequency(self) -> np.ndarray:
        """|f| of the coefficients of a real transform, (height, width // 2 + 1), in cycles per pixel."""
        rows, columns = np.fft.fftfreq(self.shape[0])[:, None], np.fft.rfftfreq(self.shape[1])[None]
        return np.hypot(rows, columns)

    def apply(self, image: Any) -> np.ndarray:
        """The filtered image, float64, of mean 0: (..., height, width)."""
        image = self._checked(image)
        f = self.frequency
        centred = image - image.mean((-2, -1), keepdims=True)
        spectrum = np.fft.rfft2(centred) * f * np.exp(-((f / self.cut_off) ** self.steepness))
        return np.fft.irfft2(spectrum, s=self.shape)

    def undo(self, filtered: Any, mean: float = 0.0) -> np.ndarray:
        """The image again, with the ``mean`` that the filter took away.

        Exact up to rounding, which the corners' small gains make larger: 4e-5 at cut_off 0.4, 3e-14 at 0.3, where
        nothing of the corners is left.
        """
        filtered = self._checked(filtered)
        f = self.frequency
        gain = f * np.exp(-((f / self.cut_off) ** self.steepness))
        gain[0, 0] = 1.0
        spectrum = np.fft.rfft2(filtered) / gain
        spectrum[..., 0, 0] = 0.0
        return np.fft.irfft2(spectrum, s=self.shape) + mean

    def _checked(self, image: Any) -> np.ndarray:
        image = np.asarray(image, np.float64)
        if image.shape[-2:] != tuple(self.shape):
            raise DataError(f"the image has shape {image.shape}; expected (..., {self.shape[0]}, {self.shape[1]})")
        return image


def frequency_whitened(image: Any, cut_off: float = 0.4) -> np.ndarray:
    """One image (height, width) filtered by `FrequencyWhitening` of its own shape."""
    image = np.asarray(image)
    if image.ndim != 2:
        raise DataError(f"the image has shape {image.shape}; expected (height, width)")
    return FrequencyWhitening((image.shape[0], image.shape[1]), cut_off).apply(image)
