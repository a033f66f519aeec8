"""Mean-field inference: fixed points, exactness where hidden units are independent, and the bound."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boltzmann_oracle
import oracles
from lamina.core.errors import SettingError
from lamina.inference.mean_field import mean_field, variational_free_energy


def test_exact_where_hidden_units_do_not_see_each_other():
    machine = boltzmann_oracle.random_machine(4, 3, "semi-restricted")
    v = torch.from_numpy(oracles.states(4))
    found = mean_field(machine, v)
    assert found.converged
    assert found.steps == 1
    torch.testing.assert_close(variational_free_energy(machine, v, found.mean), machine.free_energy(v).detach())


def test_a_fixed_point_whose_bound_holds_and_is_locally_the_best():
    machine = boltzmann_oracle.random_machine(3, 4, scale=0.8, seed=6)
    v = torch.from_numpy(oracles.states(3))
    found = mean_field(machine, v, tolerance=1e-12, steps=1000)
    assert found.converged
    assert found.change <= 1e-12
    s = machine.join(v, found.mean)
    torch.testing.assert_close(found.mean, torch.sigmoid(machine.field(s))[:, 3:].detach())
    bound = variational_free_energy(machine, v, found.mean)
    gap = (bound - machine.free_energy(v)).detach()
    assert (gap > 0).all()
    generator = np.random.default_rng(0)
    for _ in range(20):
        noise = torch.from_numpy(generator.normal(0, 1e-3, found.mean.shape))
        nearby = (found.mean + noise).clamp(0, 1)
        assert (variational_free_energy(machine, v, nearby) >= bound - 1e-12).all()


def test_damping_settles_what_swings_without_it():
    machine = boltzmann_oracle.random_machine(1, 2)
    with torch.no_grad():
        machine.W.copy_(torch.tensor([[0.0, 0, 0], [0, 0, -12], [0, -12, 0]]))
        machine.b.copy_(torch.tensor([0.0, 5.0, 5.0]))
    v = torch.zeros(1, 1, dtype=torch.float64)
    assert not mean_field(machine, v, damping=0.0).converged
    assert mean_field(machine, v, damping=0.7, steps=500).converged


def test_bad_settings():
    machine = boltzmann_oracle.random_machine(2, 2)
    v = torch.zeros(1, 2, dtype=torch.float64)
    for options in ({"damping": 1.0}, {"steps": 0}, {"tolerance": -1.0}):
        with pytest.raises(SettingError, match=next(iter(options))):
            mean_field(machine, v, **options)
