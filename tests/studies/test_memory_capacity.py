"""Measures of memory capacity against enumeration, against their theory, and on data with a known answer."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import erf

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.studies import memory_capacity as capacity


def test_one_step_errors_by_the_definition():
    patterns = capacity.random_patterns(9, 21, Random(3))
    W = (patterns.T @ patterns).numpy()
    np.fill_diagonal(W, 0)
    X = patterns.numpy()
    assert capacity.one_step_error(patterns) == (X * (X @ W) < 0).mean()
    assert 0 < capacity.one_step_error(patterns) < 0.5


def test_the_probability_by_enumeration_of_all_networks():
    """All 2^(3·4) networks of 4 units with 3 patterns."""
    wrong = 0
    for bits in product([-1.0, 1.0], repeat=12):
        X = np.array(bits).reshape(3, 4)
        W = X.T @ X - 3 * np.eye(4)
        wrong += int((X * (X @ W) < 0).sum())
    assert capacity.one_step_error_probability(4, 3) == pytest.approx(wrong / (12 * 2**12), abs=1e-12)


def test_measured_errors_agree_with_the_exact_probability():
    n, n_patterns, networks = 400, 80, 12
    shares = np.array(
        [capacity.one_step_error(capacity.random_patterns(n_patterns, n, Random(1).child(k))) for k in range(networks)]
    )
    exact = capacity.one_step_error_probability(n, n_patterns)
    assert abs(shares.mean() - exact) < 4 * shares.std(ddof=1) / math.sqrt(networks)
    assert capacity.one_step_error_probability(100_000, 20_000) == pytest.approx(
        capacity.one_step_error_limit(0.2), rel=2e-3
    )


def test_the_textbooks_table():
    for load, published in ((0.105, 0.001), (0.138, 0.0036), (0.185, 0.01), (0.37, 0.05)):
        assert capacity.one_step_error_limit(load) == pytest.approx(published, rel=0.03)


def test_recall_keeps_patterns_at_low_loads_and_loses_them_at_high_ones():
    overlaps = capacity.overlaps_after_recall(300, [0.05, 0.30], 15, Random(2))
    assert overlaps.shape == (2, 15)
    assert overlaps[0].min() > 0.97
    assert overlaps[1].mean() < 0.6
    given_up = capacity.overlaps_after_recall(300, [0.05, 0.30], 15, Random(2), give_up_below=0.5)
    retrieved = overlaps > capacity.RETRIEVED
    np.testing.assert_array_equal(given_up > capacity.RETRIEVED, retrieved)
    np.testing.assert_array_equal(given_up[retrieved], overlaps[retrieved])
    with pytest.raises(SettingError, match="rising"):
        capacity.overlaps_after_recall(100, [0.3, 0.1], 5, Random(0))
    with pytest.raises(SettingError, match="n_probes"):
        capacity.overlaps_after_recall(100, [0.1], 11, Random(0))


def test_the_mean_field_equation():
    load, overlap = capacity.critical_load()
    assert load == pytest.approx(0.1379, abs=1e-4)  # Amit, Gutfreund and Sompolinsky 1985
    assert overlap == pytest.approx(0.967, abs=1e-3)
    assert capacity.mean_field_overlap(0.15) == 0.0
    for a in (0.02, 0.1, 0.137):
        m = capacity.mean_field_overlap(a)
        y = next(y for y in np.linspace(6, 1, 200_001) if erf(y) <= m)
        assert y * (math.sqrt(2 * a) + 2 / math.sqrt(math.pi) * math.exp(-(y**2))) == pytest.approx(erf(y), abs=1e-4)


def test_the_half_load_of_known_shares_is_found_again():
    loads = np.linspace(0.1, 0.2, 9)
    share = 0.5 * (1 + erf((0.152 - loads) / 0.02 / math.sqrt(2)))
    found = capacity.half_load(loads, 1e6 * share, 1_000_000)
    assert found.load == pytest.approx(0.152, abs=1e-5)
    assert found.width == pytest.approx(0.02, abs=1e-5)
    with pytest.raises(DataError, match="both sides"):
        capacity.half_load([0.1, 0.2], np.array([9, 8]), 10)


def test_the_bootstrap_covers_the_truth_with_the_spread_it_claims():
    loads, truth, width = np.linspace(0.1, 0.2, 6), 0.15, 0.015
    generator = np.random.default_rng(0)
    p = 0.5 * (1 + erf((truth - loads) / width / math.sqrt(2)))
    halves, spreads = [], []
    for k in range(12):
        overlaps = (generator.random((6, 6, 40)) < p[:, None]).astype(float)
        halves.append(capacity.half_load(loads, overlaps.sum((0, 2)), 240).load)
        spreads.append(capacity.bootstrap_half_load(loads, overlaps, Random(k), 30).std())
    assert abs(np.mean(halves) - truth) < 4 * np.std(halves) / math.sqrt(12)
    assert 0.5 < np.mean(spreads) / np.std(halves) < 3.0  # resampling networks and probes is on the cautious side


def test_extrapolation_of_an_exact_law():
    sizes = [500, 1000, 4000]
    loads = 0.138 + 2.0 * np.array(sizes, float) ** (-2 / 3)
    limit, slope, chi = capacity.extrapolate(sizes, loads, np.full(3, 0.001), 2 / 3)
    assert (limit, slope, chi) == pytest.approx((0.138, 2.0, 0.0), abs=1e-9)


def test_patterns_are_fair_signs():
    patterns = capacity.random_patterns(200, 300, Random(0))
    assert torch.equal(patterns.abs(), torch.ones_like(patterns))
    assert abs(float(patterns.mean())) < 5 / math.sqrt(60_000)
