"""Log-likelihoods of rows: −F − log Z, and the conservative estimate by annealing backward from each row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import small_machines
import torch

import oracles
from lamina import RBM, Random
from lamina.core.errors import DataError, SettingError
from lamina.inference import annealed_importance as module
from lamina.inference import exact_log_partition, log_likelihood, log_partition, raise_log_likelihood
from lamina.models.energy import DBM, BoltzmannMachine, ClassificationRBM
from lamina.units import Bernoulli, Gaussian


def exact_rows(rbm: RBM, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``n`` exact draws of a binary machine and their log p."""
    exact = oracles.binary(rbm)
    drawn = np.random.default_rng(seed).choice(len(exact.v), size=n, p=exact.p_v)
    return exact.v[drawn], np.log(exact.p_v[drawn])


@pytest.mark.parametrize("pair", small_machines.pairs(), ids=small_machines.name)
@torch.no_grad()
def test_the_likelihood_is_minus_the_free_energy_minus_log_z(pair):
    rbm = small_machines.machine(*pair)
    v = rbm.visible.sample(rbm.b.expand(5, -1), Random(5))
    found = log_likelihood(rbm, v, log_partition(rbm, "exact"))
    assert (found.dtype, found.shape) == (torch.float64, (5,))
    torch.testing.assert_close(found, -rbm.free_energy(v) - exact_log_partition(rbm))
    assert torch.equal(found, log_likelihood(rbm, v.numpy(), exact_log_partition(rbm)))


def test_probabilities_of_a_machine_with_labels_and_of_a_general_one_sum_to_one():
    for model in (ClassificationRBM(4, 3, 3, dtype=torch.float64), BoltzmannMachine(4, 2, dtype=torch.float64)):
        p = log_likelihood(model, oracles.states(4), log_partition(model, "exact")).exp()
        assert float(p.sum()) == pytest.approx(1.0, rel=1e-10)


def test_real_rows_of_any_scale_have_a_density():
    """A row is no data set: it need not be standardised."""
    rbm = oracles.random_gaussian(3, 2, seed=1, learn_sigma=False)
    rows = np.array([[40.0, -3.0, 2.0], [41.0, -3.5, 2.5]])
    found = log_likelihood(rbm, rows, exact_log_partition(rbm))
    np.testing.assert_allclose(found.numpy(), oracles.mixture(rbm).log_density(rows), rtol=1e-10)


def test_the_conservative_estimate_is_below_the_truth_on_average_and_comes_up_to_it():
    """Over the machine's own rows the mean is at most that of log p(v), and near it once temperatures suffice."""
    rbm = oracles.random_binary(8, 5, scale=1.2, seed=3)
    rows, truth = exact_rows(rbm, 1500)
    gaps, errors = [], []
    for betas in (2, 20, 500):
        gap = raise_log_likelihood(rbm, rows[: 1500 if betas < 500 else 300], betas, random_state=1).numpy()
        gap = truth[: len(gap)] - gap
        gaps.append(gap.mean())
        errors.append(gap.std() / math.sqrt(len(gap)))
    assert gaps[0] > gaps[1] > gaps[2] > -4 * errors[2]
    assert gaps[0] > 4 * errors[0]
    assert gaps[1] > 4 * errors[1]
    assert gaps[2] < 0.1


def test_it_is_unbiased_for_the_probability_that_annealing_itself_draws():
    """With K = 1 temperature, p_ann(v) = Σ_{v_0} p_base(v_0) T_1(v | v_0), enumerated."""
    rbm = oracles.random_binary(3, 2, scale=1.0, seed=4)
    exact = oracles.binary(rbm)
    p_base = np.exp(exact.v @ oracles.arrays(rbm)[1])
    p_base /= p_base.sum()
    step = (exact.joint / exact.p_v[:, None]) @ (exact.joint / exact.p_h).T  # T(v | v_0), rows are v_0
    p_ann = p_base @ step
    n = 20_000
    for k in (0, 5):
        log_p = raise_log_likelihood(rbm, np.repeat(exact.v[k : k + 1], n, 0), [0, 1], random_state=k)
        p = log_p.exp().numpy()
        assert p.mean() == pytest.approx(p_ann[k], abs=5 * p.std() / math.sqrt(n))


def test_more_chains_per_row_come_up_from_below():
    rbm = oracles.random_binary(6, 4, scale=1.5, seed=1)
    rows, _ = exact_rows(rbm, 400)
    one, many = (raise_log_likelihood(rbm, rows, 10, n_chains=n, random_state=0) for n in (1, 10))
    difference = (many - one).numpy()
    assert difference.mean() > 4 * difference.std() / math.sqrt(400)


