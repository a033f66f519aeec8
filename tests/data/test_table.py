"""Tables: headings, label and group columns, blanks, text, damage."""

import sys

import numpy as np
import pytest

from lamina.core.errors import DataError, FileFormatError, LabelError, MissingPackageError, SettingError
from lamina.data import read

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

TEXT = "a,b,label,who\n1,2,x,s1\n3,,y,s1\n5,6,,s2\n7,8,x,s3\n"


@pytest.fixture
def table(tmp_path):
    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "semicolons.csv", "t.parquet"])
def test_one_table_in_every_form(table, tmp_path, name):
    path = tmp_path / name
    if name == "t.parquet":
        pandas.read_csv(table(TEXT)).to_parquet(path)
    else:
        table(TEXT.replace(",", {"t.tsv": "\t", "semicolons.csv": ";"}.get(name, ",")), name)
    found = read(path, groups="who")
    np.testing.assert_array_equal(found.X, [[1, 2], [3, np.nan], [5, 6], [7, 8]])
    assert found.X.dtype == np.float32
    np.testing.assert_array_equal(found.y, [0, 1, -1, 0])
    assert (found.classes, found.feature_names, found.shape) == (("x", "y"), ("a", "b"), (2,))
    assert found.groups.tolist() == ["s1", "s1", "s2", "s3"]


@pytest.mark.parametrize(
    ("text", "label", "X", "y"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,other\n", 2, [[5.1, 3.5], [4.9, 3.0]], [1, 0]),
        ("5.1,3.5,setosa\n4.9,3.0,other\n", "-1", [[5.1, 3.5], [4.9, 3.0]], [1, 0]),
        ("1,2,3\n4,5,6\n", None, [[1, 2, 3], [4, 5, 6]], None),
        ("1,2,3\n4,5,6\n", 0, [[2, 3], [5, 6]], [0, 1]),
        ("label,0,1,2\n7,1,2,3\n8,4,5,6\n", None, [[1, 2, 3], [4, 5, 6]], [0, 1]),
        ("label,0,1,2\n7,1,2,3\n8,4,5,6\n", 0, [[1, 2, 3], [4, 5, 6]], [0, 1]),
        ("0,1,2,3\n1,2,3,9\n4,5,6,9\n", None, [[1, 2, 3, 9], [4, 5, 6, 9]], None),
        (",p,Class\n0,1,a\n1,2,b\n", None, [[1], [2]], [0, 1]),
        ("mood,p\nhigh,1\nlow,2\n", "mood", [[1], [2]], [0, 1]),
        ("2019,y\n1,4\n2,5\n", None, [[1], [2]], [0, 1]),
        ("x,y,target\n1,2,0\n3,4,1\n", None, [[1, 2], [3, 4]], [0, 1]),
        ("\ufeffa,label\n1,0\n2,1\n", None, [[1], [2]], [0, 1]),
        ("a,label\n1,3\n2,\n3,4\n", None, [[1], [2], [3]], [0, -1, 1]),
        ("a,label\n1,3\n2,-1\n3,4\n", None, [[1], [2], [3]], [0, -1, 1]),
        ("a,label\n1,NA\n2,None\n3,nan\n", None, [[1], [2], [3]], [0, 1, -1]),
        ("a,label\n1,\n2,\n", None, [[1], [2]], None),
        ("a,b\nTrue,1\nFalse,2\n", None, [[1, 1], [0, 2]], None),
        ("a,b\nNA,1\n2,inf\n", None, [[np.nan, 1], [2, np.inf]], None),
        ("a,b\n1e300,1\n2,2\n", None, [[np.inf, 1], [2, 2]], None),
    ],
)
def test_headings_labels_and_blanks(table, text, label, X, y):
    found = read(table(text), label=label)
    np.testing.assert_allclose(found.X, X, rtol=1e-6)
    if y is None:
        assert found.y is None
    else:
        np.testing.assert_array_equal(found.y, y)


def test_whole_numbers_with_blanks_keep_their_names(table):
    assert read(table("a,label\n1,3\n2,\n3,4\n")).classes == ("3", "4")


