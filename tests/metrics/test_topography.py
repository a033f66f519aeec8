"""Errors of maps against brute force, by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.metrics import hits, majority_labels, nearest_units, quantisation_error, topographic_error, topography

GENERATOR = np.random.default_rng(0)
X, W = GENERATOR.normal(size=(50, 4)), GENERATOR.normal(size=(9, 4))
APART = np.linalg.norm(X[:, None] - W[None], axis=2)


@pytest.mark.parametrize("at_once", [1 << 23, 30])
def test_nearest_units_and_errors_are_those_of_brute_force(at_once, monkeypatch):
    monkeypatch.setattr(topography, "AT_ONCE", at_once)
    for k in (1, 2, 9):
        np.testing.assert_array_equal(nearest_units(X, W, k), APART.argsort(1)[:, :k])
    assert quantisation_error(X, W) == pytest.approx(APART.min(1).mean())
    touching = GENERATOR.random((9, 9)) < 0.4
    first, second = APART.argsort(1)[:, :2].T
    assert topographic_error(X, W, touching) == pytest.approx(np.mean(~touching[first, second]))


def test_a_line_in_order_has_no_fold_and_one_out_of_order_has():
    line = np.arange(5.0)[:, None]
    rows = np.linspace(0, 4, 40)[:, None]
    touching = np.abs(np.arange(5)[:, None] - np.arange(5)) == 1
    assert topographic_error(rows, line, touching) == 0
    assert topographic_error(rows, line[[0, 3, 1, 4, 2]], touching) > 0.5
    assert topographic_error(rows, line[:1], np.zeros((1, 1), bool)) == 0


def test_hits_and_majorities():
    winners, codes = np.array([0, 0, 0, 2, 2]), np.array([1, 1, 0, 2, 0])
    np.testing.assert_array_equal(hits(winners, 4), [3, 0, 2, 0])
    np.testing.assert_array_equal(majority_labels(winners, codes, 4, 3), [1, -1, 0, -1])


def test_what_is_refused():
    with pytest.raises(DataError, match="as many features in both"):
        quantisation_error(X, W[:, :3])
    with pytest.raises(DataError, match="at least one row"):
        quantisation_error(X[:0], W)
    with pytest.raises(DataError, match="10 nearest units asked for among 9"):
        nearest_units(X, W, 10)
    with pytest.raises(DataError, match="touching has shape"):
        topographic_error(X, W, np.zeros((2, 2), bool))
    with pytest.raises(DataError, match="one each per row"):
        majority_labels(np.zeros(3, int), np.zeros(2, int), 2, 2)
