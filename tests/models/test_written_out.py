"""A convolutional machine written out as an ordinary one: same free energies, same log Z, exact and annealed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from convolutional_oracle import enumerate_machine, random_machine
from lamina.core.errors import SettingError
from lamina.inference import exact_log_partition
from lamina.models.energy import ConvolutionalRBM
from lamina.units import Gaussian, Spin

CASES = {
    "1-D, border": ((2, 2, 2, 3, 1), (5,)),
    "1-D, no pooling": ((2, 2, 2, 1, 1), (5,)),
    "2-D, border": ((1, 2, 2, 2, 2), (3, 4)),
    "gaussian": ((Gaussian(2), 2, 2, 2, 2), (3, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_free_energies_agree(name):
    settings, size = CASES[name]
    machine = random_machine(*settings)
    rbm = machine.as_rbm(size)
    v = (np.random.default_rng(0).random((30, machine.n_channels, *size)) < 0.5) * 1.0
    v = torch.from_numpy(v)
    torch.testing.assert_close(rbm.free_energy(v.flatten(1)), machine.free_energy(v), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["1-D, border", "2-D, border"])
def test_log_partition_is_enumerations(name):
    settings, size = CASES[name]
    machine = random_machine(*settings)
    expected = enumerate_machine(machine, size).log_z
    assert exact_log_partition(machine.as_rbm(size)) == pytest.approx(expected, rel=1e-9)


def test_annealed_importance_sampling_takes_it():
    machine = random_machine(1, 2, 2, 2, 2, scale=0.5)
    expected = enumerate_machine(machine, (3, 4)).log_z
    found = lamina.inference.log_partition(machine.as_rbm((3, 4)), n_chains=50, betas=100, random_state=0)
    assert found.log_z == pytest.approx(expected, abs=0.2)


def test_what_cannot_be_written_out_is_refused():
    with pytest.raises(SettingError, match="Spin; expected Bernoulli or Gaussian"):
        ConvolutionalRBM(Spin(1), 2, 2).as_rbm((4, 4))
    with pytest.raises(SettingError, match="smaller maps"):
        ConvolutionalRBM(1, 40, 12).as_rbm((200, 200))
