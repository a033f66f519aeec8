"""Error rates, confusion and spread: by counting, and with what does not fit together refused."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.metrics import Spread, confusion_matrix, error_rate, spread
from lamina.metrics.classification import validate

TRUE = np.array([0, 0, 1, 1, 2])
GUESS = np.array([0, 1, 1, 1, 0])


@pytest.mark.parametrize(
    ("true", "guess"),
    [
        (np.zeros(0, int), np.zeros(0, int)),
        (TRUE, GUESS[:4]),
        (TRUE[:, None], GUESS),
        (TRUE, GUESS[:, None]),
        (np.array(1), np.array(1)),
    ],
)
def test_labels_that_do_not_fit_together_are_refused(true, guess):
    for measure in (validate, error_rate, lambda a, b: confusion_matrix(a, b, 3)):
        with pytest.raises(DataError, match="expected two 1-D arrays"):
            measure(true, guess)


def test_error_rate_is_the_share_of_wrong_rows():
    assert error_rate(TRUE, GUESS) == 2 / 5
    assert error_rate(TRUE, TRUE) == 0.0
    assert error_rate(np.array(["a", "b"]), np.array(["b", "a"])) == 1.0


def test_confusion_has_true_classes_in_rows_and_predictions_in_columns():
    found = confusion_matrix(TRUE, GUESS, 4)  # class 3 never occurs
    assert found.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.dtype == np.int64


def test_confusion_and_error_agree():
    random = np.random.default_rng(0)
    true, guess = random.integers(5, size=(2, 200))
    counts = confusion_matrix(true, guess, 5)
    assert counts.sum() == 200
    assert error_rate(true, guess) == pytest.approx(1 - np.trace(counts) / 200)


def test_spread_has_n_minus_one_in_its_denominator():
    assert spread([0.1, 0.2, 0.3]) == Spread(pytest.approx(0.2), pytest.approx(0.1), 3)


def test_spread_of_one_value_is_zero():
    assert spread([0.25]) == Spread(0.25, 0.0, 1)