def test_labels_and_groups_from_other_files(table):
    path = table("a,b\n1,2\n3,4\n5,6\n")
    labels, who = table("cat\n\ndog\n", "labels.txt"), table("g\nh\nh\n", "who.txt")
    found = read(path, label=labels, groups=str(who))
    np.testing.assert_array_equal(found.y, [0, -1, 1])
    assert found.groups.tolist() == ["g", "h", "h"]
    assert found.feature_names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("a,town,label\n1,Rome,0\n2,Oslo,1\n", {}, r"column 'town' is no number \(for example 'Rome'\).*drop it"),
        ("a,b,c,d\n1,x,2,z\n", {}, "column 'b' and 1 more"),
        ("a,b\n1,2\n", {"label": "lable"}, "label='lable' is neither a column nor a file"),
        ("a,kind\n1,2\n", {"label": "kinds"}, "columns: kind"),
        ("a,b\n1,2\n", {"label": 7}, "label=7"),
        ("a,b\n1,2\n", {"groups": "who"}, "groups='who'"),
        ("a,label,class\n1,2,3\n", {}, "label, class may all be labels"),
        ("label\n1\n2\n", {}, "no feature column"),
        ("a,label\n1,0.3\n2,0.7\n", {}, "continuous"),
        ("a,who\n1,s1\n2,\n", {"groups": "who"}, r"1 rows have a blank group \(first: row 1\)"),
        ("a,a,b\n1,2,3\n", {"label": "a"}, "two columns are called 'a'"),
    ],
)
def test_columns_that_cannot_be_used(table, text, options, words):
    with pytest.raises(DataError, match=words) as caught:
        read(table(text), **options)
    assert "\n" not in str(caught.value)


def test_one_column_cannot_be_label_and_group(table):
    with pytest.raises(SettingError, match="'who'"):
        read(table(TEXT), label="who", groups="who")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"  \n\n", "empty file"),
        (b"a,b,c\n1,2,3\n4,5", "last line has 2 of 3 fields"),
        (b"a,b\n1,2\n1,2,3\n4,5\n", "line 3|Expected 2 fields|every line 2 fields"),
        (b"a,b\n1,2,3\n4,5,6\n", "every line 2 fields"),
        (b"a,label\n", "a heading .a, label. and no rows"),
        (b"PK\x03\x04 spreadsheet", "not text"),
        (b"\x00\x01\x02\x03", "not text"),
        (b"a,b\n1,\xff\xfe\n", "UTF-8|utf-8"),
        (b"\xff\xfe a,b\n1,2\n", "UTF-8"),
    ],
)
def test_damaged_csv_files_are_named_in_one_line(table, content, words):
    with pytest.raises(FileFormatError, match=words) as caught:
        read(table(content))
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_parquet_files_are_named_in_one_line(table, tmp_path):
    pandas.DataFrame({"a": range(1000)}).to_parquet(tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    for content in (b"", whole[:-10], whole[: len(whole) // 2], b"a,b\n1,2\n", bytes(100)):
        with pytest.raises(FileFormatError, match=r"t\.parquet: .*expected a parquet table") as caught:
            read(table(content, "t.parquet"))
        assert "\n" not in str(caught.value)


def test_missing_packages_name_the_extra(table, monkeypatch):
    path = table(TEXT)
    other = table(b"PAR1", "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r'pip install "lamina\[tables\]"'):
        read(other)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match=r'pip install "lamina\[tables\]"'):
        read(path)


def test_a_test_file_is_read_in_the_order_of_the_training_columns(table):
    train = table("a,b,label\n1,2,x\n3,4,y\n")
    found = read(train, test=table("label,b,a\ny,20,10\n,40,30\n", "u.csv"))
    np.testing.assert_array_equal(found.X_test, [[10, 20], [30, 40]])
    np.testing.assert_array_equal(found.y_test, [1, -1])


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("a,b,label\n1,2,z\n", LabelError, r"u\.csv.*'z'.*2 classes of the training part"),
        ("a,c,label\n1,2,x\n", DataError, r"lacks the columns \[b\] and has the unknown columns \[c\]"),
        ("a,label\n1,x\n", DataError, r"lacks the columns \[b\]"),
    ],
)
def test_test_files_that_do_not_fit(table, text, error, words):
    with pytest.raises(error, match=words):
        read(table("a,b,label\n1,2,x\n3,4,y\n"), test=table(text, "u.csv"))


def test_a_group_on_both_sides_is_refused(table):
    train = table("a,who\n1,s1\n3,s2\n")
    with pytest.raises(DataError, match=r"u\.csv: 1 groups have training rows too \(first: s2\)"):
        read(train, groups="who", test=table("a,who\n5,s2\n6,s3\n", "u.csv"))
