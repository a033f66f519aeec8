"""Bounds on log p(v) of deep machines against enumeration: from log Z, from annealing, and without log Z."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deep_oracles import enumerate_dbm, random_dbm
from lamina import Gaussian
from lamina.core.errors import DataError, SettingError
from lamina.inference import conservative_deep_bound, deep_boltzmann_bound, log_partition
from lamina.models.energy import DBM

SIZES = [(5, 4, 3), (4, 3, 2, 2)]


@pytest.fixture(params=SIZES, ids=str)
def machine(request):
    dbm = random_dbm(*request.param, scale=1.0, seed=7)
    return dbm, enumerate_dbm(dbm)


@pytest.mark.parametrize("side", ["odd", "even"])
def test_annealing_covers_the_exact_log_z(machine, side):
    dbm, exact = machine
    z = log_partition(dbm.as_rbm(side), n_chains=200, betas=100, random_state=0)
    assert z.trusted
    assert z.low <= exact.log_z <= z.high
    assert z.high - z.low < 0.5


def test_the_machine_itself_can_be_annealed_from_the_mean_of_its_rows(machine):
    dbm, exact = machine
    mean = torch.full((dbm.n_visible,), 0.4, dtype=torch.float64)
    z = log_partition(dbm, n_chains=200, betas=200, data_mean=mean, random_state=1)
    assert z.low <= exact.log_z <= z.high


def test_with_the_exact_log_z_the_bound_holds_for_every_row(machine):
    dbm, exact = machine
    v, log_p = exact.log_p_v()
    bound = deep_boltzmann_bound(dbm, v, log_partition(dbm, "exact"))
    assert bound.dtype == torch.float64
    assert (bound.numpy() <= log_p + 1e-9).all()
    assert (log_p - bound.numpy()).mean() < 0.5


def test_the_conservative_bound_is_below_on_average_and_close_with_many_temperatures(machine):
    """Over rows drawn from the machine E[bound] ≤ E[log p(v)]; many temperatures leave only the mean-field gap."""
    dbm, exact = machine
    v, log_p = exact.log_p_v()
    rows = np.random.default_rng(1).choice(len(v), size=2000, p=np.exp(log_p))
    bound = conservative_deep_bound(dbm, v[rows], 60, random_state=2).numpy()
    error = bound - log_p[rows]
    standard_error = error.std() / np.sqrt(len(error))
    assert error.mean() < 4 * standard_error
    gap = (log_p - deep_boltzmann_bound(dbm, v, exact.log_z).numpy())[rows].mean()
    assert error.mean() > -gap - 0.25
    coarse = conservative_deep_bound(dbm, v[rows], 2, random_state=2).numpy() - log_p[rows]
    assert coarse.mean() < error.mean()  # fewer temperatures err further to the safe side


def test_a_gaussian_visible_side_of_one_unit_against_quadrature():
    dbm = DBM(Gaussian(1, sigma=0.8), 3, 2, dtype=torch.float64, random_state=1)
    with torch.no_grad():
        for parameter in dbm.parameters():
            parameter.copy_(torch.from_numpy(np.random.default_rng(4).normal(0, 0.6, tuple(parameter.shape))))
    rbm = dbm.as_rbm()
    grid = torch.linspace(-15, 15, 3001, dtype=torch.float64)[:, None]
    h2 = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    with torch.no_grad():
        joint = torch.stack([-rbm.free_energy(torch.cat([grid, h.expand(len(grid), -1)], 1)) for h in h2], 1)
        log_f = torch.logsumexp(joint, 1)
    log_z = float(torch.log(torch.trapezoid(log_f.exp(), grid[:, 0])))
    assert log_partition(dbm, "exact").log_z == pytest.approx(log_z, rel=1e-6)
    bound = deep_boltzmann_bound(dbm, grid[1400:1600], log_z).numpy()
    exact = log_f[1400:1600].numpy() - log_z
    assert (bound <= exact + 1e-9).all()
    assert (exact - bound).max() < 0.5


def test_bad_input_says_what_was_expected():
    dbm = DBM(4, 3, 2)
    with pytest.raises(SettingError, match="expected a finite number"):
        deep_boltzmann_bound(dbm, np.zeros((2, 4)), float("nan"))
    with pytest.raises(DataError):
        deep_boltzmann_bound(dbm, np.zeros((2, 5)), 0.0)
    with pytest.raises(DataError, match="NaN"):
        conservative_deep_bound(dbm, np.full((2, 4), np.nan))
    with pytest.raises(DataError, match="need \\[0, 1\\]"):
        deep_boltzmann_bound(dbm, np.full((2, 4), 7.0), 0.0)
    with pytest.raises(SettingError, match="n_chains"):
        conservative_deep_bound(dbm, np.zeros((2, 4)), n_chains=0)
