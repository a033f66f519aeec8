"""The record that every reader returns and that the rest of the library starts from."""

from dataclasses import dataclass
from math import prod

import numpy as np

from lamina.core.errors import DataError


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so == would raise
class DataSet:
    """Rows of a signal as they are stored, with what is known about them.

    Arrays may be read-only (memory maps, bytes of a file): copy before writing.

    name           short name, for tables and folders
    X              (n_rows, n_features), as stored: uint8 for images, float32 for tables, a memory map for
    `.npy`
    y              (n_rows,) int64 class codes, -1 = unlabelled; None = no labels at all
    classes        (n_classes,) names; code k means ``classes[k]``
    shape          of one row: (channels, height, width) for images, else (n_features,)
    value_range    (lowest, highest) value the storage allows, in the unit of X; None = not known
    groups         (n_rows,) subject, speaker or recording of each row; None = rows are independent
    X_test, y_test, groups_test   the official test part, same conventions; None = the set has none
    feature_names  (n_features,) column names, or None
    rate           samples per second, Hz; None where rows are not pieces of a time signal
    unit           physical unit of the values of X, "" if unknown
    source         where it came from, and its licence

    Raises DataError where lengths and shapes contradict each other.
    """

    name: str
    X: np.ndarray
    y: np.ndarray | None
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    value_range: tuple[float, float] | None = None
    groups: np.ndarray | None = None
    X_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    groups_test: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    rate: float | None = None
    unit: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.X.ndim != 2:
            raise DataError(f"{self.name}: X has shape {self.X.shape}, expected (n_rows, n_features): flatten rows")
        if prod(self.shape) != self.n_features:
            raise DataError(
                f"{self.name}: a row of shape {self.shape} has {prod(self.shape)} values, X has {self.n_features}"
            )
        if self.X_test is not None and self.X_test.shape[1:] != self.X.shape[1:]:
            raise DataError(
                f"{self.name}: test rows have shape {self.X_test.shape[1:]}, training rows "
                f"{self.X.shape[1:]}: "
                "both parts need the same features"
            )
        n_test = 0 if self.X_test is None else len(self.X_test)
        _check_length(self.name, "y", self.y, self.n_rows)
        _check_length(self.name, "groups", self.groups, self.n_rows)
        _check_length(self.name, "y_test", self.y_test, n_test)
        _check_length(self.name, "groups_test", self.groups_test, n_test)

    @property
    def n_rows(self) -> int:
        """Rows of the training part."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Values per row."""
        return int(self.X.shape[1])

    @property
    def is_image(self) -> bool:
        """True where a row is an image, (channels, height, width)."""
        return len(self.shape) == 3

    def __repr__(self) -> str:
        n_test = 0 if self.X_test is None else len(self.X_test)
        n_labels = 0 if self.y is None else int((self.y >= 0).sum())
        return (
            f"DataSet({self.name!r}, {self.n_rows} rows of shape {self.shape} {self.X.dtype}, "
            f"{n_labels} labelled, {len(self.classes)} classes, {n_test} test rows)"
        )


def _check_length(name: str, what: str, values: np.ndarray | None, n_rows: int) -> None:
    if values is not None and values.shape != (n_rows,):
        raise DataError(f"{name}: {what} has shape {values.shape}, expected ({n_rows},): one value per row")
