"""How good a map is: how near its prototypes are to the rows, and whether neighbours on it are neighbours in the data.

quantisation error  mean over rows of ‖x − w_c‖ to the winner c: falls with more units and narrower neighbourhoods, and
                    knows nothing of order
topographic error   share of rows whose two nearest units do not touch on the grid (Kiviluoto 1996): 0 for a map without
                    folds. It knows nothing of how near the rows are
hits                rows that each unit wins
majority labels     the class that most of a unit's rows have: a map as a classifier

A map trades the one error for the other by its last radius: give both. Arrays are NumPy's; prototypes are (n_units,
n_features), ``touching`` (n_units, n_units) bool.
"""

from __future__ import annotations

import numpy as np

from lamina.core.errors import DataError

AT_ONCE = 1 << 23  # distances that are held at once


def nearest_units(X: np.ndarray, prototypes: np.ndarray, k: int = 2) -> np.ndarray:
    """The ``k`` units nearest to each row of ``X`` (n, n_features), the nearest first: (n, k) int64."""
    _check(X, prototypes)
    if not 1 <= k <= len(prototypes):
        raise DataError(f"{k} nearest units asked for among {len(prototypes)}; expected 1 to {len(prototypes)}")
    lengths = (prototypes.astype(np.float64) ** 2).sum(1)
    step = max(1, AT_ONCE // len(prototypes))
    found = []
    for start in range(0, len(X), step):
        part = lengths - 2 * (X[start : start + step].astype(np.float64) @ prototypes.T.astype(np.float64))
        first = np.argpartition(part, k - 1, axis=1)[:, :k] if k < part.shape[1] else np.argsort(part, axis=1)
        order = np.take_along_axis(part, first, 1).argsort(1, kind="stable")
        found.append(np.take_along_axis(first, order, 1))
    return np.concatenate(found)


def quantisation_error(X: np.ndarray, prototypes: np.ndarray) -> float:
    """Mean distance of the rows of ``X`` (n, n_features) to the nearest prototype, in the units of the data."""
    winners = nearest_units(X, prototypes, 1)[:, 0]
    step = max(1, AT_ONCE // max(1, X.shape[1]))
    total = 0.0
    for start in range(0, len(X), step):
        rows = X[start : start + step].astype(np.float64) - prototypes[winners[start : start + step]]
        total += float(np.sqrt((rows**2).sum(1)).sum())
    return total / len(X)


def topographic_error(X: np.ndarray, prototypes: np.ndarray, touching: np.ndarray) -> float:
    """Share of the rows of ``X`` whose two nearest units do not touch; 0 for a single unit."""
    if touching.shape != (len(prototypes), len(prototypes)):
        raise DataError(f"touching has shape {touching.shape}; expected ({len(prototypes)}, {len(prototypes)})")
    if len(prototypes) == 1:
        _check(X, prototypes)
        return 0.0
    first, second = nearest_units(X, prototypes, 2).T
    return float(np.mean(~touching[first, second]))


def hits(winners: np.ndarray, n_units: int) -> np.ndarray:
    """Rows that each unit wins: (n_units,) int64."""
    return np.bincount(winners, minlength=n_units)


def majority_labels(winners: np.ndarray, codes: np.ndarray, n_units: int, n_classes: int) -> np.ndarray:
    """The class code (n_units,) that most rows of each unit have; −1 for a unit without rows. Ties: the first class."""
    if winners.shape != codes.shape or winners.ndim != 1:
        raise DataError(f"winners have shape {winners.shape}, labels {codes.shape}; expected one each per row")
    counts = np.zeros((n_units, n_classes), np.int64)
    np.add.at(counts, (winners, codes), 1)
    return np.where(counts.sum(1) > 0, counts.argmax(1), -1)


def _check(X: np.ndarray, prototypes: np.ndarray) -> None:
    if X.ndim != 2 or prototypes.ndim != 2 or X.shape[1] != prototypes.shape[1] or not len(X):
        raise DataError(
            f"rows have shape {X.shape}, prototypes {prototypes.shape}; expected (rows, features) with at least one "
            f"row, and as many features in both"
        )
