"""From a file to rows that can be learnt from: what is split, scaled, warned of and refused."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError, LabelError, SettingError, UnknownNameError
from lamina.data import DataSet
from lamina.studies.preparation import open_data, prepare
from small_studies import archive, labelled_table, rows, unit_rows, write_table


def dataset(X, y=None, classes=("a", "b", "c"), **more) -> DataSet:
    return DataSet("rows", X, y, () if y is None else classes, (X.shape[1],), **more)


def test_labelled_data_get_a_held_out_fifth(tmp_path):
    found = open_data(str(labelled_table(tmp_path / "a.csv", 100, blank=0.0)), groups="site")
    assert len(found.X) + len(found.X_test) == 100
    assert 15 <= len(found.X_test) <= 25  # whole groups
    assert not set(found.groups) & set(found.groups_test)


def test_unlabelled_data_keep_all_their_rows(tmp_path):
    np.save(tmp_path / "a.npy", unit_rows(40)[0])
    found = open_data(str(tmp_path / "a.npy"))
    assert found.X_test is None
    assert len(found.X) == 40
    assert len(open_data(str(tmp_path / "a.npy"), test="0.25").X_test) == 10


def test_a_given_test_part_stays(tmp_path):
    found = open_data(str(archive(tmp_path / "a.npz", 60, 12)))
    assert (len(found.X), len(found.X_test)) == (60, 12)


def test_a_test_file(tmp_path):
    path = write_table(tmp_path / "a.csv", rows(30)[0], {"label": ["a", "b", "c"] * 10})
    test = write_table(tmp_path / "b.csv", rows(9, seed=1)[0], {"label": ["c", "b", "a"] * 3})
    found = open_data(str(path), test=str(test))
    assert (len(found.X), len(found.X_test)) == (30, 9)
    assert found.y_test.tolist() == [2, 1, 0] * 3


@pytest.mark.parametrize("share", ["0", "1", "1.5", "-0.2", "nan"])
def test_a_share_outside_its_limits(tmp_path, share):
    with pytest.raises(SettingError, match="fraction between 0 and 1"):
        open_data(str(labelled_table(tmp_path / "a.csv")), test=share)


def test_the_split_is_the_seeds(tmp_path):
    path = str(labelled_table(tmp_path / "a.csv", blank=0.0))
    one, same, other = (open_data(path, groups="site", seed=seed).groups_test.tolist() for seed in (0, 0, 1))
    assert one == same != other


def test_options_of_files_are_refused_with_named_data():
    for options in ({"label": "y"}, {"groups": "g"}, {"test": "file.csv"}):
        with pytest.raises(SettingError, match="named data set 'digits'"):
            open_data("digits", **options)
    with pytest.raises(UnknownNameError, match="'digits'"):
        open_data("digit")


def test_test_rows_are_scaled_by_what_the_training_rows_show():
    X = rows(60)[0]
    found = prepare(dataset(X, X_test=10 * X[:7] + 5))
    assert found.scaling.units == "gaussian"
    assert np.allclose(found.X.mean(0), 0, atol=1e-5)
    expected = (10 * X[:7] + 5 - X.mean(0)) / X.std(0)
    assert np.allclose(found.X_test, expected, rtol=1e-4, atol=1e-4)


def test_rows_on_both_sides_of_the_split_are_warned_of():
    X = rows(60)[0]
    found = prepare(dataset(X, X_test=np.vstack([X[:4], X[4:6] + 1e-6, rows(5, seed=3)[0]])))
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("4 test row(s) equal a training row and 2 more are nearly equal")
    assert prepare(dataset(X, X_test=rows(30, seed=3)[0])).warnings == ()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted_and_named(value):
    X = rows(60)[0]
    X[[3, 8], 2] = value
    with pytest.raises(DataError, match=r"2 NaN or infinite value\(s\), first in row\(s\) 3, 8, column\(s\) 2"):
        prepare(dataset(X))
    with pytest.raises(DataError, match="the test rows of rows hold 2 NaN"):
        prepare(dataset(rows(60)[0], X_test=X))


def test_constant_columns_are_refused_unless_kept_or_images():
    X = rows(60)[0]
    X[:, [1, 4]] = 2.5
    with pytest.raises(DataError, match=r"2 constant column\(s\) of 6 \(1, 4\)"):
        prepare(dataset(X))
    assert np.isfinite(prepare(dataset(X), constant="keep").X).all()
    image = DataSet("images", X, None, (), (1, 2, 3))
    assert np.isfinite(prepare(image).X).all()


def test_nothing_but_constant_columns_is_always_refused():
    for constant in ("refuse", "keep"):
        with pytest.raises(DataError, match="the right file"):
            prepare(dataset(np.ones((5, 3))), constant=constant)


def test_one_row_and_one_class():
    with pytest.raises(DataError, match=r"1 row\(s\); at least 2"):
        prepare(dataset(rows(1)[0]))
    y = np.zeros(60, np.int64)
    y[::2] = -1
    with pytest.raises(LabelError, match="one class only"):
        prepare(dataset(rows(60)[0], y))


def test_a_test_label_that_no_training_row_has():
    X, y = rows(60)
    y = np.where(y == 2, -1, y)
    more = {"X_test": rows(9, seed=1)[0], "y_test": np.arange(9) % 3}
    with pytest.raises(LabelError, match="the label\\(s\\) 'c', which no training row has"):
        prepare(dataset(X, y, **more))


def test_bernoulli_units_hold_for_test_rows_too():
    """Test rows stored in another unit, bytes beside fractions, are a mistake that would go unseen."""
    X = unit_rows(60)[0]
    with pytest.raises(DataError, match=r"test rows of rows .*\[0, 1\]"):
        prepare(dataset(X, X_test=255 * X[:9]))
    assert prepare(dataset(X, X_test=X[:9] * 1.05)).scaling.units == "bernoulli"  # a little beyond is no mistake


def test_unlabelled_test_rows_are_no_error(tmp_path):
    path = write_table(tmp_path / "a.csv", rows(30)[0], {"label": ["a", "b", "c"] * 10})
    test = write_table(tmp_path / "b.csv", rows(9, seed=1)[0], {"label": [""] * 9})
    found = prepare(open_data(str(path), test=str(test)))
    assert found.y_test is None or (found.y_test < 0).all()
