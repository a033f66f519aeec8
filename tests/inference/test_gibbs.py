"""The Gibbs sampler leaves the machine's own distribution as it is: started from exact draws, it stays exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import oracles
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.inference import free_running, gibbs


def index(v: torch.Tensor) -> np.ndarray:
    """Number of each binary row in the order of `oracles.states`."""
    n = v.shape[1]
    return (v.numpy() @ (1 << np.arange(n)[::-1])).astype(int)


def test_exact_draws_of_a_binary_machine_stay_exact():
    rbm = oracles.random_binary(4, 3, scale=1.0, seed=2)
    exact = oracles.binary(rbm)
    n = 40_000
    generator = np.random.default_rng(0)
    start = torch.from_numpy(exact.v[generator.choice(16, size=n, p=exact.p_v)])
    after = gibbs(rbm, start, 3, Random(5))
    counts = np.bincount(index(after), minlength=16)
    assert stats.chisquare(counts, n * exact.p_v).pvalue > 1e-6
    assert (after == start).all(1).double().mean() < 0.9  # it moved


def test_one_step_follows_the_exact_transition_from_every_state():
    """Σ_h p(v'|h) p(h|v), enumerated, from a start that is far from stationary."""
    rbm = oracles.random_binary(3, 3, scale=1.2, seed=4)
    exact = oracles.binary(rbm)
    p_h_given_v = exact.joint / exact.p_v[:, None]
    p_v_given_h = (exact.joint / exact.p_h).T
    n = 30_000
    for k in (0, 5):
        after = gibbs(rbm, torch.from_numpy(exact.v[k]).expand(n, -1), 1, Random(6).child(k))
        counts = np.bincount(index(after), minlength=8)
        assert stats.chisquare(counts, n * (p_h_given_v[k] @ p_v_given_h)).pvalue > 1e-6


def test_exact_draws_of_a_gaussian_machine_stay_exact():
    rbm = oracles.random_gaussian(3, 3, scale=0.7, seed=1)
    exact = oracles.mixture(rbm)
    n = 40_000
    start = exact.draw(n, np.random.default_rng(0))
    after = gibbs(rbm, torch.from_numpy(start), 3, Random(5)).numpy()
    covariance = exact.covariance()
    z = (after.mean(0) - exact.mean()) / np.sqrt(np.diag(covariance) / n)
    assert np.abs(z).max() < 5
    np.testing.assert_allclose(np.cov(after.T), covariance, atol=8 * np.diag(covariance).max() / np.sqrt(n))
    fresh = exact.draw(n, np.random.default_rng(1))
    for direction in np.eye(3).tolist() + [[1, -1, 0.5]]:
        assert stats.ks_2samp(after @ direction, fresh @ direction).pvalue > 1e-6


def test_long_chains_from_nowhere_reach_the_distribution():
    rbm = oracles.random_binary(4, 3, scale=0.7, seed=3)
    exact = oracles.binary(rbm)
    n = 20_000
    counts = np.bincount(index(free_running(rbm, n, 60, Random(7))), minlength=16)
    assert stats.chisquare(counts, n * exact.p_v).pvalue > 1e-6


def test_no_steps_change_nothing_and_negative_ones_are_refused():
    rbm = oracles.random_binary(4, 3)
    v = torch.ones(2, 4, dtype=torch.float64)
    assert torch.equal(gibbs(rbm, v, 0, Random(0)), v)
    with pytest.raises(SettingError, match="steps"):
        gibbs(rbm, v, -1, Random(0))
