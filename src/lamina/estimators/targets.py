"""What estimators learn towards: labels as class codes, real targets standardised."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, column_or_1d

from lamina.core.checks import check_matrix
from lamina.core.errors import DataError, LabelError
from lamina.core.labels import encode_labels
from lamina.estimators.base import Scaling


def class_codes(estimator: Any, y: Any, n_rows: int) -> np.ndarray:
    """Class codes (n_rows,) of labels ``y``, -1 for unlabelled rows; sets ``classes_``. Raises `LabelError`."""
    name = type(estimator).__name__
    if y is None:
        raise LabelError(f"{name} requires y to be passed, but the target y is None: pass labels, -1 for none")
    try:
        column = column_or_1d(y if hasattr(y, "__array__") else np.asarray(y, dtype=object), warn=True)
    except ValueError as problem:
        raise LabelError(str(problem)) from None
    if len(column) != n_rows:
        raise LabelError(f"there are {len(column)} labels for {n_rows} rows; expected one label per row")
    codes, estimator.classes_ = encode_labels(column, estimator.unlabelled)
    if len(estimator.classes_) < 2:
        n_labelled = int((codes >= 0).sum())
        raise LabelError(
            f"y holds {len(estimator.classes_)} class(es) in {n_labelled} labelled row(s) of {n_rows}; expected at "
            f"least 2 classes: label more rows, or set unlabelled= if a class was taken for the mark of no label"
        )
    return codes


def standardised_targets(estimator: Any, y: Any, n_rows: int) -> np.ndarray:
    """Real targets ``y``, one or several per row, standardised: (n_rows, n_targets) float64.

    Sets ``target_mean_`` and ``target_scale_``, and whether there is one target alone. Raises `DataError`.
    """
    if y is None:
        name = type(estimator).__name__
        raise DataError(f"{name} requires y to be passed, but the target y is None: pass one target per row")
    try:
        targets = check_array(y, ensure_2d=False, dtype=np.float64, ensure_all_finite=False, input_name="y")
    except ValueError as problem:
        raise DataError(str(problem)) from None
    estimator._one_target = targets.ndim == 1
    targets = targets.reshape(len(targets), -1)
    if len(targets) != n_rows:
        raise DataError(f"there are {len(targets)} targets for {n_rows} rows; expected one per row")
    check_matrix(targets, name="the targets")
    scaling = Scaling.of(targets)
    estimator.target_mean_, estimator.target_scale_ = scaling.mean, scaling.scale
    return scaling.apply(targets)
