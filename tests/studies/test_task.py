"""Folds: how the N labels are divided to choose settings."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.studies import task as module
from lamina.studies.task import Task, folds


def task(y, groups=None, seed=0) -> Task:
    y = np.asarray(y)
    rows = np.arange(len(y))
    groups = None if groups is None else np.asarray(groups)
    return Task(np.zeros((3 * len(y), 2)), rows, y, groups, int(y.max()) + 1, None, None, seed, None)  # type: ignore[arg-type]


def test_folds_in_which_every_label_is_held_out_once(monkeypatch):
    monkeypatch.setattr(module, "FOLDS", 5)
    y = np.arange(30) % 3
    found = folds(task(y))
    assert len(found) == 5
    assert sorted(np.concatenate([held_out for _, held_out in found])) == list(range(30))
    for train, held_out in found:
        assert not set(train) & set(held_out)
        assert np.bincount(y[train]).tolist() == [8, 8, 8]


def test_fewer_folds_where_a_class_has_fewer_labels(monkeypatch):
    monkeypatch.setattr(module, "FOLDS", 5)
    y = np.array([0] * 20 + [1] * 3)
    assert [np.bincount(y[held_out], minlength=2)[1] for _, held_out in folds(task(y))] == [1, 1, 1]


@pytest.mark.parametrize("y", [[0, 1], [0, 0, 0, 1], [0, 0, 1, 1, 2]])
def test_nothing_can_be_held_out_of_a_class_with_one_label(y):
    assert folds(task(y)) == []


def test_a_class_without_any_label_does_not_count():
    assert len(folds(task([0, 0, 2, 2]))) == 2


def test_the_seed_decides_the_folds():
    y = np.arange(30) % 3
    one, same, other = (folds(task(y, seed=seed))[0][0].tolist() for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_on_both_sides(seed):
    random = np.random.default_rng(seed)
    y, groups = random.integers(3, size=60), random.integers(7, size=60)
    found = folds(task(y, groups, seed))
    assert found
    for train, held_out in found:
        assert not set(groups[train]) & set(groups[held_out])


def test_too_few_groups_to_divide():
    y = np.arange(30) % 3
    assert folds(task(y, np.arange(30) // 3 % 3)) == []


def test_no_training_half_lacks_a_class_that_one_group_holds_alone():
    """Class 0 is one speaker's: with him held out, nothing could be fitted to the two classes."""
    y = np.repeat([0, 1, 1, 1, 1], 6)
    groups = np.repeat([0, 1, 2, 3, 4], 6)
    for seed in range(5):
        for train, held_out in folds(task(y, groups, seed)):
            assert set(y[train]) == {0, 1}
            assert len(held_out)


def test_one_held_out_fifth_where_labels_are_many(monkeypatch):
    monkeypatch.setattr(module, "ONE_SPLIT", 50)
    y = np.arange(50) % 5
    found = folds(task(y))
    assert len(found) == 1
    train, held_out = found[0]
    assert (len(train), len(held_out)) == (40, 10)
    assert not set(train) & set(held_out)
    assert np.bincount(y[held_out]).tolist() == [2] * 5
    assert len(folds(task(y[:49]))) == module.FOLDS
