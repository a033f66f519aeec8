"""Choose the rows whose labels may be looked at: N labels, as equal per class as possible."""

import numpy as np

from lamina.core.errors import LabelError, SettingError


def draw_labels(y: np.ndarray, n: int | str, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Sorted row numbers (n,) of a balanced draw among the labelled rows of `y` (n_rows,) int64, -1 =
    unlabelled.

    Classes take turns, so their numbers differ by at most one while rows last; a class that runs out leaves
    its turn to the others. Draws are nested: with one seed, the 100 rows are among the 1,000. With `groups`
    (n_rows,), the rows of a class come from its groups in turn, so that few labels see many subjects.
    ``n="all"``: every labelled row. Raises LabelError where n is below the number of classes or above the
    number of labelled rows, SettingError where n is no whole number.
    """
    y = np.asarray(y)
    labelled = np.flatnonzero(y >= 0)
    if isinstance(n, str) and n == "all":
        return labelled
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise SettingError(f"labels={n!r}: expected a whole number of labels, or 'all'")
    classes = np.unique(y[labelled])
    if n > len(labelled):
        raise LabelError(f"labels={n}: only {len(labelled)} rows are labelled: ask for at most that many, or 'all'")
    if n < max(1, len(classes)):
        raise LabelError(f"labels={n}: fewer than the {len(classes)} classes: ask for at least one label per class")
    random = np.random.default_rng(seed)
    keys = random.random(len(y))[labelled]
    if groups is not None:
        keys = keys + _rank_within(np.asarray(groups)[labelled], y[labelled], keys)
    rank = _rank_within(y[labelled], np.zeros(len(labelled), np.int64), keys)
    turn = random.permutation(len(classes))[np.searchsorted(classes, y[labelled])]
    return np.sort(labelled[np.lexsort((turn, rank))[:n]])


def _rank_within(first: np.ndarray, second: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Position (n,), from 0, of each row by `keys` among the rows that share its `first` and `second`
    value."""
    cell = np.unique(first, return_inverse=True)[1] * (int(second.max()) + 1) + second
    order = np.lexsort((keys, cell))
    sizes = np.bincount(cell)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = np.empty(len(keys), dtype=np.int64)
    rank[order] = np.arange(len(keys)) - starts
    return rank
