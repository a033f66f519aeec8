"""The reader of `.csv`, `.tsv` and `.parquet` tables: numbers in columns, a label column, a group column.

The label column is named (or numbered); left out, it is the column called label, class or target, else y, if
there is one. Blank cells of it mean unlabelled. Blank feature cells stay NaN. Text in a feature column is
refused.
"""

import csv
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import DataError, FileFormatError, MissingPackageError, SettingError
from lamina.data.label_file import read_values
from lamina.data.messages import one_line, unreadable
from lamina.data.rows import Rows, group_values

LABEL_NAMES = ("label", "class", "target")
BLANK_FEATURES = ["", "NA", "N/A", "n/a", "nan", "NaN", "NAN", "null", "NULL", "None", "<NA>"]
BLANK_LABELS = ["", "nan", "NaN", "NAN", "<NA>"]  # fewer: NA and None are real classes in some tables
TAIL_BYTES = 2**16


def read_table(path: Path, label: str | int | Path | None, groups: str | int | Path | None) -> Rows:
    """Rows of a table as float32 (n, n_features), labels as written.

    `label`, `groups`: name or position of a column, or path of a file with one value per row.
    Raises FileFormatError for a damaged file, DataError for a column that is text or missing,
    MissingPackageError without pandas.
    """
    frame = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, label, groups)
    names = [str(name) for name in frame.columns]
    frame.columns = range(len(names))
    label_column = _column(names, label, "label", path)
    group_column = _column(names, groups, "groups", path)
    if label_column is not None and label_column == group_column:
        raise SettingError(f"{path}: column {names[label_column]!r} is named as label and as groups: name two columns")
    counter = _row_numbers(frame, names)
    features = [k for k in range(len(names)) if k not in (label_column, group_column, counter)]
    _check_numbers(frame, features, names, path)
    labels = _values(frame, label_column, label, len(frame))
    found = _values(frame, group_column, groups, len(frame))
    with np.errstate(over="ignore"):  # beyond float32 becomes infinity, which a study reports with row and column
        X = frame[features].to_numpy(dtype=np.float32, na_value=np.nan)
    return Rows(
        str(path),
        X,
        (len(features),),
        labels=labels,
        groups=None if found is None else group_values(found, f"{path}, groups"),
        feature_names=tuple(names[k] for k in features),
    )


def _import_pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise MissingPackageError('tables need pandas and pyarrow: pip install "lamina[tables]"') from None
    return pandas


def _read_parquet(path: Path) -> Any:
    pandas = _import_pandas()
    try:
        import pyarrow
    except ImportError:
        raise MissingPackageError('parquet files need pyarrow: pip install "lamina[tables]"') from None
    try:
        return pandas.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise unreadable(path, error, "a parquet table") from None


def _read_csv(path: Path, label: str | int | Path | None, groups: str | int | Path | None) -> Any:
    first, last = _first_and_last_line(path)
    delimiter = max(",;\t", key=first.count)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
    n_last = len(next(csv.reader([last], delimiter=delimiter)))
    if n_last < len(cells):
        raise FileFormatError(
            f"{path}: the last line has {n_last} of {len(cells)} fields, so the file ends too early: "
            "copy or write it again"
        )
    heading = _is_heading(cells, [option for option in (label, groups) if isinstance(option, str)])
    names = cells if heading else [str(k) for k in range(len(cells))]
    blanks: dict[int, list[str]] = dict.fromkeys(range(len(cells)), BLANK_FEATURES)
    label_column = _column(names, label, "label", path)
    if label_column is not None:
        blanks[label_column] = BLANK_LABELS
    frame = _parse_csv(path, delimiter, int(heading), blanks)
    frame.columns = names
    return frame


def _parse_csv(path: Path, delimiter: str, n_heading: int, blanks: dict[int, list[str]]) -> Any:
    pandas = _import_pandas()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # rows longer than the heading
            return pandas.read_csv(
                path,
                sep=delimiter,
                header=None,
                skiprows=n_heading,
                names=list(blanks),
                index_col=False,
                keep_default_na=False,
                na_values=blanks,
                low_memory=False,
                encoding="utf-8-sig",
                skipinitialspace=True,
            )
    except (OSError, ValueError, pandas.errors.ParserWarning) as error:
        raise FileFormatError(
            f"{path}: not a table ({one_line(error)}): give every line {len(blanks)} fields"
        ) from None


