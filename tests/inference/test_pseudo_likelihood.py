"""Pseudo-likelihoods against conditionals that are enumerated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import oracles
from lamina import RBM
from lamina.core.errors import DataError, SettingError
from lamina.inference import pseudo_log_likelihood
from lamina.units import Bernoulli, Binomial, Concatenated, Family, Gaussian, Rectified, Softmax, Spin

SIDES = [
    (Bernoulli(4), [[0], [1], [2], [3]]),
    (Spin(3), [[0], [1], [2]]),
    (Softmax(3, 2), [[0, 1, 2], [3, 4, 5]]),
    (Softmax(1, 2), [[0], [1]]),
    (Binomial(2, 3), [[0], [1]]),
    (Concatenated([Spin(2), Concatenated([Softmax(3), Bernoulli(1)])]), [[0], [1], [2, 3, 4], [5]]),
]


@pytest.mark.parametrize(("family", "places"), SIDES, ids=lambda x: type(x).__name__)
@torch.no_grad()
def test_all_sites_together_against_the_table_of_all_states(family: Family, places: list[list[int]]):
    """log p(site | rest) = log p(v) − log Σ p(v') over the states v' that differ from v at the site alone."""
    rbm = oracles.random_pair(family, Bernoulli(3), 0.9, seed=2)
    v = family.states()
    log_p = -rbm.free_energy(v)
    expected = torch.zeros(len(v), dtype=torch.float64)
    for columns in places:
        rest = [k for k in range(family.n) if k not in columns]
        same = (v[:, None, rest] == v[None, :, rest]).all(-1)
        expected += log_p - torch.logsumexp(torch.where(same, log_p, -math.inf), 1)
    torch.testing.assert_close(pseudo_log_likelihood(rbm, v, exact=True), expected)


@pytest.mark.parametrize(("family", "places"), SIDES, ids=lambda x: type(x).__name__)
def test_one_site_at_random_is_the_same_on_average(family: Family, places: list[list[int]]):
    rbm = oracles.random_pair(family, Bernoulli(3), 0.9, seed=2)
    row = family.states()[-2:][:1]
    n = 4000
    found = pseudo_log_likelihood(rbm, row.expand(n, -1), random_state=1)
    assert len(found.round(decimals=9).unique()) <= len(places)
    error = 5 * float(found.std()) / math.sqrt(n)
    assert float(found.mean()) == pytest.approx(float(pseudo_log_likelihood(rbm, row, exact=True)), abs=error + 1e-12)


def test_many_rows_go_through_in_parts_and_a_seed_repeats():
    rbm = oracles.random_binary(4, 3)
    rows = np.tile(oracles.states(4), (150, 1))
    exact = pseudo_log_likelihood(rbm, rows, exact=True)
    assert exact.shape == (2400,)
    torch.testing.assert_close(exact[:16], exact[-16:])
    one, other, third = (pseudo_log_likelihood(rbm, rows, seed) for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_free_units_have_their_own_likelihood():
    rbm = RBM(5, 2, dtype=torch.float64)
    with torch.no_grad():
        rbm.W.zero_()
        rbm.b.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5]))
    rows = oracles.states(5)
    b = rbm.b.detach().numpy()
    expected = rows @ b - np.log1p(np.exp(b)).sum()
    np.testing.assert_allclose(pseudo_log_likelihood(rbm, rows, exact=True).numpy(), expected, rtol=1e-12)


def test_grey_values_stand_against_their_opposites():
    """What scikit-learn computes for values between 0 and 1."""
    rbm = oracles.random_binary(1, 2, seed=1)
    v = torch.tensor([[0.3]], dtype=torch.float64)
    with torch.no_grad():
        expected = -torch.log1p(torch.exp(rbm.free_energy(v) - rbm.free_energy(1 - v)))
    torch.testing.assert_close(pseudo_log_likelihood(rbm, v, 0), expected)


def test_what_has_no_sites_is_refused():
    for family in (Gaussian(3), Rectified(3), Concatenated([Bernoulli(2), Gaussian(1)])):
        with pytest.raises(SettingError, match="countable"):
            pseudo_log_likelihood(RBM(family, 2), np.zeros((2, 3)))
    with pytest.raises(SettingError, match="free energy"):
        pseudo_log_likelihood(torch.nn.Linear(3, 2), np.zeros((2, 3)))
    with pytest.raises(DataError, match="features"):
        pseudo_log_likelihood(RBM(3, 2), np.zeros((2, 4)))
