"""One value per row from a file of its own: labels or groups beside an array or a table."""

from pathlib import Path

import numpy as np

from lamina.core.errors import DataError, FileFormatError
from lamina.data.numpy_file import load_npy

HEADINGS = ("label", "labels", "class", "target", "y", "group", "groups", "subject", "speaker")


def read_values(path: Path, n_rows: int) -> np.ndarray:
    """Values (n_rows,) of a `.npy`, `.txt` or `.csv` file: whole numbers, numbers or text; "" is a blank.

    A heading line and blank lines beyond `n_rows` are dropped. Raises FileFormatError for a file that cannot
    be read, DataError for another number of values.
    """
    if path.suffix == ".npy":
        values = np.asarray(load_npy(path))
    elif path.suffix in (".txt", ".csv"):
        values = _typed(_lines(path, n_rows))
    else:
        raise FileFormatError(f"{path}: expected one value per row as .npy, .txt or .csv")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n_rows,):
        raise DataError(
            f"{path}: holds values of shape {values.shape} for {n_rows} rows: give one value per row, blank if unknown"
        )
    return values


def _lines(path: Path, n_rows: int) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path}: cannot be read as text ({error}): expected one value per line") from None
    if not text or "\0" in text:
        raise FileFormatError(f"{path}: {'empty file' if not text else 'not text'}, expected one value per line")
    lines = [line.strip().strip('"') for line in text.splitlines()]
    while len(lines) > n_rows and not lines[-1]:
        lines.pop()
    if len(lines) == n_rows + 1 and lines[0].lower() in HEADINGS:
        lines = lines[1:]
    return lines


def _typed(lines: list[str]) -> np.ndarray:
    """Whole numbers where all are, numbers (blank = NaN) where all others are, else text."""
    for convert in (int, float):
        try:
            return np.array([convert(line) if line or convert is int else np.nan for line in lines])
        except (ValueError, OverflowError):
            continue
    return np.array(lines, dtype=np.str_)
