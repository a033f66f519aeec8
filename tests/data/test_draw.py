"""The draw of N labels: balanced, nested, repeatable, and blind to what it must not see."""

import numpy as np
import pytest

from lamina.core.errors import LabelError, SettingError
from lamina.data import draw_labels

Y = np.repeat([0, 1, 2, -1], [500, 60, 4, 200])
Y = Y[np.random.default_rng(3).permutation(len(Y))]


@pytest.mark.parametrize("n", [3, 4, 10, 11, 12, 30, 100, 200, 564])
def test_classes_are_as_equal_as_the_rows_allow(n):
    rows = draw_labels(Y, n, seed=1)
    assert len(np.unique(rows)) == n
    assert (np.diff(rows) > 0).all()
    counts = np.bincount(Y[rows], minlength=3)
    # The fair share by filling all classes evenly until each runs out.
    share = max(s for s in range(n + 1) if np.minimum([500, 60, 4], s).sum() <= n)
    low = np.minimum([500, 60, 4], share)
    assert ((counts - low >= 0) & (counts - low <= 1)).all()
    assert (Y[rows] >= 0).all()


def test_the_same_seed_draws_the_same_rows_and_another_seed_others():
    np.testing.assert_array_equal(draw_labels(Y, 20, 5), draw_labels(Y, 20, 5))
    draws = {tuple(draw_labels(Y, 20, seed)) for seed in range(10)}
    assert len(draws) == 10


def test_a_small_draw_lies_within_a_large_one():
    assert set(draw_labels(Y, 10, 2)) < set(draw_labels(Y, 100, 2)) < set(draw_labels(Y, 300, 2))


def test_every_row_of_a_class_is_equally_likely():
    y = np.repeat([0, 1], 10)
    hits = np.bincount(np.concatenate([draw_labels(y, 4, s) for s in range(3000)]), minlength=20)
    # Each row is drawn with probability 0.2: mean 600, s.d. 21.9; five s.d. for 20 rows.
    assert np.abs(hits - 600).max() < 110


def test_an_odd_label_falls_to_every_class():
    y = np.repeat([0, 1, 2], 50)
    largest = {int(np.argmax(np.bincount(y[draw_labels(y, 4, s)]))) for s in range(30)}
    assert largest == {0, 1, 2}


def test_all_means_every_labelled_row():
    np.testing.assert_array_equal(draw_labels(Y, "all", 0), np.flatnonzero(Y >= 0))


def test_groups_take_turns():
    y = np.tile([0, 1], 100)
    groups = np.repeat(["a", "b", "c", "d"], [170, 10, 10, 10])
    rows = draw_labels(y, 16, 0, groups)
    for label in (0, 1):
        _, counts = np.unique(groups[rows[y[rows] == label]], return_counts=True)
        np.testing.assert_array_equal(counts, [2, 2, 2, 2])


@pytest.mark.parametrize("n", [0, -5, 2])
def test_fewer_labels_than_classes_name_both_numbers(n):
    with pytest.raises(LabelError, match=rf"labels={n}: fewer than the 3 classes"):
        draw_labels(Y, n, 0)


def test_more_labels_than_there_are_name_both_numbers():
    with pytest.raises(LabelError, match="labels=565: only 564 rows"):
        draw_labels(Y, 565, 0)
    with pytest.raises(LabelError, match="only 0 rows"):
        draw_labels(np.full(5, -1), 1, 0)


@pytest.mark.parametrize("n", [10.0, True, "ten", None])
def test_numbers_that_are_none(n):
    with pytest.raises(SettingError, match="labels="):
        draw_labels(Y, n, 0)
