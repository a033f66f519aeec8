"""Sequential Gibbs sampling leaves a Boltzmann machine's own distribution as it is, free or with rows clamped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import boltzmann_oracle
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference.sequential_gibbs import free_states, hidden_states, sequential_gibbs


def index(s: torch.Tensor) -> np.ndarray:
    return (s.numpy() @ (1 << np.arange(s.shape[1])[::-1])).astype(int)


@pytest.mark.parametrize("order", ["fixed", "random"])
@pytest.mark.parametrize("connections", ["full", "semi-restricted"])
def test_exact_draws_stay_exact(order, connections):
    machine = boltzmann_oracle.random_machine(3, 2, connections, seed=2)
    table = boltzmann_oracle.exact(machine)
    n = 30_000
    start = torch.from_numpy(table.s[np.random.default_rng(0).choice(32, size=n, p=table.p)])
    after = sequential_gibbs(machine, start, 3, Random(5), order=order)
    assert stats.chisquare(np.bincount(index(after), minlength=32), n * table.p).pvalue > 1e-6
    assert (after == start).all(1).double().mean() < 0.9  # it moved


def test_long_chains_from_nowhere_reach_the_distribution():
    machine = boltzmann_oracle.random_machine(3, 2, scale=0.7, seed=3)
    table = boltzmann_oracle.exact(machine)
    n = 20_000
    random = Random(7)
    after = sequential_gibbs(machine, free_states(machine, n, random), 30, random, order="random")
    assert stats.chisquare(np.bincount(index(after), minlength=32), n * table.p).pvalue > 1e-6


@pytest.mark.parametrize("connections", ["full", "semi-restricted"])
def test_with_rows_clamped_the_hidden_units_reach_their_posterior(connections):
    machine = boltzmann_oracle.random_machine(2, 3, connections, seed=1)
    table = boltzmann_oracle.exact(machine)
    n = 20_000
    for v in ([0.0, 1.0], [1.0, 1.0]):
        rows = torch.tensor(v, dtype=torch.float64).expand(n, -1)
        after = hidden_states(machine, rows, 40, Random(3))
        assert torch.equal(after[:, :2], rows)
        here = (table.s[:, :2] == v).all(1)
        counts = np.bincount(index(after[:, 2:]), minlength=8)
        assert stats.chisquare(counts, n * table.p[here] / table.p[here].sum()).pvalue > 1e-6


def test_without_hidden_units_clamping_leaves_nothing_to_draw():
    machine = boltzmann_oracle.random_machine(4, 0)
    v = torch.ones(3, 4, dtype=torch.float64)
    assert torch.equal(sequential_gibbs(machine, v, 2, Random(0), clamp_visible=True), v)
    assert torch.equal(hidden_states(machine, v, 2, Random(0)), v)


def test_the_start_is_not_written_over_and_bad_input_is_refused():
    machine = boltzmann_oracle.random_machine(3, 2)
    start = torch.zeros(1, 5, dtype=torch.float64)
    sequential_gibbs(machine, start, 5, Random(1))
    assert not start.any()
    assert torch.equal(sequential_gibbs(machine, start, 0, Random(1)), start)
    with pytest.raises(SettingError, match="passes"):
        sequential_gibbs(machine, start, -1, Random(1))
    with pytest.raises(DataError, match="5"):
        sequential_gibbs(machine, start[:, :3], 1, Random(1))
