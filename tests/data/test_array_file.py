"""`.npy` and `.npz`: shapes, labels beside and inside, damage, and objects that are never unpickled."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lamina.core.errors import DataError, FileFormatError, LabelError, SettingError
from lamina.data import read

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 5), dtype=np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2, -1])


class Trap:
    """Leaves a file behind if anything unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize(
    ("array", "shape", "value_range"),
    [
        (IMAGES.reshape(7, 20), (20,), None),
        (IMAGES, (1, 4, 5), (0, 255)),
        (IMAGES[:, None], (1, 4, 5), (0, 255)),
        (IMAGES[..., None], (1, 4, 5), (0, 255)),
        (np.stack([IMAGES] * 3, axis=1), (3, 4, 5), (0, 255)),
        (IMAGES % 2, (1, 4, 5), (0, 1)),
        (IMAGES > 9, (1, 4, 5), (0, 1)),
        (IMAGES.astype(np.float32), (1, 4, 5), None),
        (np.asfortranarray(IMAGES), (1, 4, 5), (0, 255)),
        (IMAGES.astype(">f8"), (1, 4, 5), None),
    ],
)
def test_rows_keep_their_values_and_know_their_shape(tmp_path, array, shape, value_range):
    np.save(tmp_path / "a.npy", array)
    found = read(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.X, array.reshape(7, -1))
    assert (found.shape, found.value_range, found.name) == (shape, value_range, "a")
    assert found.y is None
    assert found.X.dtype == array.dtype.newbyteorder("=")


def test_rows_stay_on_disk_and_not_a_number_stays(tmp_path):
    array = np.array([[1, np.nan], [np.inf, 2]], dtype=np.float32)
    np.save(tmp_path / "a.npy", array)
    found = read(tmp_path / "a.npy")
    assert isinstance(found.X, np.memmap)
    np.testing.assert_array_equal(found.X, array)


@pytest.mark.parametrize("name", ["a_labels.npy", "labels.npy"])
def test_labels_beside_the_file_are_found(tmp_path, name):
    np.save(tmp_path / "a.npy", IMAGES)
    np.save(tmp_path / name, Y)
    found = read(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.y, Y)
    assert found.classes == ("0", "1", "2")


def test_named_labels_and_groups_come_before_those_beside(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    np.save(tmp_path / "labels.npy", Y)
    (tmp_path / "other.txt").write_text("b\n\na\nb\nb\na\nb\n")
    (tmp_path / "who.csv").write_text("subject\ns1\ns1\ns1\ns2\ns2\ns2\ns2\n")
    found = read(tmp_path / "a.npy", label=tmp_path / "other.txt", groups=tmp_path / "who.csv")
    np.testing.assert_array_equal(found.y, [1, -1, 0, 1, 1, 0, 1])
    assert found.groups.tolist() == ["s1"] * 3 + ["s2"] * 4


def test_labels_of_another_length_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    np.save(tmp_path / "labels.npy", Y[:5])
    with pytest.raises(DataError, match=r"labels\.npy.*\(5,\) for 7 rows"):
        read(tmp_path / "a.npy")


def test_a_test_file_does_not_take_the_training_labels(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    np.save(tmp_path / "labels.npy", Y)
    np.save(tmp_path / "t.npy", IMAGES)
    assert read(tmp_path / "a.npy", test=tmp_path / "t.npy").y_test is None
    np.save(tmp_path / "t_labels.npy", Y[::-1])
    np.testing.assert_array_equal(read(tmp_path / "a.npy", test=tmp_path / "t.npy").y_test, Y[::-1])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.arange(5), r"shape \(5,\)"),
        (np.zeros((2, 2, 2, 2, 2)), r"\(2, 2, 2, 2, 2\)"),
        (np.zeros((2, 2), dtype=complex), "complex128"),
        (np.array([["a"]]), "expected numbers"),
        (np.zeros((2, 8, 9, 3), dtype=np.uint8), r"transpose\(0, 3, 1, 2\)"),
    ],
)
def test_arrays_that_are_no_rows(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0,), (0, 4, 4)])
def test_empty_arrays(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises((FileFormatError, DataError), match=r"a\.npy"):
        read(tmp_path / "a.npy")


def saved(save, *args, **kwargs) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *args, **kwargs)
    return buffer.getvalue()


