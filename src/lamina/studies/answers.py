"""What fitted methods answer to test rows, whether they are networks or scikit-learn's, and how often it is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.metrics import error_rate
from lamina.models import MLP
from lamina.models.networks import FeatureClassifier
from lamina.studies.baselines import predict_codes
from lamina.studies.preparation import Prepared

NETWORKS = (MLP, FeatureClassifier)  # what a run can keep as its model; the others are scikit-learn's
CHUNK = 10_000


def predict_rows(fitted: Any, X: Any) -> np.ndarray:
    """Class codes (n,) of rows ``X`` (n, features) or None."""
    if X is None or not len(X):
        return np.zeros(0, np.int64)
    if isinstance(fitted, NETWORKS):
        return predict_codes(fitted, X)
    return np.concatenate([fitted.predict(np.asarray(X[k : k + CHUNK])) for k in range(0, len(X), CHUNK)])


def error_on_test(data: Prepared, predicted: np.ndarray) -> float | None:
    """Share of the labelled test rows that is wrong; None where there are none."""
    y = data.y_test
    if y is None or not (y >= 0).any():
        return None
    return error_rate(y[y >= 0], predicted[y >= 0])
