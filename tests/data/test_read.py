"""The one door for the user's own data: paths, names, test parts."""

import numpy as np
import pytest

from lamina.core.errors import DataError, FileFormatError, LabelError, SettingError, UnknownNameError
from lamina.data import read

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.tile([0, 1, 2, -1], 10)


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "train.npz", X=X, y=Y, groups=np.repeat(np.arange(10), 4))
    return tmp_path / "train.npz"


@pytest.mark.parametrize(("given", "nearest"), [("mnsit", "mnist"), ("mnist", "mnist"), ("digit", "digits")])
def test_a_missing_path_that_looks_like_a_name(given, nearest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=f"{given}.*{nearest}"):
        read(given)


@pytest.mark.parametrize("given", ["lost.csv", "some/where", "some/where.npy"])
def test_a_missing_path(given, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / given)
    with pytest.raises(DataError, match=r"lost\.csv"):
        read("lost.csv")


def test_a_kind_of_file_that_nobody_reads(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(FileFormatError, match=r"a\.xlsx: expected \.npy, \.npz, \.csv"):
        read(tmp_path / "a.xlsx")


@pytest.mark.parametrize("test", [0.3, "0.3"])
def test_a_fraction_holds_out_whole_groups(file, test):
    found = read(file, test=test, seed=4)
    assert len(found.X_test) == 12
    assert not set(found.groups) & set(found.groups_test)
    again = read(file, test=test, seed=4)
    np.testing.assert_array_equal(found.X_test, again.X_test)


@pytest.mark.parametrize("test", [0, 1, 1.5, True, -0.2, "2"])
def test_a_test_part_that_is_no_fraction(file, test):
    with pytest.raises(SettingError, match="expected a fraction between 0 and 1, or the path"):
        read(file, test=test)


def test_a_test_path_that_is_not_there_or_the_same(file):
    with pytest.raises(DataError, match=r"gone\.npz"):
        read(file, test=file.parent / "gone.npz")
    with pytest.raises(SettingError, match="training file itself"):
        read(file, test=str(file))


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ({"X": X[:, :2]}, DataError, r"test rows of shape \(2,\).* training rows of shape \(3,\)"),
        ({"X": X[:3], "y": [0, 1, 7]}, LabelError, r"7 are not among the 3 classes"),
        ({"X": X[:3], "groups": [9, 10, 11]}, DataError, "1 groups have training rows too"),
    ],
)
def test_test_rows_that_do_not_fit(file, arrays, error, words):
    np.savez(file.parent / "test.npz", **arrays)
    with pytest.raises(error, match=words):
        read(file, test=file.parent / "test.npz")


def test_test_labels_use_the_training_codes(file):
    np.savez(file.parent / "test.npz", X=X[:3], y=[2, -1, 1])
    np.testing.assert_array_equal(read(file, test=file.parent / "test.npz").y_test, [2, -1, 1])


def test_bytes_and_fractions_do_not_mix(tmp_path):
    images = np.full((6, 2, 2), 200, dtype=np.uint8)
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "b.npy", images / 255)
    with pytest.raises(DataError, match="store both in the same way"):
        read(tmp_path / "a.npy", test=tmp_path / "b.npy")


def test_test_labels_without_training_labels(tmp_path):
    np.savez(tmp_path / "a.npz", X=X)
    np.savez(tmp_path / "b.npz", X=X, y=Y)
    with pytest.raises(LabelError, match=r"b\.npz: has labels, but .*a\.npz has none"):
        read(tmp_path / "a.npz", test=tmp_path / "b.npz")


def test_the_home_sign_and_plain_text_paths(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    monkeypatch.setenv("USERPROFILE", str(file.parent))
    found = read("~/train.npz")
    assert (found.name, found.n_rows) == ("train", 40)
    assert str(file) in found.source
