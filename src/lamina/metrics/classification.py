"""Classification: class codes in, rates out. Errors are fractions in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamina.core.errors import DataError


def validate(y_true: np.ndarray, y_predicted: np.ndarray) -> None:
    """Raise `DataError` unless both are 1-D arrays of equal, positive length."""
    if y_true.ndim != 1 or y_predicted.ndim != 1 or len(y_true) != len(y_predicted) or len(y_true) == 0:
        raise DataError(
            f"true labels have shape {y_true.shape}, predictions {y_predicted.shape}; expected two 1-D arrays of the "
            f"same length: pass predict(X) for the rows whose labels you compare with"
        )


def error_rate(y_true: np.ndarray, y_predicted: np.ndarray) -> float:
    """Share of rows whose predicted class is wrong."""
    validate(y_true, y_predicted)
    return float(np.mean(y_true != y_predicted))


def confusion_matrix(y_true: np.ndarray, y_predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (n_classes, n_classes): row = true class, column = predicted class."""
    validate(y_true, y_predicted)
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (y_true, y_predicted), 1)
    return counts


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n − 1 in the denominator; 0 for one value) of repeated measurements."""

    mean: float
    sd: float
    n: int


def spread(values: list[float]) -> Spread:
    """Mean and spread of ``values`` (at least one)."""
    array = np.asarray(values, dtype=np.float64)
    return Spread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0, len(array))
