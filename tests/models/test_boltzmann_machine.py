"""The general Boltzmann machine against sums over all of its states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boltzmann_oracle
import oracles
from lamina.core.errors import DataError, SettingError
from lamina.models.energy import RBM, BoltzmannMachine
from lamina.storage import load, save

SHAPES = [(4, 0, "full"), (3, 1, "full"), (3, 3, "full"), (4, 3, "semi-restricted"), (3, 0, "semi-restricted")]


@pytest.mark.parametrize("shape", SHAPES)
class TestAgainstEnumeration:
    def test_energies(self, shape):
        machine = boltzmann_oracle.random_machine(*shape)
        table = boltzmann_oracle.exact(machine)
        np.testing.assert_allclose(machine.energy(torch.from_numpy(table.s)).detach(), table.energy, atol=1e-12)

    def test_partition_function_and_probabilities(self, shape):
        machine = boltzmann_oracle.random_machine(*shape, seed=3)
        table = boltzmann_oracle.exact(machine)
        log_z = machine.exact_log_partition()
        assert log_z == pytest.approx(table.log_z, abs=1e-12)
        v = torch.from_numpy(oracles.states(shape[0]))
        np.testing.assert_allclose(-machine.free_energy(v).detach().numpy() - log_z, table.log_p_v(), atol=1e-11)

    def test_conditionals_of_single_units(self, shape):
        machine = boltzmann_oracle.random_machine(*shape, seed=4)
        table = boltzmann_oracle.exact(machine)
        mean = machine.mean_given_others(torch.from_numpy(table.s)).detach().numpy()
        for k, s in enumerate(table.s):
            for i in range(machine.n_units):
                off, on = s.copy(), s.copy()
                off[i], on[i] = 0, 1
                p = [table.p[(table.s == x).all(1)].item() for x in (off, on)]
                assert mean[k, i] == pytest.approx(p[1] / (p[0] + p[1]), abs=1e-12)

    def test_saved_and_loaded(self, shape, tmp_path):
        machine = boltzmann_oracle.random_machine(*shape)
        save(machine, tmp_path / "machine")
        again = load(tmp_path / "machine")
        assert again.spec() == machine.spec()
        assert torch.equal(again.W, machine.W)
        assert torch.equal(again.b, machine.b)
        assert torch.equal(again.mask, machine.mask)


def test_without_lateral_weights_it_is_a_restricted_machine():
    rbm = oracles.random_binary(4, 3, seed=5)
    machine = BoltzmannMachine(4, 3, "semi-restricted", dtype=torch.float64)
    with torch.no_grad():
        machine.W.zero_()
        machine.W[:4, 4:], machine.W[4:, :4] = rbm.W, rbm.W.T
        machine.b.copy_(torch.cat([rbm.b, rbm.c]))
    v = torch.from_numpy(oracles.states(4))
    torch.testing.assert_close(machine.free_energy(v), rbm.free_energy(v))
    torch.testing.assert_close(machine.field_h(v), rbm.field_h(v))
    assert isinstance(rbm, RBM)


def test_weights_begin_symmetric_small_and_only_where_allowed():
    machine = BoltzmannMachine(30, 20, "semi-restricted", random_state=3)
    W = machine.W.detach()
    assert torch.equal(W, W.T)
    assert not W.diagonal().any()
    assert not W[30:, 30:].any()
    assert float(W[:, :30][W[:, :30] != 0].std()) == pytest.approx(0.01, rel=0.1)  # of about 1,000 pairs
    machine.initialise(0, torch.full((30,), 0.25))
    assert float(torch.sigmoid(machine.b.detach()[:30]).mean()) == pytest.approx(0.25)


def test_bad_settings_and_shapes():
    with pytest.raises(SettingError, match="connections"):
        BoltzmannMachine(3, 2, "restricted")
    with pytest.raises(SettingError, match="n_hidden"):
        BoltzmannMachine(3, -1)
    machine = BoltzmannMachine(3, 2)
    with pytest.raises(DataError, match=r"\(\.\.\., 3\)"):
        machine.field_h(torch.zeros(4, 2))
    with pytest.raises(DataError, match="hidden values are missing"):
        machine.join(torch.zeros(4, 3))
    with pytest.raises(DataError, match=r"\(\.\.\., 5\)"):
        machine.energy(torch.zeros(4, 3))
    with pytest.raises(SettingError, match=r"2\^25"):
        BoltzmannMachine(25).exact_log_partition()
