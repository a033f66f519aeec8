"""The user's own data: a file or a folder becomes a `DataSet`."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from lamina.core.errors import (
    DataError,
    FileFormatError,
    LabelError,
    SettingError,
    UnknownNameError,
    nearest_names,
)
from lamina.data.array_file import read_npy, read_npz
from lamina.data.image_folder import read_image_folder
from lamina.data.labels import encode_labels
from lamina.data.named import names
from lamina.data.records import DataSet
from lamina.data.rows import Rows
from lamina.data.split import split
from lamina.data.table import read_table

SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")


def read(
    path: str | Path,
    *,
    label: str | int | Path | None = None,
    groups: str | int | Path | None = None,
    test: str | Path | float | None = None,
    name: str | None = None,
    seed: int = 0,
) -> DataSet:
    """Read `.npy`, `.npz`, `.csv`, `.tsv`, `.parquet` or a folder of images; values stay as they are stored.

    label   column (name or position), array of a `.npz`, or path of a file with one value per row, blank =
    unlabelled
    groups  likewise: rows of one group never fall on both sides of a split
    test    path of another such file, or a fraction of the rows in (0, 1), drawn with `seed`
    name    of the data set; default: the file's name

    Raises UnknownNameError or DataError for a missing path, FileFormatError for a file that cannot be read,
    LabelError for test labels that no training row has, DataError for rows that do not fit together,
    SettingError for options.
    """
    where = _existing(path)
    fraction, test_path = _test_option(test)
    train = _read_rows(where, label, groups, sole=True)
    held_out = train.test
    if held_out is not None and test is not None:
        raise SettingError(f"{where}: has a test part of its own, and test={test!r} was given: leave one out")
    if test_path is not None:
        held_out = _read_test(test_path, where, label, groups)
    dataset = _as_dataset(train, name or where.stem)
    if held_out is not None:
        return _with_test(dataset, held_out, train)
    return dataset if fraction is None else split(dataset, fraction, seed)


def _existing(path: str | Path) -> Path:
    where = Path(path).expanduser()
    if where.exists():
        return where
    if isinstance(path, str) and not where.suffix and len(where.parts) == 1:
        raise UnknownNameError(f"no file, folder or data set {path!r} to read: {nearest_names(path, names())}")
    raise DataError(f"{where}: no such file or folder (looked in {Path.cwd()}): check the spelling")


def _test_option(test: str | Path | float | None) -> tuple[float | None, Path | None]:
    """The fraction or the path that `test` means; a number written as text counts where no such file
    exists."""
    if test is None:
        return None, None
    if isinstance(test, str) and not Path(test).exists():
        with suppress(ValueError):
            test = float(test)
    if isinstance(test, str | Path):
        return None, _existing(Path(test))
    if isinstance(test, bool) or not 0 < test < 1:
        raise SettingError(f"test={test!r}: expected a fraction between 0 and 1, or the path of a file of test rows")
    return float(test), None


def _read_rows(path: Path, label: str | int | Path | None, groups: str | int | Path | None, sole: bool) -> Rows:
    if path.is_dir():
        return read_image_folder(path, label, groups)
    if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
        return read_table(path, label, groups)
    if path.suffix.lower() == ".npy":
        return read_npy(path, label, groups, sole)
    if path.suffix.lower() == ".npz":
        return read_npz(path, label, groups)
    raise FileFormatError(f"{path}: expected {', '.join(SUFFIXES)} or a folder of images: convert it to one of these")


def _read_test(path: Path, train_path: Path, label: str | int | Path | None, groups: str | int | Path | None) -> Rows:
    if path.resolve() == train_path.resolve():
        raise SettingError(f"test={path}: is the training file itself: give other rows, or a fraction")
    own = [_unless_file(option) for option in (label, groups)]
    return _read_rows(path, own[0], own[1], sole=path.resolve().parent != train_path.resolve().parent)


def _unless_file(option: str | int | Path | None) -> str | int | Path | None:
    """A column holds for both files; a file of values belongs to the training rows alone."""
    return None if option is not None and not isinstance(option, int) and Path(option).is_file() else option


def _as_dataset(rows: Rows, name: str) -> DataSet:
    codes: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    if rows.labels is not None:
        encoded = encode_labels(rows.labels)
        if len(encoded.classes):
            codes, classes = encoded.codes, encoded.names
    return DataSet(
        name=name,
        X=rows.X,
        y=codes,
        classes=classes,
        shape=rows.shape,
        value_range=rows.value_range,
        groups=rows.groups,
        feature_names=rows.feature_names,
        unit=rows.unit,
        source=rows.path,
    )


def _with_test(dataset: DataSet, test: Rows, train: Rows) -> DataSet:
    test = _aligned(test, train)
    if (test.shape, test.value_range) != (train.shape, train.value_range):
        raise DataError(
            f"{test.path}: test rows of shape {test.shape}, range {test.value_range}, training rows of shape "
            f"{train.shape}, range {train.value_range}: store both in the same way"
        )
    _check_groups_apart(train.groups, test)
    return replace(dataset, X_test=test.X, y_test=_test_codes(test, train, dataset), groups_test=test.groups)


def _aligned(test: Rows, train: Rows) -> Rows:
    """Test columns in the order of the training columns."""
    if test.feature_names == train.feature_names or test.feature_names is None or train.feature_names is None:
        return test
    lacking = [n for n in train.feature_names if n not in test.feature_names]
    surplus = [n for n in test.feature_names if n not in train.feature_names]
    if lacking or surplus:
        raise DataError(
            f"{test.path}: lacks the columns [{', '.join(lacking[:5])}] and has the unknown columns "
            f"[{', '.join(surplus[:5])}], compared with {train.path}: give both the same columns"
        )
    order = [test.feature_names.index(n) for n in train.feature_names]
    return replace(test, X=test.X[:, order], feature_names=train.feature_names)


def _check_groups_apart(groups: np.ndarray | None, test: Rows) -> None:
    if groups is None or test.groups is None:
        return
    shared = np.intersect1d(groups.astype(str), test.groups.astype(str))
    if len(shared):
        raise DataError(
            f"{test.path}: {len(shared)} groups have training rows too (first: {shared[0]}): keep all rows "
            "of a group on "
            "one side"
        )


def _test_codes(test: Rows, train: Rows, dataset: DataSet) -> np.ndarray | None:
    if test.labels is None:
        return None
    if train.labels is None or not dataset.classes:
        raise LabelError(f"{test.path}: has labels, but {train.path} has none: label some training rows")
    try:
        return encode_labels(test.labels, classes=encode_labels(train.labels).classes).codes
    except LabelError as error:
        raise LabelError(f"{test.path}: {error}") from None
