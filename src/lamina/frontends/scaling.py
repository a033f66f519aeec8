"""Scaling columns to what a layer's units expect: [0, 1] for Bernoulli units, mean 0 and deviation 1 for Gaussian ones.

`choose_scaling` looks at the values (never at labels): values in [0, 1], or in a known range such as bytes, go to
Bernoulli units; anything else is standardised for Gaussian ones. A pixel intensity then is a probability, which is what
the classic results on digits assume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.checks import check_unit_interval, column_moments, value_range
from lamina.core.errors import DataError, SettingError

SLACK = 0.5  # how far scaled new rows may leave [0, 1]
MATERIALISE = 2 << 30  # bytes: scaled copies up to this size are made, larger data are scaled as they are read


@dataclass(frozen=True)
class Scaling:
    """(x − shift) · factor per column, for units of the family ``units``; ``why`` says how it was chosen.

    ``shift`` and ``factor`` have shape (n_features,), float64.
    """

    units: str
    shift: np.ndarray
    factor: np.ndarray
    why: str

    def apply(self, X: Any) -> np.ndarray:
        """Scaled rows, (n, n_features) float32."""
        if not self.shift.any() and (self.factor == 1).all():
            return np.asarray(X, dtype=np.float32)
        return ((np.asarray(X, dtype=np.float64) - self.shift) * self.factor).astype(np.float32)

    def invert(self, X: np.ndarray) -> np.ndarray:
        """Rows in the data's own units: x / factor + shift."""
        return np.asarray(X, dtype=np.float64) / self.factor + self.shift


class ScaledRows:
    """A view of rows that are scaled when they are read: for data larger than memory. Indexed like an array by rows."""

    def __init__(self, X: Any, scaling: Scaling) -> None:
        self._X, self._scaling = X, scaling
        self.shape = tuple(X.shape)
        self.ndim = 2
        self.dtype = np.dtype(np.float32)
        self.size = X.shape[0] * X.shape[1]
        self.nbytes = self.size * 4

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._scaling.apply(self._X[rows])


def scale_rows(X: Any, scaling: Scaling) -> Any:
    """All rows of ``X`` scaled: an array while that is small, else a view that scales what is read."""
    if X.shape[0] * X.shape[1] * 4 > MATERIALISE:
        return ScaledRows(X, scaling)
    return scaling.apply(X)


def check_range(scaling: Scaling, X: Any, name: str) -> None:
    """Raise `DataError` where rows for Bernoulli units, scaled, lie far outside [0, 1]: they are in another unit.

    New rows may leave the training rows' range by a little, hence the slack of `SLACK`.
    """
    if scaling.units != "bernoulli":
        return
    low, high = value_range(X)
    ends = scaling.apply(np.array([[low] * len(scaling.shift), [high] * len(scaling.shift)]))
    if ends.min() < -SLACK or ends.max() > 1 + SLACK:
        bottom, top = scaling.invert(np.array([[0.0] * len(scaling.shift), [1.0] * len(scaling.shift)]))
        raise DataError(
            f"{name} lie in [{low:g}, {high:g}]; expected [{bottom.min():g}, {top.max():g}], the range of the rows "
            f"that the layers learnt from: give both in the same unit"
        )


def choose_scaling(X: Any, units: str = "auto", known_range: tuple[float, float] | None = None) -> Scaling:
    """The `Scaling` for the training rows ``X`` (n, n_features).

    ``units`` is "auto", "bernoulli" or "gaussian"; ``known_range`` the values' possible range where it is known.
    Raises `SettingError` for another name, `DataError` where Bernoulli units are asked for and values leave [0, 1].
    """
    if units not in ("auto", "bernoulli", "gaussian"):
        raise SettingError(f"units is {units!r}; expected auto, bernoulli or gaussian")
    n = X.shape[1]
    low, high = value_range(X)
    if units != "gaussian" and known_range is not None and known_range[0] <= low and high <= known_range[1]:
        bottom, top = known_range
        why = f"values lie in the known range [{bottom:g}, {top:g}], scaled to [0, 1]"
        return Scaling("bernoulli", np.full(n, float(bottom)), np.full(n, 1.0 / (top - bottom)), why)
    if units == "bernoulli":
        check_unit_interval(X)
    if units == "bernoulli" or (units == "auto" and low >= 0 and high <= 1):
        return Scaling("bernoulli", np.zeros(n), np.ones(n), "values lie in [0, 1]")
    mean, deviation = column_moments(X)
    factor = 1.0 / np.where(deviation > 1e-8, deviation, 1.0)  # constant columns stay at 0
    return Scaling("gaussian", mean, factor, f"values lie in [{low:g}, {high:g}]: columns standardised")
