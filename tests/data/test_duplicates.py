"""Equal and nearly equal rows across a split, against rows planted on purpose."""

import numpy as np
import pytest

from lamina.data import duplicates, duplicates_across


def images(n, seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, 100), dtype=np.uint8)


def test_planted_rows_are_found_and_no_others():
    train, test = images(500, 0), images(60, 1)
    test[[3, 7, 20]] = train[[400, 0, 0]]
    near = [11, 30]
    test[near] = np.clip(train[[5, 6]].astype(int) + np.random.default_rng(2).integers(-2, 3, (2, 100)), 0, 255)
    found = duplicates_across(train, test)
    assert (found.exact, found.exact_rows) == (3, (3, 7, 20))
    assert (found.near, found.near_rows) == (2, (11, 30))
    assert (found.n_train, found.n_test, found.n_test_searched) == (500, 60, 57)


def test_independent_rows_have_none():
    found = duplicates_across(images(300, 0), images(100, 1))
    assert (found.exact, found.near) == (0, 0)


def test_columns_count_alike_whatever_their_unit():
    random = np.random.default_rng(0)
    train = random.normal(size=(200, 6)).astype(np.float32)
    test = random.normal(size=(50, 6)).astype(np.float32)
    test[4] = train[9] + 0.005
    test[5] = train[10]
    test[5, 1:] += 1.5  # near in the first column alone
    units = np.array([1e6, 1, 1, 1, 1, 1e-3], dtype=np.float32)
    found = duplicates_across(train * units, test * units)
    assert found.near_rows == (4,)


def test_not_a_number_is_no_obstacle():
    train = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    train[3, 2] = np.nan
    train[4, 1] = np.inf
    test = np.concatenate([train[3:4], np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)])
    assert duplicates_across(train, test).exact_rows == (0,)


def test_equal_values_stored_in_two_types_are_equal():
    train = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert duplicates_across(train, train[1:2].astype(np.float64)).exact == 1


def test_the_tolerance_is_a_fraction_of_the_typical_distance():
    random = np.random.default_rng(0)
    train = random.normal(size=(400, 50)).astype(np.float32)
    shift = random.normal(size=50)
    # Typical distance of standardised rows: sqrt(2 * 50) = 10; these rows lie 0.3 away.
    test = train[:20] + (0.3 * shift / np.linalg.norm(shift)).astype(np.float32)
    assert duplicates_across(train, test, tolerance=0.02).near == 0
    assert duplicates_across(train, test, tolerance=0.04).near == 20


@pytest.mark.parametrize(("n_train", "n_test"), [(1, 1), (2, 1), (1, 5)])
def test_tiny_and_constant_parts(n_train, n_test):
    zeros = np.zeros((n_train, 3), dtype=np.float32)
    assert duplicates_across(zeros, np.zeros((n_test, 3), dtype=np.float32)).exact == n_test
    assert duplicates_across(zeros, np.ones((n_test, 3), dtype=np.float32)).exact == 0


def test_a_large_set_is_sampled_and_says_so(monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_TRAIN_ROWS", 100)
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 2000)
    monkeypatch.setattr(duplicates, "BLOCK_BYTES", 1500)
    train, test = images(500, 0), images(60, 1)
    test[59] = train[123]
    found = duplicates_across(train, test)
    assert (found.n_train_searched, found.n_test_searched, found.exact_rows) == (100, 20, (59,))