NPY = saved(np.save, IMAGES)
NPZ = saved(np.savez, X=IMAGES, y=Y)


@pytest.mark.parametrize(
    "content",
    [b"", NPY[:5], NPY[:60], NPY[:-1], b"1,2,3\n4,5,6\n", np.random.default_rng(9).bytes(500), NPZ],
    ids=["empty", "start", "head", "short", "text", "noise", "npz"],
)
def test_damaged_npy_files_are_named_in_one_line(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"a\.npy: ") as caught:
        read(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", NPZ[:5], NPZ[:200], NPZ[:-30], b"PK\x03\x04" + bytes(50), b"text", NPY],
    ids=["empty", "start", "head", "short", "zeros", "text", "npy"],
)
def test_damaged_npz_files_are_named_in_one_line(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"a\.npz: ") as caught:
        read(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_a_flipped_byte_inside_an_npz_is_seen(tmp_path):
    content = bytearray(NPZ)
    content[NPZ.index(IMAGES.tobytes()) + 70] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match="CRC"):
        read(tmp_path / "a.npz")


def test_objects_are_refused_and_never_run(tmp_path):
    trap = tmp_path / "sprung"
    objects = np.array([Trap(trap)], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "b.npz", X=objects)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Trap(trap)))
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("X.npy", pickle.dumps(Trap(trap)))
    np.save(tmp_path / "e.npy", IMAGES)
    np.save(tmp_path / "e_labels.npy", objects, allow_pickle=True)
    for name in ("a.npy", "b.npz", "c.npy", "e.npy"):
        with pytest.raises(FileFormatError, match="never unpickled"):
            read(tmp_path / name)
    with pytest.raises(FileFormatError, match="'X' in it is no array"):
        read(tmp_path / "d.npz")
    assert not trap.exists()


@pytest.mark.parametrize(("rows", "labels"), [("X", "y"), ("data", "target"), ("x", "labels"), ("images", "y")])
def test_npz_names(tmp_path, rows, labels):
    np.savez(tmp_path / "a.npz", **{rows: IMAGES, labels: Y})
    found = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.X, IMAGES.reshape(7, 20))
    np.testing.assert_array_equal(found.y, Y)
    assert found.shape == (1, 4, 5)


def test_npz_with_everything(tmp_path):
    np.savez_compressed(
        tmp_path / "a.npz",
        X=IMAGES,
        y=np.array(["u", "v", "", "u", "v", "u", "v"]),
        groups=np.arange(7),
        X_test=IMAGES[:2],
        y_test=np.array(["v", ""]),
        groups_test=np.array([8, 9]),
    )
    found = read(tmp_path / "a.npz", name="mine")
    np.testing.assert_array_equal(found.y, [0, 1, -1, 0, 1, 0, 1])
    np.testing.assert_array_equal(found.y_test, [1, -1])
    np.testing.assert_array_equal(found.X_test, IMAGES[:2].reshape(2, 20))
    assert (found.groups_test.tolist(), found.name) == ([8, 9], "mine")
    with pytest.raises(SettingError, match="test part of its own"):
        read(tmp_path / "a.npz", test=0.5)


def test_npz_arrays_by_name_and_errors(tmp_path):
    np.savez(tmp_path / "a.npz", X=IMAGES, emotion=Y, person=np.arange(7), short=Y[:3])
    found = read(tmp_path / "a.npz", label="emotion", groups="person")
    np.testing.assert_array_equal(found.y, Y)
    np.testing.assert_array_equal(found.groups, np.arange(7))
    with pytest.raises(SettingError, match=r"emotions.*emotion, person"):
        read(tmp_path / "a.npz", label="emotions")
    with pytest.raises(LabelError, match=r"7 rows but labels of shape \(3,\)"):
        read(tmp_path / "a.npz", label="short")
    np.savez(tmp_path / "b.npz", weights=IMAGES)
    with pytest.raises(DataError, match="holds weights; expected rows under one of X, data"):
        read(tmp_path / "b.npz")


def test_a_column_name_makes_no_sense_for_an_array(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    for option in ({"label": "class"}, {"label": 3}, {"groups": "subject"}):
        with pytest.raises(SettingError, match="one value per row"):
            read(tmp_path / "a.npy", **option)
