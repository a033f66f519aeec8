"""From a data set to rows that a stack can learn from: checked, split, scaled by what the training rows show."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.checks import check_matrix, constant_columns
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.data import DataSet, duplicates_across, load, names, read, split
from lamina.frontends.scaling import Scaling, check_range, choose_scaling, scale_rows

TEST_SHARE = 0.2  # of the rows, where neither the data set nor the user gives a test part


@dataclass(frozen=True)
class Prepared:
    """``X`` (n, features) and ``X_test`` scaled, float32; ``y`` and ``y_test`` class codes (−1 unlabelled) or None."""

    dataset: DataSet
    scaling: Scaling
    X: Any
    y: np.ndarray | None
    X_test: Any
    y_test: np.ndarray | None
    warnings: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        return len(self.dataset.classes)

    @property
    def has_labels(self) -> bool:
        return self.y is not None and bool((self.y >= 0).any())


def open_data(
    data: str,
    *,
    label: str | None = None,
    groups: str | None = None,
    test: str | None = None,
    seed: int = 0,
) -> DataSet:
    """A named data set, or the user's own file or folder, with a test part: given, official, or held out.

    Unlabelled data without a given test part keep all their rows for learning.
    """
    share = _as_share(test)
    named = data in names() and not Path(data).exists()
    if named or (not Path(data).exists() and not Path(data).suffix and "/" not in data):
        dataset = load(data)
        _check_named(data, dataset, label, groups, test, share)
    else:
        dataset = read(data, label=label, groups=groups, test=test if share is None else share, seed=seed)
    if dataset.X_test is None and (share is not None or (dataset.y is not None and bool((dataset.y >= 0).any()))):
        dataset = split(dataset, share or TEST_SHARE, seed)
    return dataset


def _check_named(
    name: str, dataset: DataSet, label: str | None, groups: str | None, test: str | None, share: float | None
) -> None:
    """Refuse options that say how to read a file where the data set is known."""
    for option, value in (("--label", label), ("--groups", groups)):
        if value is not None:
            raise SettingError(f"{option} {value!r} with the named data set {name!r}; expected it with a file only")
    if test is not None and share is None:
        raise SettingError(f"--test {test!r} with the named data set {name!r}; expected a fraction or no --test")
    if test is not None and dataset.X_test is not None:
        raise SettingError(f"--test {test} given, but {name} has an official test part; expected no --test")


def _as_share(test: str | None) -> float | None:
    if test is None:
        return None
    try:
        share = float(test)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise SettingError(f"--test is {share:g}; expected a fraction between 0 and 1, or a file")
    return share


def prepare(dataset: DataSet, *, units: str = "auto", constant: str = "refuse") -> Prepared:
    """Check, scale by the training rows alone, and warn of rows that stand on both sides of the split.

    Raises `DataError` for NaN, infinity, too few rows or (unless ``constant="keep"`` or the rows are images) constant
    columns, `LabelError` where fewer than two classes are labelled.
    """
    name = dataset.name
    check_matrix(dataset.X, name=f"the training rows of {name}", rows_at_least=2)
    if dataset.X_test is not None:
        check_matrix(dataset.X_test, name=f"the test rows of {name}", n_features=dataset.n_features)
    _check_labels(dataset)
    _check_constant(dataset, constant)
    scaling = choose_scaling(dataset.X, units, dataset.value_range)
    if dataset.X_test is not None:
        check_range(scaling, dataset.X_test, f"the test rows of {name}")
    return Prepared(
        dataset=dataset,
        scaling=scaling,
        X=scale_rows(dataset.X, scaling),
        y=dataset.y,
        X_test=None if dataset.X_test is None else scale_rows(dataset.X_test, scaling),
        y_test=dataset.y_test,
        warnings=tuple(_duplicates(dataset)),
    )


def _check_labels(dataset: DataSet) -> None:
    if dataset.y is None or not (dataset.y >= 0).any():
        return
    present = np.unique(dataset.y[dataset.y >= 0])
    if len(present) < 2:
        raise LabelError(
            f"{dataset.name} has labels of one class only ({dataset.classes[present[0]]!r}); expected at least two: "
            f"label rows of another class, or leave all labels out to learn features"
        )
    if dataset.y_test is not None:
        unseen = np.setdiff1d(np.unique(dataset.y_test[dataset.y_test >= 0]), present)
        if len(unseen):
            shown = ", ".join(repr(dataset.classes[k]) for k in unseen[:5])
            raise LabelError(
                f"the test rows of {dataset.name} have the label(s) {shown}, which no training row has; expected "
                f"labels seen in training: label such rows, or remove them from the test part"
            )


def _check_constant(dataset: DataSet, constant: str) -> None:
    columns = constant_columns(dataset.X)
    everything = len(columns) == dataset.n_features
    if not len(columns) or (not everything and (dataset.is_image or constant == "keep")):
        return
    known = dataset.feature_names or tuple(map(str, range(dataset.n_features)))
    shown = ", ".join(known[k] for k in columns[:5]) + (", ..." if len(columns) > 5 else "")
    advice = "check that the right file was read" if everything else "remove them, or pass --constant keep"
    raise DataError(
        f"{dataset.name} has {len(columns)} constant column(s) of {dataset.n_features} ({shown}); expected columns "
        f"that vary: {advice}"
    )


def _duplicates(dataset: DataSet) -> list[str]:
    if dataset.X_test is None:
        return []
    found = duplicates_across(dataset.X, dataset.X_test)
    if not found.exact and not found.near:
        return []
    return [
        f"{found.exact} test row(s) equal a training row and {found.near} more are nearly equal to one: test errors "
        f"may look better than they are (split by --groups if rows come from the same recording)"
    ]


def with_labels(prepared: Prepared, y: np.ndarray) -> Prepared:
    """The same data with other training labels."""
    return dataclasses.replace(prepared, y=y)
