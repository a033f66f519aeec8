"""Energies, conditionals and the two-sided form of deep Boltzmann machines against enumeration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deep_oracles import enumerate_dbm, random_dbm
from lamina import Gaussian, load, save
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import exact_log_partition
from lamina.models.energy import DBM, RBM

SIZES = [(4, 3, 2), (3, 2, 3, 2), (3, 4), (2, 2, 2, 2, 2)]


@pytest.fixture(params=SIZES, ids=str)
def machine(request):
    dbm = random_dbm(*request.param, seed=len(request.param))
    return dbm, enumerate_dbm(dbm)


def tensors(exact):
    return [torch.from_numpy(np.ascontiguousarray(x)) for x in exact.layers]


def test_energy_of_every_state(machine):
    dbm, exact = machine
    np.testing.assert_allclose(-dbm.energy(tensors(exact)).detach().numpy(), exact.log_weights, rtol=1e-10, atol=1e-12)


def test_every_conditional_mean(machine):
    """σ(field) = p(x_k = 1 | all other layers), from the probabilities of the two states that differ in one unit."""
    dbm, exact = machine
    layers = tensors(exact)
    whole = np.concatenate(exact.layers, 1)
    index = {tuple(row): i for i, row in enumerate(whole)}
    start = 0
    for k, n in enumerate(dbm.sizes):
        mean = torch.sigmoid(dbm.field(k, layers)).detach().numpy()
        for j in range(n):
            on, off = whole.copy(), whole.copy()
            on[:, start + j], off[:, start + j] = 1, 0
            p_on = exact.p[[index[tuple(row)] for row in on]]
            p_off = exact.p[[index[tuple(row)] for row in off]]
            np.testing.assert_allclose(mean[:, j], p_on / (p_on + p_off), rtol=1e-9)
        start += n


def test_fields_with_a_buffer_and_with_leading_dimensions(machine):
    dbm, exact = machine
    layers = [x[:12] for x in tensors(exact)]
    for k in range(dbm.depth + 1):
        flat = dbm.field(k, layers).detach()
        with torch.no_grad():
            out = torch.empty_like(flat)
            assert dbm.field(k, layers, out=out) is out
        torch.testing.assert_close(out, flat)
        shaped = dbm.field(k, [x.view(3, 4, -1) for x in layers]).detach()
        torch.testing.assert_close(shaped.reshape(12, -1), flat)


@pytest.mark.parametrize("visible", ["odd", "even"])
def test_as_a_restricted_machine_it_has_the_same_distribution(machine, visible):
    dbm, exact = machine
    rbm = dbm.as_rbm(visible)
    assert type(rbm) is RBM
    layers = tensors(exact)
    even, odd = (torch.cat([layers[k] for k in side], 1) for side in dbm.sides())
    v, h = (odd, even) if visible == "odd" else (even, odd)
    np.testing.assert_allclose(-rbm.energy(v, h).detach().numpy(), exact.log_weights, rtol=1e-10, atol=1e-12)
    assert exact_log_partition(rbm) == pytest.approx(exact.log_z, rel=1e-12)


def test_a_restricted_machine_made_from_it_shares_nothing_with_it():
    dbm = random_dbm(3, 2, 2)
    rbm = dbm.as_rbm()
    with torch.no_grad():
        rbm.W.zero_()
        rbm.b.zero_()
    assert (dbm.W[0] != 0).all()
    assert (dbm.b[1] != 0).all()


def test_a_gaussian_visible_side():
    dbm = DBM(Gaussian(3, sigma=0.7), 2, 2, dtype=torch.float64, random_state=1)
    with torch.no_grad():
        for parameter in dbm.parameters():
            parameter.copy_(torch.from_numpy(np.random.default_rng(3).normal(0, 1, tuple(parameter.shape))))
    v = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    h1, h2 = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    W, b = [w.detach() for w in dbm.W], [x.detach() for x in dbm.b]
    by_hand = (
        ((v - b[0]) ** 2 / (2 * 0.49)).sum()
        - (h1 @ b[1])
        - (h2 @ b[2])
        - (v / 0.49 @ W[0] * h1).sum()
        - (h1 @ W[1] @ h2.T)
    )
    torch.testing.assert_close(dbm.energy([v, h1, h2]).detach(), by_hand.reshape(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        dbm.field(1, [v, h1, h2]).detach(), b[1] + v / 0.49 @ W[0] + h2 @ W[1].T, rtol=1e-6, atol=1e-6
    )


def test_the_pass_upward_doubles_what_it_lacks():
    dbm = random_dbm(4, 3, 2, 2)
    v = torch.rand(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = [x.detach() for x in dbm.bottom_up(v)]
    m1 = torch.sigmoid(dbm.b[1] + 2 * v @ dbm.W[0]).detach()
    m2 = torch.sigmoid(dbm.b[2] + 2 * m1 @ dbm.W[1]).detach()
    m3 = torch.sigmoid(dbm.b[3] + m2 @ dbm.W[2]).detach()
    for ours, expected in zip(found, (v, m1, m2, m3), strict=True):
        torch.testing.assert_close(ours, expected)


def test_initial_values_from_the_data():
    dbm = DBM(3, 100, 90, random_state=4)
    dbm.initialise(4, torch.tensor([0.0, 0.5, 0.9]))
    torch.testing.assert_close(dbm.b[0].detach(), torch.logit(torch.tensor([0.01, 0.5, 0.9])))
    assert all((b == 0).all() for b in list(dbm.b)[1:])
    assert float(dbm.W[1].detach().std()) == pytest.approx(0.01, rel=5 / np.sqrt(2 * 9000))
    assert torch.equal(DBM(3, 100, 90, random_state=4).W[1], dbm.W[1])
    assert not torch.equal(DBM(3, 100, 90, random_state=5).W[1], dbm.W[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_save_and_load(tmp_path, dtype):
    dbm = DBM(Gaussian(4, sigma=0.5), 3, 2, dtype=dtype, random_state=Random(1))
    save(dbm, tmp_path)
    again = load(tmp_path)
    assert again.spec() == dbm.spec()
    assert again.sizes == (4, 3, 2)
    for ours, theirs in zip(dbm.parameters(), again.parameters(), strict=True):
        assert ours.dtype == theirs.dtype == dtype
        assert torch.equal(ours, theirs)


def test_what_cannot_be():
    with pytest.raises(SettingError, match="needs hidden layers; 0 given"):
        DBM(4)
    with pytest.raises(SettingError, match="number of units"):
        DBM(4, 0)
    dbm = DBM(4, 3, 2)
    with pytest.raises(SettingError, match="expected 'odd' or 'even'"):
        dbm.as_rbm("both")
    with pytest.raises(DataError, match=r"shape \(2, 5\); expected \(..., 4\)"):
        dbm.bottom_up(torch.zeros(2, 5))
    with pytest.raises(DataError, match="2 layers; expected 3"):
        dbm.energy([torch.zeros(1, 4), torch.zeros(1, 3)])
