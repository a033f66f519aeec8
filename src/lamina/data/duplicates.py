"""Rows that lie on both sides of a split: they make a test error look better than it is.

Exact: the same bytes, counted over all rows. Near: not the same bytes, and at a distance from a training row
of at most `tolerance` times the distance between two typical training rows (the median of 1,000 random
pairs). Distances are Euclidean; where values are not bytes, each feature is first divided by its standard
deviation, for columns of a table have units of their own; not-a-number counts as the feature's mean.

Near rows are looked for among random projections to 24 dimensions (Johnson and Lindenstrauss 1984): the
nearest training row there is then measured in full. A near row is missed where another row comes nearer in
projection, so their number is a lower bound. Above 6e8 pairs, an evenly spaced sample of rows is searched;
memory stays below about 200 MB beside the rows.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

TOLERANCE = 0.05
MOST_PAIRS = 6e8
MOST_TRAIN_ROWS = 60_000
N_PROJECTIONS = 24
BLOCK_BYTES = 2**25


@dataclass(frozen=True)
class Duplicates:
    """Numbers of test rows that equal (`exact`) or nearly equal (`near`) a training row.

    n_test, n_train            rows of the two parts
    n_test_searched, n_train_searched   rows among which near ones were looked for
    tolerance                  largest distance that counts as near, as a fraction of the typical distance
    exact_rows, near_rows      the test rows meant, sorted
    """

    exact: int
    near: int
    n_test: int
    n_train: int
    n_test_searched: int
    n_train_searched: int
    tolerance: float
    exact_rows: tuple[int, ...] = ()
    near_rows: tuple[int, ...] = ()


def duplicates_across(
    X_train: np.ndarray, X_test: np.ndarray, tolerance: float = TOLERANCE, seed: int = 0
) -> Duplicates:
    """Count the rows of `X_test` (n_test, n_features) that are also, or nearly, in `X_train` (n_train,
    n_features)."""
    exact = _equal_rows(X_train, X_test)
    left = np.setdiff1d(np.arange(len(X_test)), exact)
    train_rows = _evenly(np.arange(len(X_train)), MOST_TRAIN_ROWS)
    test_rows = _evenly(left, int(MOST_PAIRS // max(1, len(train_rows))))
    near = np.empty(0, dtype=np.int64)
    if len(test_rows) and len(train_rows) > 1:
        near = test_rows[_near_rows(X_train, train_rows, X_test, test_rows, tolerance, seed)]
    return Duplicates(
        exact=len(exact),
        near=len(near),
        n_test=len(X_test),
        n_train=len(X_train),
        n_test_searched=len(test_rows),
        n_train_searched=len(train_rows),
        tolerance=tolerance,
        exact_rows=tuple(exact.tolist()),
        near_rows=tuple(near.tolist()),
    )


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _equal_rows(X_train: np.ndarray, X_test: np.ndarray) -> np.ndarray:
    """Test rows whose bytes some training row has; digests of the smaller part alone are kept."""
    dtype = np.result_type(X_train, X_test)
    wanted: dict[bytes, list[int]] = {}
    for row, digest in enumerate(_digests(X_test, dtype)):
        wanted.setdefault(digest, []).append(row)
    found = {digest for digest in _digests(X_train, dtype) if digest in wanted}
    return np.array(sorted(row for digest in found for row in wanted[digest]), dtype=np.int64)


def _digests(X: np.ndarray, dtype: np.dtype):  # type: ignore[no-untyped-def]
    for start, stop in _blocks(len(X), X.shape[1] * dtype.itemsize):
        block = np.ascontiguousarray(X[start:stop], dtype=dtype)
        for row in block:
            yield blake2b(row.data, digest_size=16).digest()


def _blocks(n_rows: int, row_bytes: int) -> list[tuple[int, int]]:
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    return [(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def _near_rows(
    X_train: np.ndarray,
    train_rows: np.ndarray,
    X_test: np.ndarray,
    test_rows: np.ndarray,
    tolerance: float,
    seed: int,
) -> np.ndarray:
    """Positions in `test_rows` of those with a near row among `train_rows`."""
    random = np.random.default_rng(seed)
    centre, scale = _centre_and_scale(X_train, train_rows)
    typical = _typical_distance(X_train, train_rows, centre, scale, random)
    if typical == 0:
        return np.empty(0, dtype=np.int64)
    directions = random.standard_normal((X_train.shape[1], N_PROJECTIONS), dtype=np.float32) / scale[:, None]
    Z_train = _projected(X_train, train_rows, centre, directions)
    Z_test = _projected(X_test, test_rows, centre, directions)
    nearest = _nearest(Z_train, Z_test)
    near = []
    for start, stop in _blocks(len(test_rows), 8 * X_test.shape[1]):
        there = _scaled(X_train[train_rows[nearest[start:stop]]], centre, scale)
        here = _scaled(X_test[test_rows[start:stop]], centre, scale)
        near.append(np.linalg.norm(here - there, axis=1) <= tolerance * typical)
    return np.flatnonzero(np.concatenate(near))


def _centre_and_scale(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n_features,) float32 of a sample; bytes share one unit, hence one
    scale of 1."""
    sample = X[_evenly(rows, 2000)].astype(np.float64)
    sample[~np.isfinite(sample)] = np.nan
    known = np.maximum(np.isfinite(sample).sum(axis=0), 1)
    centre = np.nansum(sample, axis=0) / known
    spread = np.sqrt(np.nansum((sample - centre) ** 2, axis=0) / known)
    # A constant feature says nothing in training; where it varies in the test part, the rows differ in any
    # unit.
    scale = np.ones_like(spread) if X.dtype == np.uint8 else np.where(spread > 0, spread, 1.0)
    return centre.astype(np.float32), scale.astype(np.float32)


def _typical_distance(
    X: np.ndarray, rows: np.ndarray, centre: np.ndarray, scale: np.ndarray, random: np.random.Generator
) -> float:
    pairs = random.integers(len(rows), size=(2, 1000))
    pairs = pairs[:, pairs[0] != pairs[1]]
    if pairs.shape[1] == 0:
        return 0.0
    one, other = (_scaled(X[rows[side]], centre, scale) for side in pairs)
    return float(np.median(np.linalg.norm(one - other, axis=1)))


def _scaled(X: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return _filled(X.astype(np.float32) - centre) / scale


def _filled(centred: np.ndarray) -> np.ndarray:
    """Not-a-number and infinity at the feature's mean, which is 0 after centring."""
    return np.nan_to_num(centred, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _projected(X: np.ndarray, rows: np.ndarray, centre: np.ndarray, directions: np.ndarray) -> np.ndarray:
    Z = np.empty((len(rows), directions.shape[1]), dtype=np.float32)
    for start, stop in _blocks(len(rows), 4 * X.shape[1]):
        Z[start:stop] = _filled(X[rows[start:stop]].astype(np.float32) - centre) @ directions
    return Z


def _nearest(Z_train: np.ndarray, Z_test: np.ndarray) -> np.ndarray:
    """For each test row the position of its nearest training row, by |a - b|^2 = |a|^2 + |b|^2 - 2 ab."""
    lengths = 0.5 * np.square(Z_train).sum(axis=1)
    nearest = np.empty(len(Z_test), dtype=np.int64)
    for start, stop in _blocks(len(Z_test), 4 * len(Z_train)):
        scores = Z_test[start:stop] @ Z_train.T
        scores -= lengths
        nearest[start:stop] = scores.argmax(axis=1)
    return nearest
