"""What a reader of one file hands on: rows with raw labels, before classes are numbered."""

from dataclasses import dataclass

import numpy as np

from lamina.core.errors import DataError, FileFormatError, LabelError
from lamina.data.labels import blank_values


@dataclass(frozen=True, eq=False)
class Rows:
    """One part of the data as found in a file.

    X (n, n_features); labels (n,) as written, blanks included, or None; groups (n,) or None; `shape` of one
    row; `test` holds the test part where the same file or folder carries one.
    """

    path: str
    X: np.ndarray
    shape: tuple[int, ...]
    value_range: tuple[float, float] | None = None
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    unit: str = ""
    test: "Rows | None" = None

    def __post_init__(self) -> None:
        if len(self.X) == 0 or self.X.shape[1] == 0:
            raise FileFormatError(
                f"{self.path}: holds an empty array {self.X.shape}, expected at least one row and one feature"
            )
        if self.labels is not None and self.labels.shape != (len(self.X),):
            raise LabelError(
                f"{self.path}: {len(self.X)} rows but labels of shape {self.labels.shape}: give one label "
                "per row, "
                "blank where it is unknown"
            )
        if self.groups is not None and self.groups.shape != (len(self.X),):
            raise DataError(
                f"{self.path}: {len(self.X)} rows but groups of shape {self.groups.shape}: give one group per row"
            )


def group_values(values: np.ndarray, where: str) -> np.ndarray:
    """Groups as numbers or text, (n,); a blank group raises DataError, for its row could land on either
    side."""
    blank = blank_values(values)
    if blank.any():
        raise DataError(
            f"{where}: {int(blank.sum())} rows have a blank group (first: row {int(np.argmax(blank))}): "
            "name the "
            "subject or recording of every row, or leave groups out"
        )
    return values.astype(str) if values.dtype.kind == "O" else values
