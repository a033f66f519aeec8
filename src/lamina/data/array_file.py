"""The reader of `.npy` and `.npz` files. Python objects in them are never unpickled.

`.npy`: rows (n, n_features), or images (n, height, width) or (n, channels, height, width), memory-mapped.
Labels lie beside it as `NAME_labels.npy` or `labels.npy`, or in a file that is named.
`.npz`: rows under X, data, x or images; labels under y, labels or target; groups, X_test, y_test,
groups_test.
"""

from math import prod
from pathlib import Path

import numpy as np

from lamina.core.errors import DataError, SettingError
from lamina.data.label_file import read_values
from lamina.data.numpy_file import load_npy, load_npz
from lamina.data.rows import Rows, group_values

ROW_KEYS = ("X", "data", "x", "images", "X_train", "x_train")
LABEL_KEYS = ("y", "labels", "target", "y_train")
TEST_ROW_KEYS = ("X_test", "x_test")
TEST_LABEL_KEYS = ("y_test",)
SAMPLED_ROWS = 1000


def read_npy(path: Path, label: str | int | Path | None, groups: str | int | Path | None, sole: bool = True) -> Rows:
    """Rows of a `.npy` file; `label` and `groups` are paths of files with one value per row.

    `sole` is False for a test file, beside which a plain `labels.npy` would be that of the training rows.
    Raises FileFormatError for a damaged file, DataError for shapes that are no rows, SettingError for a
    column name.
    """
    X, shape, value_range = as_rows(load_npy(path), str(path))
    label_path = _values_path(label, "label", path) if label is not None else _sibling_labels(path, sole)
    labels = None if label_path is None else read_values(label_path, len(X))
    group_path = None if groups is None else _values_path(groups, "groups", path)
    found = None if group_path is None else group_values(read_values(group_path, len(X)), str(group_path))
    return Rows(str(path), X, shape, value_range, labels, found)


def read_npz(path: Path, label: str | int | Path | None, groups: str | int | Path | None) -> Rows:
    """Rows of a `.npz` file; `label` and `groups` are names of arrays in it, or paths of files with one value
    per row.

    Raises FileFormatError for a damaged file, DataError where no array of rows is found.
    """
    arrays = load_npz(path)
    rows = _first(arrays, ROW_KEYS)
    if rows is None:
        raise DataError(
            f"{path}: holds {', '.join(arrays) or 'nothing'}; expected rows under one of {', '.join(ROW_KEYS)}"
        )
    X, shape, value_range = as_rows(rows, str(path))
    labels = _named_values(arrays, label, LABEL_KEYS, "label", path, len(X))
    found = _named_values(arrays, groups, ("groups",), "groups", path, len(X))
    found = None if found is None else group_values(found, f"{path}, groups")
    return Rows(str(path), X, shape, value_range, labels, found, test=_test_part(arrays, path))


def as_rows(array: np.ndarray, where: str) -> tuple[np.ndarray, tuple[int, ...], tuple[float, float] | None]:
    """Rows (n, n_features) of an array, the shape of one row, and the range that its storage allows.

    Images may be (n, height, width), (n, channels, height, width) or (n, height, width, 1). DataError for the
    rest.
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: values of type {array.dtype}, expected numbers: save the array as float32 or uint8")
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: array of shape {array.shape}, expected (rows, features), (rows, height, width) or "
            "(rows, channels, height, width): one row per example"
        )
    shape = _row_shape(array.shape, where)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    rows = array.reshape(len(array), prod(shape))
    return rows, shape, _value_range(rows, len(shape) == 3)


def _row_shape(shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    if len(shape) == 2:
        return (shape[1],)
    if len(shape) == 3:
        return (1, *shape[1:])
    if shape[3] == 1:  # the same bytes in the same order
        return (1, *shape[1:3])
    if shape[3] in (3, 4) and shape[1] not in (1, 3, 4):
        raise DataError(
            f"{where}: images of shape {shape[1:]} seem to have their colours last, expected (channels, "
            "height, width): "
            "save array.transpose(0, 3, 1, 2)"
        )
    return tuple(shape[1:])


def _value_range(rows: np.ndarray, is_image: bool) -> tuple[float, float] | None:
    if rows.dtype.kind == "b":
        return (0.0, 1.0)
    if rows.dtype != np.uint8 or not is_image or rows.size == 0:
        return None
    # Black-and-white images are often stored as bytes 0 and 1; a look at some rows tells them from grey
    # levels.
    sample = rows[:: max(1, len(rows) // SAMPLED_ROWS)]
    return (0.0, 1.0) if int(sample.max()) <= 1 else (0.0, 255.0)


def _sibling_labels(path: Path, sole: bool) -> Path | None:
    siblings = [path.with_name(f"{path.stem}_labels.npy")] + ([path.with_name("labels.npy")] if sole else [])
    return next((sibling for sibling in siblings if sibling.is_file() and sibling != path), None)


def _values_path(given: str | int | Path, option: str, path: Path) -> Path:
    if isinstance(given, int) or not Path(given).is_file():
        raise SettingError(
            f"{option}={given!r}: no such file; {path.name} has no columns, so {option} must be the path "
            "of a .npy, "
            ".txt or .csv file with one value per row"
        )
    return Path(given)


def _first(arrays: dict[str, np.ndarray], keys: tuple[str, ...]) -> np.ndarray | None:
    return next((arrays[key] for key in keys if key in arrays), None)


def _named_values(
    arrays: dict[str, np.ndarray],
    given: str | int | Path | None,
    keys: tuple[str, ...],
    option: str,
    path: Path,
    n_rows: int,
) -> np.ndarray | None:
    if given is None:
        values = _first(arrays, keys)
        return values[:, 0] if values is not None and values.ndim == 2 and values.shape[1] == 1 else values
    if str(given) in arrays:
        return arrays[str(given)]
    if isinstance(given, int) or not Path(given).is_file():
        raise SettingError(f"{option}={given!r}: neither an array in {path} (it holds {', '.join(arrays)}) nor a file")
    return read_values(Path(given), n_rows)


def _test_part(arrays: dict[str, np.ndarray], path: Path) -> Rows | None:
    rows = _first(arrays, TEST_ROW_KEYS)
    if rows is None:
        return None
    where = f"{path}, test part"
    X, shape, value_range = as_rows(rows, where)
    labels = _named_values(arrays, None, TEST_LABEL_KEYS, "label", path, len(X))
    groups = arrays.get("groups_test")
    return Rows(where, X, shape, value_range, labels, None if groups is None else group_values(groups, where))
