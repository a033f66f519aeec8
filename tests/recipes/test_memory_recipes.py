"""The recipes on memory capacity and on explaining away: small versions run, and their numbers are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.figures import pack
from lamina.recipes.context import Context
from lamina.recipes.explaining_away import recipe as explaining
from lamina.recipes.hopfield1982_capacity import recipe as capacity


def by_hand(b_cause: float, b_effect: float, weight: float) -> np.ndarray:
    """p(causes, effect = 1) of the directed net, written out for the four states."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    q = sigmoid(b_cause)
    prior = [(1 - q) ** 2, (1 - q) * q, q * (1 - q), q**2]
    return np.array([p * sigmoid(b_effect + weight * k) for p, k in zip(prior, (0, 1, 1, 2), strict=True)])


class TestExplainingAway:
    def test_the_directed_net_is_that_of_the_paper(self):
        expected = by_hand(-10, -20, 20)
        np.testing.assert_allclose(explaining.joint("directed")[:, 1], expected, rtol=1e-10)
        posterior = expected / expected.sum()
        assert posterior[1] == pytest.approx(0.5, abs=1e-3)
        assert posterior[3] < 1e-4

    def test_causes_are_independent_before_in_one_and_after_in_the_other(self):
        for scale in (0.1, 0.5, 1.0):
            directed, undirected, cancelled = (explaining.joint(model, scale) for model in explaining.MODELS)
            assert float(directed.sum()) == pytest.approx(1.0)
            assert explaining.correlation(directed.sum(1)) == pytest.approx(0, abs=1e-9)
            assert explaining.correlation(directed[:, 1]) < -0.05
            assert abs(explaining.correlation(undirected.sum(1))) > 0.01
            assert explaining.correlation(undirected[:, 1]) == pytest.approx(0, abs=1e-9)
            torch.testing.assert_close(cancelled, undirected)  # the complementary prior makes them one distribution

    def test_the_outcome(self, tmp_path):
        outcome = explaining.run(Context(tmp_path, quick=True))
        found = {row.what: row.ours for row in outcome.results}
        assert found["p(house jumps | one cause)"] == pytest.approx(0.5)
        assert found["directed: correlation of the causes, house jumps"] < -0.999
        assert found["undirected: correlation of the causes, house jumps"] == pytest.approx(0, abs=1e-9)
        assert found["directed: p(earthquake | house jumps, truck)"] < 1e-3
        assert found["undirected: p(earthquake | house jumps, truck)"] == pytest.approx(
            found["undirected: p(earthquake | house jumps)"]
        )
        assert outcome.figures[0].rows.shape == (3, 2, 2, 2)
        pack(outcome.figures)


def test_capacity_runs_small_and_goes_on_from_memory(monkeypatch, tmp_path):
    sizes = {
        300: capacity.Size((0.10, 0.20, 0.30), 2),
        150: capacity.Size((0.10, 0.25, 0.45), 2),
        75: capacity.Size((0.15, 0.30, 0.80), 3),
    }
    monkeypatch.setattr(capacity, "QUICK", sizes)
    monkeypatch.setattr(capacity, "AT_REST", (0.05, 0.1, 0.3))
    monkeypatch.setattr(capacity, "QUICK_UNITS_AT_REST", (100,))
    monkeypatch.setattr(capacity, "ONE_STEP", {0.138: 0.0036, 0.37: 0.05})
    monkeypatch.setattr(capacity, "MODERN_COUNTS", (5, 50, 100))
    real = capacity.capacity.bootstrap_half_load
    monkeypatch.setattr(capacity.capacity, "bootstrap_half_load", lambda *a: real(*a, draws=10))
    outcome = capacity.run(Context(tmp_path, quick=True, seed=1))
    found = {row.what: row for row in outcome.results}
    assert found["share of bits that flip at P/N = 0.37"].ours == pytest.approx(0.05, abs=0.005)
    assert 0.0 < found["critical load, N → ∞"].ours < 0.3
    halves = [found[f"half load at N = {n}"].ours for n in (75, 150, 300)]
    assert halves[0] > halves[2]
    assert found["share recalled, 5 patterns of 64 bits, classic"].ours > 0.9
    assert found["share recalled, 100 patterns of 64 bits, classic"].ours < 0.1
    assert found["share recalled, 100 patterns of 64 bits, modern"].ours > 0.9
    pack(outcome.figures)
    monkeypatch.setattr(capacity.capacity, "overlaps_after_recall", None)  # not called again
    again = capacity.run(Context(tmp_path, quick=True, seed=1))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]
