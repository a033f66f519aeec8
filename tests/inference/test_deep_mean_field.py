"""Mean-field inference against enumeration: below log p(v) always, rising always, exact for one hidden layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deep_oracles import enumerate_dbm, random_dbm
from lamina.core.errors import DataError, SettingError
from lamina.inference import deep_boltzmann_bound, deep_mean_field, mean_field_bound
from lamina.inference.deep_mean_field import mean_field_
from lamina.models.energy import DBM

SIZES = [(4, 3, 2), (3, 3, 2, 3), (5, 2, 4)]


@pytest.fixture(params=SIZES, ids=str)
def machine(request):
    dbm = random_dbm(*request.param, scale=1.5, seed=3)
    return dbm, enumerate_dbm(dbm)


def test_the_bound_is_below_the_exact_log_likelihood_and_not_far(machine):
    dbm, exact = machine
    v, log_p = exact.log_p_v()
    bound = deep_boltzmann_bound(dbm, v, exact.log_z).numpy()
    assert (bound <= log_p + 1e-9).all()
    assert (log_p - bound).mean() < 0.5
    assert (log_p - bound).max() > 1e-3  # these posteriors do not factorise: equality would mean a wrong test


def test_any_means_give_a_bound(machine):
    dbm, exact = machine
    v, log_p = exact.log_p_v()
    generator = torch.Generator().manual_seed(0)
    means = [torch.rand(len(v), n, dtype=torch.float64, generator=generator) for n in dbm.sizes[1:]]
    bound = mean_field_bound(dbm, torch.from_numpy(v), means).detach().numpy() - exact.log_z
    assert (bound <= log_p).all()


def test_one_hidden_layer_is_exact():
    dbm = random_dbm(5, 4, scale=1.5)
    exact = enumerate_dbm(dbm)
    v, log_p = exact.log_p_v()
    np.testing.assert_allclose(deep_boltzmann_bound(dbm, v, exact.log_z).numpy(), log_p, atol=1e-10)
    found = deep_mean_field(dbm, torch.from_numpy(v[:3]))
    np.testing.assert_allclose(found.means[0][2].numpy(), exact.posterior(v[2])[0], atol=1e-12)


def test_each_iteration_raises_every_rows_bound(machine):
    dbm, exact = machine
    v = torch.from_numpy(exact.log_p_v()[0])
    layers = dbm.bottom_up(v)
    layers = [layers[0], *(x.detach() for x in layers[1:])]
    before = mean_field_bound(dbm, v, layers[1:]).detach()
    rises = []
    for _ in range(12):
        mean_field_(dbm, layers, 0.0, 1)
        after = mean_field_bound(dbm, v, layers[1:]).detach()
        assert (after >= before - 1e-12).all()
        rises.append(float((after - before).sum()))
        before = after
    assert rises[0] > 1e-3
    assert rises[-1] < rises[0]


def test_at_the_end_every_unit_is_its_conditional_mean(machine):
    dbm, exact = machine
    v = torch.from_numpy(exact.log_p_v()[0])
    found = deep_mean_field(dbm, v, tolerance=1e-12, max_iterations=2000)
    assert found.converged
    layers = [v, *found.means]
    for k in range(1, dbm.depth + 1):
        np.testing.assert_allclose(
            torch.sigmoid(dbm.field(k, layers)).detach().numpy(), found.means[k - 1].numpy(), atol=1e-8
        )


def test_iterations_stop_at_the_tolerance_and_at_the_cap():
    dbm = random_dbm(6, 4, 3, scale=1.5)
    v = torch.eye(6, dtype=torch.float64)
    loose, tight = (deep_mean_field(dbm, v, tolerance=t, max_iterations=500) for t in (1e-2, 1e-8))
    assert loose.converged
    assert tight.converged
    assert loose.change < 1e-2
    assert tight.change < 1e-8
    assert loose.iterations < tight.iterations < 500
    capped = deep_mean_field(dbm, v, tolerance=1e-8, max_iterations=2)
    assert (capped.iterations, capped.converged) == (2, False)


def test_a_start_elsewhere_is_taken_and_left_as_it_is():
    dbm = random_dbm(5, 4, 3)
    v = torch.eye(5, dtype=torch.float64)
    end = deep_mean_field(dbm, v, tolerance=1e-10, max_iterations=500)
    again = deep_mean_field(dbm, v, start=end.means, tolerance=1e-9)
    assert again.iterations == 1
    kept = [x.clone() for x in end.means]
    deep_mean_field(dbm, 1 - v, start=end.means)
    assert all(torch.equal(x, y) for x, y in zip(kept, end.means, strict=True))


def test_grey_rows_and_float32():
    dbm = DBM(6, 5, 4, random_state=2)
    v = torch.linspace(0, 1, 18).view(3, 6)
    found = deep_mean_field(dbm, v)
    assert found.means[1].dtype == torch.float32
    bound = deep_boltzmann_bound(dbm, v.numpy(), 0.0)
    assert bound.dtype == torch.float64
    assert bound.shape == (3,)


def test_bad_input_says_what_was_expected():
    dbm = DBM(6, 5, 4)
    v = torch.zeros(2, 6)
    with pytest.raises(DataError, match=r"expected \(..., 6\)"):
        deep_mean_field(dbm, torch.zeros(2, 5))
    with pytest.raises(SettingError, match="max_iterations"):
        deep_mean_field(dbm, v, max_iterations=0)
    with pytest.raises(SettingError, match="tolerance"):
        deep_mean_field(dbm, v, tolerance=-1.0)
    with pytest.raises(SettingError, match="expected 2 rows of the sizes"):
        deep_mean_field(dbm, v, start=[torch.zeros(2, 5), torch.zeros(2, 5)])
