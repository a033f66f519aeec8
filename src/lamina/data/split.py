"""Hold out a test part: stratified on labels, and whole groups on one side.

Where some rows are labelled, the fraction is of the labelled rows, for the others could not be scored.
Unlabelled rows stay in training, except those of a group that is held out: a subject seen in training must
not be tested. Every class keeps at least one training row.
"""

from dataclasses import replace

import numpy as np

from lamina.core.errors import DataError, LabelError, SettingError
from lamina.data.records import DataSet
from lamina.data.take import take_rows

GROUP_ORDERS = 16


def split(dataset: DataSet, test: float, seed: int) -> DataSet:
    """The data set with a fraction `test`, in (0, 1), of its rows moved to the test part; the same for the
    same seed.

    Rows keep their order. Raises SettingError for a fraction outside (0, 1) or a set that has a test part,
    DataError or LabelError where there is too little to hold out.
    """
    if isinstance(test, bool) or not 0 < test < 1:
        raise SettingError(f"test={test!r}: expected a fraction between 0 and 1, such as 0.2")
    if dataset.X_test is not None:
        raise SettingError(f"{dataset.name}: has a test part of {len(dataset.X_test)} rows already: leave test out")
    random = np.random.default_rng(seed)
    y = dataset.y if dataset.y is not None and (dataset.y >= 0).any() else None
    # With no label at all, all rows count alike: one class.
    codes = np.zeros(dataset.n_rows, dtype=np.int64) if y is None else y
    if dataset.groups is None:
        held_out = _rows_held_out(codes, test, random, dataset.name)
    else:
        held_out = _groups_held_out(codes, dataset.groups, test, random, dataset.name)
    return _divide(dataset, np.flatnonzero(~held_out), np.flatnonzero(held_out))


def _divide(dataset: DataSet, train: np.ndarray, test: np.ndarray) -> DataSet:
    y, groups = dataset.y, dataset.groups
    return replace(
        dataset,
        X=take_rows(dataset.X, train),
        y=None if y is None else y[train],
        groups=None if groups is None else groups[train],
        X_test=take_rows(dataset.X, test),
        y_test=None if y is None else y[test],
        groups_test=None if groups is None else groups[test],
    )


def _rows_held_out(codes: np.ndarray, test: float, random: np.random.Generator, name: str) -> np.ndarray:
    """(n_rows,) bool: of each class its share, apportioned by largest remainder."""
    counts = np.bincount(codes[codes >= 0])
    spare = np.maximum(counts - 1, 0)
    if spare.sum() == 0:
        raise LabelError(
            f"{name}: {int(counts.sum())} labelled rows in {int((counts > 0).sum())} classes leave none to "
            "hold out: "
            "label at least two rows of a class"
        )
    n_test = int(np.clip(round(test * counts.sum()), 1, spare.sum()))
    ideal = test * counts
    take = np.minimum(np.floor(ideal).astype(np.int64), spare)
    # The nearest below its share goes first; ties fall by chance.
    order = np.lexsort((random.random(len(counts)), np.floor(ideal) - ideal))
    while take.sum() < n_test:
        for code in order:
            if take.sum() < n_test and take[code] < spare[code]:
                take[code] += 1
    held_out = np.zeros(len(codes), dtype=bool)
    keys = random.random(len(codes))
    for code in np.flatnonzero(take):
        rows = np.flatnonzero(codes == code)
        held_out[rows[np.argsort(keys[rows])[: take[code]]]] = True
    return held_out


def _groups_held_out(
    codes: np.ndarray, groups: np.ndarray, test: float, random: np.random.Generator, name: str
) -> np.ndarray:
    """(n_rows,) bool: the set of whole groups, of a few random orders, whose classes come nearest to
    `test`."""
    found, member = np.unique(groups, return_inverse=True)
    if len(found) < 2:
        raise DataError(f"{name}: one group ({found[0]!s}) cannot lie on both sides: expected two groups or more")
    counts = np.zeros((len(found), int(codes.max()) + 1))
    labelled = codes >= 0
    np.add.at(counts, (member[labelled], codes[labelled]), 1)
    counts = counts[:, counts.sum(axis=0) > 0]
    choices = [_choose_groups(counts, test, random.permutation(len(found))) for _ in range(GROUP_ORDERS)]
    chosen, distance = min(choices, key=lambda choice: choice[1])
    if not np.isfinite(distance):
        raise LabelError(
            f"{name}: whichever of the {len(found)} groups is held out, a class is left without training "
            "rows: "
            "give a test file, or larger training groups"
        )
    return chosen[member]


def _choose_groups(counts: np.ndarray, test: float, order: np.ndarray) -> tuple[np.ndarray, float]:
    """Add groups in this order while the classes' shares come nearer to `test`: (chosen, squared
    distance)."""
    totals = counts.sum(axis=0)
    chosen = np.zeros(len(counts), dtype=bool)
    held, distance = np.zeros_like(totals), np.inf
    for group in order:
        wider = held + counts[group]
        if not counts[group].any() or (wider >= totals).any():
            continue
        wider_distance = float(np.square(wider / totals - test).sum())
        if wider_distance < distance:
            chosen[group], held, distance = True, wider, wider_distance
    return chosen, distance