def test_a_row_does_not_depend_on_the_grouping(monkeypatch):
    rbm = oracles.random_binary(6, 4, seed=1)
    rows, _ = exact_rows(rbm, 9)
    whole = raise_log_likelihood(rbm, rows, 10, n_chains=3, random_state=0)
    monkeypatch.setattr(module, "MOST_NUMBERS", 7 * (2 * 6 + 3 * 4))
    torch.testing.assert_close(
        whole, raise_log_likelihood(rbm, rows, 10, n_chains=3, random_state=0), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(whole[:4], raise_log_likelihood(rbm, rows[:4], 10, n_chains=3, random_state=0))


def test_it_is_conservative_for_a_general_machine_too():
    """Its sweep over visible units that see each other is no reversible transition."""
    machine = BoltzmannMachine(4, 0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        couplings = torch.randn(4, 4, generator=generator, dtype=torch.float64)
        machine.W.copy_((couplings + couplings.T).fill_diagonal_(0))
        machine.b.copy_(torch.randn(4, generator=generator, dtype=torch.float64))
    states = oracles.states(4)
    log_p = log_likelihood(machine, states, log_partition(machine, "exact")).numpy()
    drawn = np.random.default_rng(0).choice(16, size=2000, p=np.exp(log_p))
    gap = log_p[drawn] - raise_log_likelihood(machine, states[drawn], 4, random_state=0).numpy()
    assert gap.mean() > 4 * gap.std() / math.sqrt(2000)
    gap = log_p[drawn] - raise_log_likelihood(machine, states[drawn], 200, random_state=0).numpy()
    assert -4 * gap.std() / math.sqrt(2000) < gap.mean() < 0.1


def test_a_deep_machine_is_asked_for_rows_of_its_restricted_form():
    dbm = DBM(3, 2, 2, dtype=torch.float64, random_state=3)
    rows = oracles.states(5)[::4]
    one, other = (raise_log_likelihood(model, rows, 5, random_state=0) for model in (dbm, dbm.as_rbm()))
    assert torch.equal(one, other)
    with pytest.raises(SettingError, match="no partition function"):
        raise_log_likelihood(torch.nn.Linear(3, 2), rows, 5)


def test_any_families_and_without_weights_exactly():
    rbm = RBM(Gaussian(3), Bernoulli(2), dtype=torch.float64)
    with torch.no_grad():
        rbm.W.zero_()
        rbm.b.fill_(0.7)
    rows = np.random.default_rng(0).normal(size=(6, 3))
    expected = -((rows - 0.7) ** 2).sum(1) / 2 - 1.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(raise_log_likelihood(rbm, rows, [0, 1], random_state=0).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((2, 5)), "5 features"),
        (np.zeros(4), "shape"),
        (np.zeros((0, 4)), "0 row"),
        (np.full((2, 4), 3.0), "Bernoulli"),
        (np.full((2, 4), np.nan), "NaN"),
        (np.full((2, 4), "a"), "numbers"),
        (torch.zeros(2, 3), "3 features"),
    ],
)
def test_rows_that_do_not_fit_are_refused(data, words):
    rbm = RBM(4, 2)
    with pytest.raises(DataError, match=words):
        log_likelihood(rbm, data, 0.0)
    with pytest.raises(DataError, match=words):
        raise_log_likelihood(rbm, data, 3)


def test_rows_of_a_general_machine_are_checked_too():
    with pytest.raises(DataError, match="5 features"):
        raise_log_likelihood(BoltzmannMachine(4, 2), np.zeros((2, 5)), 3)
    with pytest.raises(DataError, match="5 features"):
        log_partition(BoltzmannMachine(4, 2), "reverse-ais", start=np.zeros((2, 5)), betas=3)


def test_bad_options_are_refused():
    rbm, rows = RBM(4, 2), np.zeros((2, 4))
    bad: list[Any] = [math.nan, math.inf, "3", None]
    for log_z in bad:
        with pytest.raises(SettingError, match="log_z"):
            log_likelihood(rbm, rows, log_z)
    with pytest.raises(SettingError, match="free_energy"):
        log_likelihood(torch.nn.Linear(4, 2), rows, 0.0)
    with pytest.raises(SettingError, match="n_chains"):
        raise_log_likelihood(rbm, rows, 3, n_chains=0)
    with pytest.raises(SettingError, match="betas"):
        raise_log_likelihood(rbm, rows, [1, 0])
