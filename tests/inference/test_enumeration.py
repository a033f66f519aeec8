"""Exact partition sums against the sum over the whole joint space."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from lamina import RBM, Gaussian
from lamina.core.errors import SettingError
from lamina.inference import binary_states, exact_log_partition


def test_states_are_all_different_and_all_there():
    states = binary_states(5)
    assert states.shape == (32, 5)
    assert np.array_equal(states.numpy(), oracles.states(5))


@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (1, 1), (5, 5)])
def test_log_partition_of_binary_machines(shape):
    rbm = oracles.random_binary(*shape, scale=1.5, seed=sum(shape))
    assert exact_log_partition(rbm) == pytest.approx(oracles.binary(rbm).log_z, rel=1e-12)


def test_log_partition_of_a_gaussian_machine():
    rbm = oracles.random_gaussian(5, 4, seed=3)
    assert exact_log_partition(rbm) == pytest.approx(oracles.mixture(rbm).log_z, rel=1e-10)


@torch.no_grad()
def test_log_partition_of_a_gaussian_machine_by_quadrature():
    """Σ_h ∫∫ exp(−E(v, h)) dv on a grid over two visible units, from the machine's own joint energy."""
    rbm = oracles.random_gaussian(2, 3, scale=0.8, seed=5)
    grid = torch.linspace(-14, 14, 561, dtype=torch.float64)
    v = torch.cartesian_prod(grid, grid)
    parts = [torch.logsumexp(-rbm.energy(v, h.expand(len(v), -1)), 0) for h in binary_states(3)]
    cell = float(grid[1] - grid[0]) ** 2
    by_grid = float(torch.logsumexp(torch.stack(parts), 0)) + np.log(cell)
    assert exact_log_partition(rbm) == pytest.approx(by_grid, rel=1e-9)


@torch.no_grad()
def test_probabilities_sum_to_one():
    rbm = oracles.random_binary(8, 4, scale=1.0)
    log_p = -rbm.free_energy(binary_states(8)) - exact_log_partition(rbm)
    assert float(log_p.exp().sum()) == pytest.approx(1.0, rel=1e-12)


def test_what_cannot_be_enumerated_is_refused():
    with pytest.raises(SettingError, match=r"30 units have 2\^30"):
        binary_states(30)
    with pytest.raises(SettingError, match="binary"):
        exact_log_partition(RBM(Gaussian(2), Gaussian(2)))
