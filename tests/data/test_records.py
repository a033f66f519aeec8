"""The record refuses arrays that contradict each other."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.data import DataSet

X = np.zeros((6, 12), dtype=np.uint8)


def test_what_it_knows_of_itself():
    found = DataSet("a", X, np.array([0, 1, -1, 1, 0, -1]), ("x", "y"), (1, 3, 4))
    assert (found.n_rows, found.n_features, found.is_image) == (6, 12, True)
    assert not DataSet("a", X, None, (), (12,)).is_image
    assert "6 rows" in repr(found)
    assert "4 labelled" in repr(found)
    with pytest.raises(FrozenInstanceError):
        found.name = "b"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"X": np.zeros((6, 3, 4))}, r"\(6, 3, 4\)"),
        ({"shape": (1, 5, 5)}, "25 values, X has 12"),
        ({"y": np.zeros(5, int)}, r"y has shape \(5,\), expected \(6,\)"),
        ({"y": np.zeros((6, 1), int)}, r"y has shape \(6, 1\)"),
        ({"groups": np.zeros(7)}, r"groups has shape \(7,\)"),
        ({"X_test": np.zeros((2, 11))}, "test rows"),
        ({"X_test": np.zeros((2, 12)), "y_test": np.zeros(3)}, "y_test"),
        ({"y_test": np.zeros(3)}, "y_test"),
    ],
)
def test_contradictions(changed, words):
    whole = {"name": "a", "X": X, "y": None, "classes": (), "shape": (12,)}
    with pytest.raises(DataError, match=words):
        DataSet(**{**whole, **changed})
