"""Splits: shares of the classes, whole groups, nothing lost, and memory maps that stay on disk."""

import numpy as np
import pytest

from lamina.core.errors import DataError, LabelError, SettingError
from lamina.data import DataSet, split, take


def made(y=None, groups=None, n=None):
    """Rows that carry their own number, to follow them through a split."""
    n = len(y) if y is not None else n
    X = np.arange(n, dtype=np.float32)[:, None] * [1, 2]
    classes = () if y is None else tuple(f"c{k}" for k in range(max(y) + 1))
    y = None if y is None else np.asarray(y, dtype=np.int64)
    return DataSet("made", X, y, classes, (2,), groups=None if groups is None else np.asarray(groups))


def rows_of(X):
    return X[:, 0].astype(int)


@pytest.mark.parametrize("test", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_every_class_gives_its_share_and_every_row_stays_itself(test):
    y = np.random.default_rng(0).choice(4, 400, p=[0.5, 0.3, 0.15, 0.05])
    whole = made(y)
    found = split(whole, test, seed=0)
    assert len(found.X_test) == round(test * 400)
    ideal = test * np.bincount(y)
    assert np.abs(np.bincount(found.y_test, minlength=4) - ideal).max() <= 1
    np.testing.assert_array_equal(np.sort(np.r_[rows_of(found.X), rows_of(found.X_test)]), np.arange(400))
    np.testing.assert_array_equal(y[rows_of(found.X)], found.y)
    np.testing.assert_array_equal(y[rows_of(found.X_test)], found.y_test)
    assert (np.diff(rows_of(found.X)) > 0).all()


def test_the_seed_decides():
    whole = made([0, 1] * 50)
    one, same, other = (split(whole, 0.3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.X_test, same.X_test)
    assert not np.array_equal(one.X_test, other.X_test)


def test_unlabelled_rows_stay_in_training_for_they_cannot_be_scored():
    found = split(made([0, 1, -1, -1, -1] * 20), 0.25, 0)
    np.testing.assert_array_equal(np.bincount(found.y_test), [5, 5])
    assert (found.y == -1).sum() == 60


def test_without_labels_the_fraction_is_of_all_rows():
    found = split(made(n=10), 0.3, 0)
    assert (len(found.X), len(found.X_test), found.y, found.y_test) == (7, 3, None, None)


def test_a_class_of_one_row_stays_in_training():
    for seed in range(20):
        found = split(made([0] * 9 + [1] * 9 + [2]), 0.5, seed)
        assert 2 in found.y
        assert 2 not in found.y_test


def test_groups_stay_whole_unlabelled_rows_too_and_classes_stay_balanced():
    random = np.random.default_rng(1)
    groups = np.array([f"s{k}" for k in random.integers(0, 30, 1200)])
    y = random.choice([-1, 0, 1, 2], 1200, p=[0.4, 0.3, 0.2, 0.1])
    for seed in range(5):
        found = split(made(y, groups), 0.2, seed)
        assert not set(found.groups) & set(found.groups_test)
        assert (found.y_test == -1).any()
        shares = np.bincount(found.y_test[found.y_test >= 0]) / np.bincount(y[y >= 0])
        np.testing.assert_allclose(shares, 0.2, atol=0.05)
        np.testing.assert_array_equal(groups[rows_of(found.X_test)], found.groups_test)


def test_different_seeds_hold_out_different_groups():
    whole = made([0, 1] * 40, np.repeat(np.arange(20), 4))
    assert len({tuple(np.unique(split(whole, 0.25, seed).groups_test)) for seed in range(8)}) > 4


def test_the_only_group_with_a_class_is_never_held_out():
    y = [0, 1] * 10 + [2, 2]
    groups = np.repeat(np.arange(11), 2)
    for seed in range(20):
        assert 10 in split(made(y, groups), 0.5, seed).groups


def test_groups_without_labels():
    found = split(made(n=40, groups=np.repeat(np.arange(10), 4)), 0.3, 0)
    assert len(found.X_test) == 12
    assert not set(found.groups) & set(found.groups_test)


def test_what_cannot_be_split_says_why():
    with pytest.raises(DataError, match="one group"):
        split(made([0, 1, 0], ["a", "a", "a"]), 0.5, 0)
    with pytest.raises(LabelError, match="whichever of the 2 groups"):
        split(made([0, 0, 1, 1], ["a", "a", "b", "b"]), 0.5, 0)
    with pytest.raises(LabelError, match="3 labelled rows in 3 classes"):
        split(made([0, 1, 2, -1]), 0.5, 0)
    with pytest.raises(SettingError, match="has a test part"):
        split(split(made(n=10), 0.3, 0), 0.3, 0)


@pytest.mark.parametrize("test", [0, 1, -0.1, 1.5, True, float("nan")])
def test_fractions_outside_zero_and_one(test):
    with pytest.raises(SettingError, match="between 0 and 1"):
        split(made(n=10), test, 0)


def test_a_large_memory_map_is_split_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(take, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(take, "CHUNK_BYTES", 700)
    values = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = split(DataSet("m", mapped, None, (), (5,)), 0.4, 0)
    assert isinstance(found.X, np.memmap)
    in_memory = split(DataSet("m", values, None, (), (5,)), 0.4, 0)
    np.testing.assert_array_equal(found.X, in_memory.X)
    np.testing.assert_array_equal(found.X_test, in_memory.X_test)
