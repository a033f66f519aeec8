"""The rule on which rows are unlabelled, for every way in which labels are written."""

import numpy as np
import pytest

from lamina.core.errors import LabelError
from lamina.data import encode_labels

nan = float("nan")


@pytest.mark.parametrize(
    ("values", "codes", "names"),
    [
        (np.array([3, 7, 3, -1, 7]), [0, 1, 0, -1, 1], ("3", "7")),
        (np.array([-1, 1, 1, -1]), [0, 1, 1, 0], ("-1", "1")),
        (np.array([-1, 0, -1]), [0, 1, 0], ("-1", "0")),
        (np.array([-1, 0, 1]), [-1, 0, 1], ("0", "1")),
        (np.array([-1, -1]), [-1, -1], ()),
        (np.array([-2, -1, 5]), [0, -1, 1], ("-2", "5")),
        (np.array([2.0, nan, -1.0, 9.0]), [0, -1, -1, 1], ("2", "9")),
        (np.array([-1.0, nan, 1.0]), [0, -1, 1], ("-1", "1")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        (np.array([1, 0], dtype=np.uint8), [1, 0], ("0", "1")),
        (np.array(["cat", "", "dog", " "]), [0, -1, 1, -1], ("cat", "dog")),
        (["b", None, nan, "a", ""], [1, -1, -1, 0, -1], ("a", "b")),
        ([4, None, 2], [1, -1, 0], ("2", "4")),
        ([2, -1, 4, None], [0, -1, 1, -1], ("2", "4")),
        (np.array(["-1", "a", "b"]), [0, 1, 2], ("-1", "a", "b")),
        (np.array([b"x", b"", b"y"]), [0, -1, 1], ("x", "y")),
        ([], [], ()),
        ([None, ""], [-1, -1], ()),
    ],
)
def test_the_rule(values, codes, names):
    found = encode_labels(values)
    np.testing.assert_array_equal(found.codes, codes)
    assert found.codes.dtype == np.int64
    assert found.names == names


def test_pandas_marks_of_missing_values_are_blanks():
    pandas = pytest.importorskip("pandas")
    codes, classes = encode_labels(pandas.Series([3, None, 5], dtype="Int64"))
    np.testing.assert_array_equal(codes, [0, -1, 1])
    np.testing.assert_array_equal(classes, [3, 5])
    codes, _ = encode_labels(pandas.Series(["u", None, "v"], dtype="category"))
    np.testing.assert_array_equal(codes, [0, -1, 1])


def test_classes_keep_the_type_in_which_they_came():
    assert encode_labels(np.array([1, 2], dtype=np.int32)).classes.dtype == np.int32
    assert encode_labels(np.array(["a", "b"])).classes.dtype.kind == "U"
    assert encode_labels(np.array(["a", "b"], dtype=object)).classes.dtype == object
    codes, classes = encode_labels(y := np.array([2.0, 9.0, 2.0]))
    np.testing.assert_array_equal(classes[codes], y)


def test_an_explicit_mark_overrides_the_rule():
    y = np.array([-1, 1, 1, -1, 0])
    np.testing.assert_array_equal(encode_labels(y[:4], unlabelled=-1).codes, [-1, 0, 0, -1])
    np.testing.assert_array_equal(encode_labels(y, unlabelled=None).codes, [0, 2, 2, 0, 1])
    np.testing.assert_array_equal(encode_labels(y, unlabelled=0).codes, [0, 1, 1, 0, -1])
    np.testing.assert_array_equal(encode_labels(["a", "?", "b"], unlabelled="?").codes, [0, -1, 1])
    np.testing.assert_array_equal(encode_labels(["a", "", "b"], unlabelled="?").codes, [0, -1, 1])


def test_given_classes_fix_the_codes():
    classes = encode_labels(np.array([3, 5, 7, -1])).classes
    np.testing.assert_array_equal(encode_labels(np.array([7, -1, 3]), classes=classes).codes, [2, -1, 0])
    np.testing.assert_array_equal(encode_labels(np.array([7.0, nan]), classes=classes).codes, [2, -1])
    two = encode_labels(np.array([-1, 1])).classes
    np.testing.assert_array_equal(encode_labels(np.array([-1, -1, 1]), classes=two).codes, [0, 0, 1])


@pytest.mark.parametrize("other", [np.array([3, 4]), np.array(["3"]), np.array(["cat"])])
def test_a_label_that_training_lacks_is_named(other):
    with pytest.raises(LabelError, match=r"(4|'3'|'cat').*not among the 2 classes"):
        encode_labels(other, classes=np.array([3, 5]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([0.5, 1.0]), "Unknown label type: continuous"),
        (np.array([1.0, np.inf]), "not whole numbers"),
        ([1, "a"], "mix text and int"),
        (np.zeros((3, 2)), r"\(3, 2\)"),
        (np.array(5), r"\(\)"),
        (np.array([1j]), "complex"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime"),
    ],
)
def test_labels_that_are_no_classes(values, words):
    with pytest.raises(LabelError, match=words) as caught:
        encode_labels(values)
    assert "\n" not in str(caught.value)
