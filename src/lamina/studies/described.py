"""What a study's records say of its data, the same whichever study it is."""

from __future__ import annotations

from lamina.data import DataSet
from lamina.studies.preparation import Prepared


def describe_rows(dataset: DataSet) -> dict:
    """What must stand beside a model so that it can be put to new rows: classes, shape of a row, names of columns."""
    names = dataset.feature_names
    return {
        "classes": list(dataset.classes),
        "shape": list(dataset.shape),
        "data": dataset.name,
        "feature_names": None if names is None else list(names),
    }


def describe_data(data: Prepared, n_labels: int) -> dict:
    """The part ``data`` of ``records.json``."""
    dataset = data.dataset
    return {
        "name": dataset.name,
        "n_train": len(data.X),
        "n_labels": n_labels,
        "n_test": 0 if data.X_test is None else len(data.X_test),
        "n_features": dataset.n_features,
        "shape": list(dataset.shape),
        "classes": list(dataset.classes),
        "units": data.scaling.units,
        "why_units": data.scaling.why,
        "source": dataset.source,
    }
