"""Labels as written → class codes: the one place that decides which rows are unlabelled.

The rule, `unlabelled="auto"`:

- a blank (None, NaN, "", only spaces) is always unlabelled;
- among numbers, -1 is unlabelled when at least two other classes remain; with {-1, 1} alone, -1 is a class;
  where every number is -1, every row is unlabelled;
- text other than a blank is a class, "-1" too.

`unlabelled=None` takes only blanks as unlabelled; any other value means that value and blanks.
"""

from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from lamina.core.errors import LabelError


class EncodedLabels(NamedTuple):
    """codes (n,) int64, -1 = unlabelled; classes (n_classes,) sorted, of the type in which they were
    given."""

    codes: np.ndarray
    classes: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Classes as text; 3.0 reads "3", for blanks turn whole numbers into floats."""
        return tuple(_name(value) for value in self.classes)


def encode_labels(values: Any, unlabelled: Any = "auto", classes: np.ndarray | None = None) -> EncodedLabels:
    """Number the classes of `values` (n,); see the module's head for what counts as unlabelled.

    With `classes`, of an earlier call, those codes are used: -1 is then unlabelled unless it is one of them.
    Raises LabelError for labels that are not one column, are fractions or infinite, mix text and numbers, or
    are not among the given `classes`.
    """
    column = _as_column(values)
    blank = blank_values(column)
    present = _typed(column[~blank])
    marked = _marked(present, unlabelled, classes)
    labelled = present[~marked]
    known = np.unique(labelled) if classes is None else np.asarray(classes)
    codes = np.full(len(column), -1, dtype=np.int64)
    codes[np.flatnonzero(~blank)[~marked]] = _codes(labelled, known)
    if classes is None and column.dtype.kind == "O" and _is_text(known):
        known = known.astype(object)
    return EncodedLabels(codes, known)


def blank_values(column: np.ndarray) -> np.ndarray:
    """Which of `column` (n,) are None, NaN, "" or only spaces: (n,) bool."""
    kind = column.dtype.kind
    if kind == "f":
        return np.isnan(column)
    if kind == "U":
        return np.char.str_len(np.char.strip(column)) == 0
    if kind == "O":
        return np.fromiter((_is_blank(value) for value in column), dtype=bool, count=len(column))
    return np.zeros(len(column), dtype=bool)


def _is_blank(value: object) -> bool:
    if value is None or type(value).__name__ in (
        "NAType",
        "NaTType",
    ):  # the marks of pandas, without importing it
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _as_column(values: Any) -> np.ndarray:
    # A list keeps its Python types this way; numpy alone would turn [1, "a"] into text without a word.
    column = np.asarray(values) if hasattr(values, "dtype") else np.asarray(values, dtype=object)
    if column.ndim != 1:
        raise LabelError(f"labels have shape {column.shape}, expected (n_rows,): give one label per row")
    if column.dtype.kind == "S":
        return np.char.decode(column, "utf-8")
    if column.dtype.kind in "cMmV":
        raise LabelError(f"labels are of type {column.dtype}, expected whole numbers or text")
    return column if column.dtype.kind in "biufUO" else column.astype(object)


def _typed(present: np.ndarray) -> np.ndarray:
    if len(present) == 0:
        return np.empty(0, dtype=np.str_ if present.dtype.kind == "U" else np.int64)
    if present.dtype.kind == "O":
        is_text = [isinstance(value, str) for value in present]
        is_number = [isinstance(value, Number | np.bool_) for value in present]
        if not all(is_text) and not all(is_number):
            odd = present[int(np.argmin(is_text))]
            raise LabelError(
                f"labels mix text and {type(odd).__name__} ({odd!r}): write all classes as text or all as whole numbers"
            )
        present = np.array(present.tolist())
    if present.dtype.kind == "f":
        _check_whole(present)
    return present


def _check_whole(present: np.ndarray) -> None:
    odd = ~np.isfinite(present) | (present != np.floor(present))
    if odd.any():
        # The first words are those that scikit-learn's own checks of estimators look for.
        raise LabelError(
            f"Unknown label type: continuous ({present[np.argmax(odd)]}; {int(odd.sum())} labels are not "
            "whole numbers): "
            "give classes as whole numbers or text, or use a regressor"
        )


def _is_text(array: np.ndarray) -> bool:
    return array.dtype.kind == "U" or (array.dtype.kind == "O" and all(isinstance(v, str) for v in array))


def _marked(present: np.ndarray, unlabelled: Any, classes: np.ndarray | None) -> np.ndarray:
    nothing = np.zeros(len(present), dtype=bool)
    automatic = isinstance(unlabelled, str) and unlabelled == "auto"
    mark = -1 if automatic else unlabelled
    if mark is None or isinstance(mark, str) != _is_text(present) or (automatic and present.dtype.kind == "b"):
        return nothing
    if not automatic:
        return np.asarray(present == mark)
    if classes is not None:
        return nothing if -1 in classes.tolist() else np.asarray(present == -1)
    n_others = len(np.unique(present[present != -1]))
    return nothing if n_others == 1 else np.asarray(present == -1)


def _codes(labelled: np.ndarray, known: np.ndarray) -> np.ndarray:
    if len(labelled) == 0:
        return np.empty(0, dtype=np.int64)
    number = {value: code for code, value in enumerate(known.tolist())}
    found, back = np.unique(labelled, return_inverse=True)
    lacking = [value for value in found.tolist() if value not in number]
    if lacking:
        raise LabelError(
            f"labels {', '.join(repr(v) for v in lacking[:5])} are not among the {len(known)} classes of "
            "the training "
            f"part ({', '.join(repr(v) for v in known.tolist()[:10])}): add training rows of them, or drop "
            "these rows"
        )
    return np.array([number[value] for value in found.tolist()], dtype=np.int64)[back]


def _name(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
