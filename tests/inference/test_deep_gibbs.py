"""Gibbs sampling in deep machines: stationary, with held units too, by tolerances computed from the sample size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deep_oracles import enumerate_dbm, random_dbm
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import deep_gibbs, deep_samples, fill_in
from lamina.inference.deep_gibbs import free_state
from lamina.models.energy import DBM

N = 20_000


def exact_draws(exact, n: int, p: np.ndarray, seed: int = 0) -> list[torch.Tensor]:
    rows = np.random.default_rng(seed).choice(len(p), size=n, p=p)
    return [torch.from_numpy(np.ascontiguousarray(x[rows])) for x in exact.layers]


@pytest.mark.parametrize("sizes", [(4, 3, 2), (3, 2, 3, 2)], ids=str)
def test_it_leaves_the_distribution_unchanged(sizes):
    dbm = random_dbm(*sizes, scale=1.2, seed=1)
    exact = enumerate_dbm(dbm)
    after = deep_gibbs(dbm, exact_draws(exact, N, exact.p), 2, Random(5))
    for x, mean in zip(after, exact.means(), strict=True):
        assert (np.abs(x.numpy().mean(0) - mean) < 5 * np.sqrt(mean * (1 - mean) / N)).all()
    for x, y, pair in zip(after, after[1:], exact.pairs(), strict=False):
        assert (np.abs((x.T @ y).numpy() / N - pair) < 5 * np.sqrt(pair * (1 - pair) / N)).all()


def test_it_reaches_the_distribution_from_elsewhere():
    dbm = random_dbm(4, 3, 2, scale=0.6, seed=2)
    exact = enumerate_dbm(dbm)
    after = deep_gibbs(dbm, [torch.zeros(N, n, dtype=torch.float64) for n in dbm.sizes], 30, Random(6))
    for x, mean in zip(after, exact.means(), strict=True):
        assert (np.abs(x.numpy().mean(0) - mean) < 5 * np.sqrt(mean * (1 - mean) / N)).all()


def test_held_units_stay_and_condition_the_others():
    """One visible and one top unit are held at 1: the rest must follow the exact conditional distribution."""
    dbm = random_dbm(4, 3, 2, scale=1.0, seed=3)
    exact = enumerate_dbm(dbm)
    here = (exact.layers[0][:, 1] == 1) & (exact.layers[2][:, 0] == 1)
    p = np.where(here, exact.p, 0.0)
    p /= p.sum()
    known = [torch.tensor([False, True, False, False]), None, torch.tensor([[True, False]]).expand(N, -1)]
    after = deep_gibbs(dbm, exact_draws(exact, N, p), 2, Random(7), known)
    assert (after[0][:, 1] == 1).all()
    assert (after[2][:, 0] == 1).all()
    for x, y in zip(after, exact.layers, strict=True):
        mean = p @ y
        variance = np.maximum(mean * (1 - mean), 0)  # 0 for a held unit, but for rounding
        assert (np.abs(x.numpy().mean(0) - mean) <= 5 * np.sqrt(variance / N) + 1e-9).all()


def test_filling_in_estimates_the_conditional_mean():
    dbm = random_dbm(5, 3, 2, scale=0.7, seed=4)
    exact = enumerate_dbm(dbm)
    v = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).expand(400, -1)
    known = torch.tensor([True, True, False, False, True])
    here = (exact.layers[0][:, known.numpy()] == np.array([1.0, 0.0, 1.0])).all(1)
    p = np.where(here, exact.p, 0.0)
    expected = (p / p.sum()) @ exact.layers[0]
    filled = fill_in(dbm, v, known, steps=40, random_state=0)
    assert torch.equal(filled[:, known], v[:, known])
    # 400 chains of 20 averaged steps: no fewer than 400 independent numbers, each with a deviation below 1/2
    assert np.abs(filled.mean(0).numpy() - expected).max() < 5 * 0.5 / np.sqrt(400)


def test_samples_come_from_the_machine_and_can_be_gone_on_with():
    dbm = random_dbm(4, 3, 2, scale=0.6, seed=5)
    exact = enumerate_dbm(dbm)
    expected, state = deep_samples(dbm, N, steps=20, random_state=1)
    mean = exact.means()[0]
    assert (np.abs(expected.mean(0).numpy() - mean) < 5 * np.sqrt(mean * (1 - mean) / N)).all()
    again, _ = deep_samples(dbm, N, steps=0, random_state=2, start=state)
    assert torch.equal(again, expected)


def test_the_same_seed_gives_the_same():
    dbm = random_dbm(4, 3, 2)
    one, two, other = (deep_samples(dbm, 5, steps=3, random_state=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_no_steps_leave_the_state():
    dbm = random_dbm(4, 3, 2)
    state = free_state(dbm, 3, Random(0))
    assert all(torch.equal(x, y) for x, y in zip(deep_gibbs(dbm, state, 0, Random(1)), state, strict=True))


def test_bad_input_says_what_was_expected():
    dbm = DBM(4, 3, 2)
    state = [torch.zeros(5, n) for n in dbm.sizes]
    with pytest.raises(DataError, match="2 layers; expected 3"):
        deep_gibbs(dbm, state[:2], 1, Random(0))
    with pytest.raises(DataError, match=r"layer 1 of the state has shape \(5, 2\); expected \(n, 3\)"):
        deep_gibbs(dbm, [state[0], state[2], state[2]], 1, Random(0))
    with pytest.raises(SettingError, match="known has 1 entries"):
        deep_gibbs(dbm, state, 1, Random(0), [None])
    with pytest.raises(SettingError, match=r"known\[0\] has type torch.float32"):
        deep_gibbs(dbm, state, 1, Random(0), [torch.zeros(4), None, None])
    with pytest.raises(SettingError, match="steps"):
        deep_gibbs(dbm, state, -1, Random(0))
    with pytest.raises(SettingError, match=r"expected booleans of shape \(n, 4\)"):
        fill_in(dbm, state[0], torch.ones(4))
    with pytest.raises(SettingError, match="steps"):
        fill_in(dbm, state[0], torch.ones(4, dtype=torch.bool), steps=1)
