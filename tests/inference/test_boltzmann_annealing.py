"""Annealed importance sampling of general Boltzmann machines against sums over all states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boltzmann_oracle
import oracles
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import log_likelihood, log_partition
from lamina.inference.annealed_importance import forward_log_weights, reverse_log_weights
from lamina.inference.annealing_paths import annealing_path

SHAPES = [(5, 0, "full"), (4, 3, "full"), (4, 3, "semi-restricted")]
MEAN = np.array([0.2, 0.5, 0.7, 0.9, 0.4])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_data", [False, True])
def test_weights_are_unbiased_whatever_the_schedule(shape, with_data):
    """E[w] = Z / Z_base with four temperatures: the mean of many weights lies within 5 of its standard errors."""
    machine = boltzmann_oracle.random_machine(*shape, scale=0.8, seed=1)
    path = annealing_path(machine, MEAN[: shape[0]] if with_data else None)
    log_w = forward_log_weights(path, [0.0, 0.3, 0.6, 1.0], 20_000, Random(2))
    w = torch.exp(log_w + path.log_z_base - boltzmann_oracle.exact(machine).log_z).numpy()
    assert abs(w.mean() - 1) < 5 * w.std() / np.sqrt(len(w))
    assert w.std() > 0.01  # there was something to average


@pytest.mark.parametrize("shape", SHAPES)
def test_the_base_is_the_product_of_free_units(shape):
    machine = boltzmann_oracle.random_machine(*shape, seed=1)
    path = annealing_path(machine, MEAN[: shape[0]])
    mean = path.start(20_000, Random(0))[:, : shape[0]].mean(0).numpy()
    assert np.abs(mean - MEAN[: shape[0]]).max() < 5 * 0.5 / np.sqrt(20_000)
    logit = np.log(MEAN / (1 - MEAN))[: shape[0]]
    assert path.log_z_base == pytest.approx(np.log1p(np.exp(logit)).sum() + shape[1] * np.log(2))


@pytest.mark.parametrize("shape", [(5, 0, "full"), (4, 3, "semi-restricted")])
def test_reverse_weights_are_unbiased_from_exact_draws(shape):
    machine = boltzmann_oracle.random_machine(*shape, scale=0.8, seed=1)
    table = boltzmann_oracle.exact(machine)
    p_v = np.exp(table.log_p_v())
    picks = np.random.default_rng(0).choice(len(p_v), size=20_000, p=p_v / p_v.sum())
    start = torch.from_numpy(oracles.states(shape[0])[picks])
    path = annealing_path(machine)
    log_w = reverse_log_weights(path, [0.0, 0.3, 0.6, 1.0], start, Random(2))
    w = torch.exp(log_w + table.log_z - path.log_z_base).numpy()
    assert abs(w.mean() - 1) < 5 * w.std() / np.sqrt(len(w))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_public_functions_take_the_machine(shape):
    machine = boltzmann_oracle.random_machine(*shape, scale=0.6, seed=4)
    table = boltzmann_oracle.exact(machine)
    found = log_partition(machine, n_chains=200, betas=200, random_state=0)
    assert found.trusted
    assert found.low <= table.log_z <= found.high
    assert found.high - found.low < 0.2
    exact = log_partition(machine, "exact")
    assert exact.log_z == pytest.approx(table.log_z, abs=1e-12)
    v = torch.from_numpy(oracles.states(shape[0]))
    np.testing.assert_allclose(log_likelihood(machine, v, exact), table.log_p_v(), atol=1e-11)


def test_what_has_no_path_is_refused():
    machine = boltzmann_oracle.random_machine(4, 3)
    with pytest.raises(SettingError, match="see each other"):
        annealing_path(machine).from_rows(torch.zeros(2, 4))
    with pytest.raises(DataError, match="4 finite numbers"):
        annealing_path(machine, MEAN)
