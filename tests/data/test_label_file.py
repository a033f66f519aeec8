"""One value per row from a file of its own."""

import numpy as np
import pytest

from lamina.core.errors import DataError, FileFormatError
from lamina.data.label_file import read_values


def written(tmp_path, content, name="l.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1\n2\n3\n", [1, 2, 3]),
        ("1\n2\n3", [1, 2, 3]),
        ("label\n1\n2\n3\n", [1, 2, 3]),
        ("\ufeff1\r\n2\r\n3\r\n", [1, 2, 3]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("a\nb\n\n", ["a", "b", ""]),
        ("a\nb\nc\n\n\n", ["a", "b", "c"]),
        ('"x"\n"y"\n"z"\n', ["x", "y", "z"]),
        ("class\nb\nlabel\n", ["class", "b", "label"]),
    ],
)
def test_text_files(tmp_path, text, values):
    for name in ("l.txt", "l.csv"):
        found = read_values(written(tmp_path, text, name), 3)
        np.testing.assert_array_equal(found, values)


def test_blanks_among_numbers_are_not_a_number(tmp_path):
    np.testing.assert_array_equal(read_values(written(tmp_path, "1\n\n3\n"), 3), [1, np.nan, 3])


def test_arrays_of_numbers_or_text(tmp_path):
    for values in (np.array([4, 5, -1]), np.array(["a", "", "b"]), np.array([[1], [2], [3]])):
        np.save(tmp_path / "l.npy", values)
        np.testing.assert_array_equal(read_values(tmp_path / "l.npy", 3), values.ravel())


@pytest.mark.parametrize("text", ["1\n2\n", "1\n2\n3\n4\n", "colour\n1\n2\n3\n"])
def test_another_number_of_values(tmp_path, text):
    with pytest.raises(DataError, match=r"l\.txt.*for 3 rows: give one value per row"):
        read_values(written(tmp_path, text), 3)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a", b"a\x00b\n", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_text(tmp_path, content):
    with pytest.raises(FileFormatError, match=r"l\.txt: .*expected one value per line"):
        read_values(written(tmp_path, content), 3)


def test_other_kinds_of_file(tmp_path):
    with pytest.raises(FileFormatError, match=r"\.npy, \.txt or \.csv"):
        read_values(written(tmp_path, "1\n", "l.json"), 1)
