"""`Hopfield`: the rows that it is fitted to are memories; damaged rows come back repaired."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lamina.core.checks import value_range
from lamina.core.errors import DataError
from lamina.core.random import as_random
from lamina.estimators.base import checked_rows, tensor, torch_type
from lamina.estimators.limits import check_settings
from lamina.inference import recall
from lamina.models.energy import Hopfield as Network
from lamina.training import store


class Hopfield(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Associative memory of ±1 units (Hopfield 1982): `fit` stores the rows, `predict` and `transform` recall them.

    Without ``threshold``, rows must hold −1 and +1, or 0 and 1, and recalled rows come in the coding of the rows that
    `fit` saw. With a ``threshold`` any numbers are taken, as +1 above it and −1 elsewhere, and recalled rows hold ±1.

    About 0.138 · n_features random rows can be stored by the Hebbian rule with few wrong values, and fewer where rows
    resemble each other; the pseudo-inverse stores up to n_features − 1 independent rows. A row and its negative are one
    memory. The weights take n_features² numbers.

    Parameters
    ----------
    storage : {"hebbian", "storkey", "pseudo-inverse"}, default="hebbian"
        How rows are written into the weights. "storkey" depends on their order.
    recall : {"asynchronous", "synchronous"}, default="asynchronous"
        One unit after another, which always comes to rest, or all units at once, which may end in a cycle of two.
    passes : int, default=100
        Most passes over the units; rows that still move then are given as they stand.
    threshold : float or None, default=None
        Where +1 begins.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of the order in which units are updated; drawn in `fit`, so that a fitted memory always answers alike.

    Attributes
    ----------
    network_ : lamina.models.energy.Hopfield
        float32 where ``X`` is, else float64.
    weights_ : ndarray of shape (n_features, n_features)
        Symmetric, with a zero diagonal.
    coding_ : {"signs", "bits", "threshold"}
        What the rows were: ±1, 0 and 1, or numbers put against ``threshold``.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError)

    Examples
    --------
    >>> from lamina.estimators import Hopfield
    >>> memory = Hopfield(random_state=0).fit([[1, 1, 1, 1, -1, -1, -1, -1]])
    >>> memory.predict([[1, 1, 1, -1, -1, -1, -1, -1]])
    array([[ 1.,  1.,  1.,  1., -1., -1., -1., -1.]])
    """

    def __init__(
        self,
        *,
        storage: str = "hebbian",
        recall: str = "asynchronous",
        passes: int = 100,
        threshold: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.storage = storage
        self.recall = recall
        self.passes = passes
        self.threshold = threshold
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Store the rows of ``X`` (n_rows, n_features), replacing what was stored before; ``y`` is ignored."""
        check_settings(self)
        rows = checked_rows(self, X, fitting=True)
        self.coding_ = _coding(rows) if self.threshold is None else "threshold"
        self._random = as_random(self.random_state).child("Hopfield")
        self.network_ = Network(rows.shape[1], dtype=torch_type(rows.dtype))
        store(self.network_, self._signs(rows), self.storage)
        self.weights_ = self.network_.W.numpy().copy()
        return self

    def predict(self, X: Any) -> np.ndarray:
        """What rows ``X`` (n_rows, n_features) remind the memory of: (n_rows, n_features), in the coding of `fit`."""
        check_is_fitted(self)
        rows = checked_rows(self, X)
        end = recall(
            self.network_,
            self._signs(rows),
            update=self.recall,
            passes=self.passes,
            random_state=self._random,
            trace=False,
        )
        signs = end.states.numpy().astype(rows.dtype, copy=False)
        return (signs + 1) / 2 if self.coding_ == "bits" else signs

    def transform(self, X: Any) -> np.ndarray:
        """The same as `predict`: a step that cleans rows in a pipeline."""
        return self.predict(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """−E(x) of rows ``X`` (n_rows, n_features), without recall: (n_rows,), high near stored rows."""
        check_is_fitted(self)
        rows = checked_rows(self, X)
        return -self.network_.energy(self._signs(rows)).numpy()

    def _signs(self, rows: np.ndarray) -> torch.Tensor:
        """Rows as ±1 in the network's type; `DataError` where they are in no coding or in another one than in `fit`."""
        if self.coding_ == "threshold":
            signs = np.where(rows > self.threshold, 1.0, -1.0)
        elif self.coding_ == "bits":
            _check_values(rows, (0, 1), self.coding_)
            signs = 2 * rows - 1
        else:
            _check_values(rows, (-1, 1), self.coding_)
            signs = rows
        dtype = torch_type(rows.dtype) if not hasattr(self, "network_") else self.network_.W.dtype
        return tensor(signs, dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _coding(rows: np.ndarray) -> str:
    """ "bits" for rows of 0 and 1, "signs" for rows of ±1 (and for rows of 1 alone)."""
    low, _ = value_range(rows)
    coding, values = ("bits", (0, 1)) if low == 0 else ("signs", (-1, 1))
    _check_values(rows, values, coding)
    return coding


def _check_values(rows: np.ndarray, values: tuple[int, int], coding: str) -> None:
    if not np.isin(rows, values).all():
        low, high = value_range(rows)
        raise DataError(
            f"the data lie in [{low:g}, {high:g}]; expected {values[0]} and {values[1]} alone ({coding}): pass rows of "
            f"−1 and +1 or of 0 and 1, or set threshold= to say where +1 begins"
        )
