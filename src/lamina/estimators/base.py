"""What several estimators share: rows checked as scikit-learn asks, kinds of units, scaling, machines and back.

Errors. scikit-learn's checks fix the wording of some messages (a wrong number of features, empty data), so its own
validation raises them; they leave here as `DataError`, which is a `ValueError`. NaN and infinity are found by
`lamina.core.checks`, which says where they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import validate_data
from torch import Tensor

from lamina.core.checks import check_matrix, check_unit_interval, column_moments, value_range
from lamina.core.errors import DataError
from lamina.models import RBM
from lamina.training import ContrastiveDivergence, PersistentContrastiveDivergence
from lamina.training.progress import Progress

FLOATS = (np.float64, np.float32)  # kept as they come; anything else becomes the first
CHUNK = 4096  # rows that go through a model together


# rows -------------------------------------------------------------------------------------------------------------


def checked_rows(estimator: Any, X: Any, *, fitting: bool = False, name: str = "the data", **options: Any) -> Any:
    """``X`` (n_rows, n_features) as an array of floats, or as CSR where ``accept_sparse`` is given.

    ``fitting`` learns the number and names of the features; otherwise they must be those of `fit`. Raises `DataError`.
    """
    options = {"dtype": FLOATS, "ensure_all_finite": False, **options}
    try:
        rows = validate_data(estimator, X, reset=fitting, **options)
    except ValueError as problem:
        raise DataError(str(problem)) from None
    if not sparse.issparse(rows):
        check_matrix(rows, name=name)
    elif not np.isfinite(rows.data).all():
        check_matrix(rows.data.reshape(-1, 1), name=f"the stored values of {name}")
    return rows


def tensor(rows: Any, dtype: torch.dtype) -> Tensor:
    """A copy of ``rows`` as a tensor of its own (read-only memory maps included)."""
    return torch.tensor(np.ascontiguousarray(rows)).to(dtype)


def torch_type(name: Any) -> torch.dtype:
    """The torch type for "float32", "float64" or the NumPy types of those names."""
    return {"float32": torch.float32, "float64": torch.float64}[np.dtype(name).name]


class SparseRows:
    """Rows of a CSR matrix that become dense batch by batch: the few things that the loop asks of an array.

    ``size`` is said to be larger than any memory, so that the loop reads rows when it needs them.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.shape, self.dtype, self.ndim, self.size = matrix.shape, matrix.dtype, 2, sys.maxsize // 16

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.matrix[rows].toarray()


def in_chunks(apply: Callable[[Tensor], Tensor], rows: Any, like: Tensor) -> np.ndarray:
    """``apply`` to all ``rows`` (dense or CSR), a few thousand at a time, in the type and place of ``like``."""
    parts = []
    with torch.no_grad():
        for start in range(0, rows.shape[0], CHUNK):
            chunk = rows[start : start + CHUNK]
            dense = chunk.toarray() if sparse.issparse(chunk) else chunk
            parts.append(apply(tensor(dense, like.dtype).to(like.device)).cpu().numpy())
    return np.concatenate(parts)


def machine_from(arrays: tuple[np.ndarray, np.ndarray, np.ndarray], device: Any = None) -> RBM:
    """The RBM of Bernoulli units with ``components`` (n_hidden, n_visible), hidden and visible biases: copies."""
    components, hidden, visible = arrays
    machine = RBM(components.shape[1], components.shape[0], dtype=torch_type(components.dtype))
    for name, array in (("W", components.T), ("b", visible), ("c", hidden)):
        setattr(machine, name, torch.nn.Parameter(torch.tensor(np.ascontiguousarray(array), device=device)))
    return machine


# units and scaling ------------------------------------------------------------------------------------------------


def choose_visible(visible: str, X: Any) -> str:
    """ "bernoulli" or "gaussian" for rows ``X``; "auto" takes Bernoulli units where all values lie in [0, 1].

    Raises `DataError` where Bernoulli units are asked for and values lie outside [0, 1].
    """
    if visible == "auto":
        low, high = value_range(X)
        return "bernoulli" if low >= 0 and high <= 1 else "gaussian"
    if visible == "bernoulli":
        check_unit_interval(X)
    return visible


@dataclass(frozen=True)
class Scaling:
    """x → (x − mean) / scale per column: (n_columns,) float64 each. A constant column has scale 1."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray) -> Scaling:
        """Mean and standard deviation of the columns of ``X``."""
        mean, deviation = column_moments(X)
        constant = deviation <= 10 * np.finfo(X.dtype).eps * np.abs(mean)  # rounding alone moves it that far
        return cls(mean, np.where(constant | (deviation == 0), 1.0, deviation))

    @classmethod
    def none(cls, n: int) -> Scaling:
        """Leaves ``n`` columns as they are."""
        return cls(np.zeros(n), np.ones(n))

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Scaled rows, in the type of ``X``."""
        return ((X - self.mean) / self.scale).astype(X.dtype, copy=False)

    def undo(self, X: np.ndarray) -> np.ndarray:
        """The inverse of `apply`, in the type of ``X``."""
        return (X * self.scale + self.mean).astype(X.dtype, copy=False)


# rules ------------------------------------------------------------------------------------------------------------


class CheckedByEstimator:
    """Put before a rule: the estimator has checked the rows as a whole, so the loop's own look at some is left out.

    Some rows of a data set need not be standardised though the whole is.
    """

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        """Done in `fit`."""


class CheckedCD(CheckedByEstimator, ContrastiveDivergence):
    """CD on rows that the estimator has checked."""


class ContinuedPCD(CheckedByEstimator, PersistentContrastiveDivergence):
    """PCD whose chains begin at given hidden states ``h`` (n_chains, n_hidden): one partial fit after another."""

    def __init__(self, h: Tensor, k: int = 1) -> None:
        super().__init__(k=k, n_chains=len(h))
        self.h = h

    @torch.no_grad()
    def start(self, model: Any, setting: Any) -> None:
        super().start(model, setting)
        self.chains = model.sample_v_from_h(self.h.to(model.W), setting.random.child("chains"))


# how long ---------------------------------------------------------------------------------------------------------


def at_least_steps(epochs: int, steps: int, n_rows: int, batch_size: int) -> int:
    """``epochs``, or as many more as make ``steps`` steps: small data need more passes to learn as much."""
    return max(epochs, -(-steps // max(1, -(-n_rows // batch_size))))


def progress(verbose: int, title: str) -> Sequence[Any]:
    """The loop's callbacks: lines on standard error where ``verbose``."""
    return (Progress(sys.stderr, title),) if verbose else ()
