"""Pick rows of an array that may be bigger than memory."""

import tempfile

import numpy as np

IN_MEMORY_BYTES = 2**30
CHUNK_BYTES = 2**26


def take_rows(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``X[rows]``, (len(rows), n_features).

    A memory map whose selection exceeds `IN_MEMORY_BYTES` is copied in blocks to a temporary file (in
    `TMPDIR`) that disappears with the result, so a split of a large file does not fill the memory.
    """
    row_bytes = X.dtype.itemsize * X.shape[1]
    if not isinstance(X, np.memmap) or len(rows) * row_bytes <= IN_MEMORY_BYTES:
        return np.asarray(X[rows])
    with tempfile.TemporaryFile(prefix="lamina-") as file:
        taken = np.memmap(file, dtype=X.dtype, mode="w+", shape=(len(rows), X.shape[1]))
    step = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, len(rows), step):
        taken[start : start + step] = X[rows[start : start + step]]
    taken.flush()
    return taken
