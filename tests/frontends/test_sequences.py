"""Lists of sequences as one padded array, and back."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.frontends import pad_sequences, split_sequences


def test_there_and_back():
    sequences = [np.arange(6.0).reshape(3, 2), np.array([[7.0, 8.0]]), -np.ones((2, 2))]
    X, lengths = pad_sequences(sequences)
    assert X.shape == (3, 3, 2)
    assert X.dtype == np.float64
    assert lengths.tolist() == [3, 1, 2]
    assert lengths.dtype == np.int64
    assert X[1].tolist() == [[7, 8], [0, 0], [0, 0]]
    for a, b in zip(split_sequences(X, lengths), sequences, strict=True):
        np.testing.assert_array_equal(a, b)
    split_sequences(X, lengths)[0][:] = 9
    assert X[0, 0, 0] == 0  # copies


def test_types():
    small = np.ones((2, 1), dtype=np.float32)
    assert pad_sequences([small, small])[0].dtype == np.float32
    assert pad_sequences([small, np.ones((2, 1))])[0].dtype == np.float64
    assert pad_sequences([[[1], [0]], [[True]]])[0].tolist() == [[[1], [0]], [[1], [0]]]
    assert pad_sequences([np.ones((2, 1))], dtype=np.float32)[0].dtype == np.float32
    X = np.arange(12.0).reshape(2, 3, 2)  # equal lengths
    np.testing.assert_array_equal(pad_sequences(X)[0], X)
    assert pad_sequences(iter([small]))[1].tolist() == [2]


FRAMES = np.ones((3, 2))
HOLED = np.array([[0.0, 1.0], [2.0, np.nan], [np.inf, 3.0]])


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "0 sequences"),
        ("text", "are a str"),
        (3, "are a int"),
        ([FRAMES, np.ones((0, 2))], "sequence 1 has no frames"),
        ([FRAMES, np.ones((2, 3))], "sequence 1 has 3 features; expected 2, as sequence 0 has"),
        ([np.ones(5)], r"sequence 0 has shape \(5,\).*reshape\(-1, 1\)"),
        ([np.ones((2, 2, 2))], "one row per frame"),
        ([np.ones((2, 0))], r"shape \(2, 0\)"),
        ([FRAMES, np.array([["a", "b"]])], "sequence 1 has type <U1"),
        ([[[1.0, 2.0], [3.0]]], "sequence 0 has type object"),
        ([FRAMES, HOLED], r"sequence 1 holds NaN or infinite values in 2 frame\(s\), first in frame 1"),
    ],
)
def test_lists_that_are_no_sequences(sequences, message):
    with pytest.raises(DataError, match=message):
        pad_sequences(sequences)


def test_another_width_than_in_fit():
    with pytest.raises(DataError, match="sequence 0 has 2 features; expected 4, as in fit"):
        pad_sequences([FRAMES], n_features=4)


@pytest.mark.parametrize(
    ("X", "lengths", "message"),
    [
        (np.ones((2, 3)), [1, 1], r"shape \(2, 3\)"),
        (np.ones((2, 3, 1)), [1], "one for each"),
        (np.ones((2, 3, 1)), [1.0, 2.0], "integers"),
        (np.ones((2, 3, 1)), [0, 3], r"\[0, 3\]; expected 1 to 3"),
        (np.ones((2, 3, 1)), [1, 4], r"\[1, 4\]; expected 1 to 3"),
    ],
)
def test_lengths_that_do_not_fit(X, lengths, message):
    with pytest.raises(DataError, match=message):
        split_sequences(X, lengths)