def _first_and_last_line(path: Path) -> tuple[str, str]:
    try:
        with path.open("rb") as file:
            head = file.read(TAIL_BYTES)
            if not head.strip():
                raise FileFormatError(f"{path}: empty file, expected a table of numbers: write it again")
            if b"\0" in head or head.startswith(b"PK"):
                raise FileFormatError(f"{path}: not text, expected comma-separated values: export the table as CSV")
            file.seek(0)
            first = file.readline().decode("utf-8-sig")
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            tail = file.read().decode("utf-8", errors="replace")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path}: cannot be read as text ({one_line(error)}): save it as UTF-8") from None
    lines = [line for line in tail.splitlines() if line.strip()]
    # A single line longer than the tail would be cut at its front: then nothing can be said about it.
    return first.rstrip("\r\n"), lines[-1] if len(lines) > 1 else first.rstrip("\r\n")


def _is_heading(cells: list[str], options: list[str]) -> bool:
    """A first line is a heading if no cell is a number, if a cell is a known name, or if it counts 0, 1,
    2, ..."""
    numbers = [_is_number(cell) for cell in cells]
    words = {cell.lower() for cell, number in zip(cells, numbers, strict=True) if not number}
    names_a_column = words & {*LABEL_NAMES, "y", *(option.lower() for option in options)}
    counted = cells[1:] if not cells[0] else cells  # pandas leaves the heading of its row numbers blank
    counts = len(counted) > 3 and counted == [str(k) for k in range(len(counted))]
    return not any(numbers) or bool(names_a_column) or counts


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _row_numbers(frame: Any, names: list[str]) -> int | None:
    """Position 0 where a nameless first column counts 0, 1, 2, ...: row numbers that pandas wrote, no
    feature."""
    nameless = names[0] in ("", "Unnamed: 0") and len(names) > 1
    return 0 if nameless and np.array_equal(frame[0].to_numpy(), np.arange(len(frame))) else None


def _column(names: list[str], given: str | int | Path | None, option: str, path: Path) -> int | None:
    """Position of the column, or None where there is none or `given` is a file."""
    if given is None:
        return _usual_label(names, path) if option == "label" else None
    if not isinstance(given, int) and str(given) in names:
        if names.count(str(given)) > 1:
            raise DataError(f"{path}: two columns are called {str(given)!r}: rename one, or give {option} by position")
        return names.index(str(given))
    position = int(str(given)) if str(given).lstrip("-").isdigit() else None
    if position is not None and -len(names) <= position < len(names):
        return position % len(names)
    if not isinstance(given, int) and Path(given).is_file():
        return None
    close = get_close_matches(str(given), names, n=3, cutoff=0.4) or names[:8]
    raise DataError(
        f"{path}: {option}={given!r} is neither a column nor a file; columns: {', '.join(close)}"
        f"{', ...' if len(close) < len(names) else ''}"
    )


def _usual_label(names: list[str], path: Path) -> int | None:
    found = [k for k, name in enumerate(names) if name.lower() in LABEL_NAMES]
    if len(found) > 1:
        # Choosing one would leave the other among the features, where it gives the answer away.
        raise DataError(
            f"{path}: columns {', '.join(names[k] for k in found)} may all be labels: name one, drop the others"
        )
    found = found or [k for k, name in enumerate(names) if name.lower() == "y"]
    return found[0] if found else None


def _check_numbers(frame: Any, features: list[int], names: list[str], path: Path) -> None:
    if not features:
        raise DataError(f"{path}: no feature column is left beside {', '.join(names)}: expected at least one")
    if len(frame) == 0:
        raise FileFormatError(f"{path}: a heading ({', '.join(names[:8])}) and no rows: write it again")
    pandas = _import_pandas()
    text = [names[k] for k in features if not pandas.api.types.is_numeric_dtype(frame.dtypes[k])]
    if text:
        column = frame[features[[names[k] for k in features].index(text[0])]].dropna()
        example = f" (for example {column.iloc[0]!r})" if len(column) else ""
        raise DataError(
            f"{path}: column {text[0]!r}{f' and {len(text) - 1} more' if len(text) > 1 else ''} is no "
            f"number{example}: "
            "name it as label or groups, drop it, or encode it as numbers"
        )


def _values(frame: Any, column: int | None, given: str | int | Path | None, n_rows: int) -> np.ndarray | None:
    if column is None:
        return None if given is None else read_values(Path(str(given)), n_rows)
    series = frame[column]
    if series.dtype.kind in "biuf" and isinstance(series.dtype, np.dtype):
        return np.asarray(series)
    return np.asarray(series.astype(object).where(series.notna(), None), dtype=object)
