"""The sparse coder as a layer: its code is the least-energy one, it stacks, saves and refuses what it cannot use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sparse_coding_models import small_models

from lamina import storage
from lamina.core.errors import DataError, SettingError
from lamina.models.registry import build
from lamina.models.sparse import SparseCoding
from lamina.models.sparse.sparse_coding import L1_SOLVERS
from lamina.models.stack import Stack

V = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 6)))


@pytest.mark.parametrize("name", small_models())
def test_no_other_code_has_less_energy(name):
    model = small_models()[name]
    h = model.mean_h_from_v(V)
    assert h.shape == (2, 5, 9)
    assert not h.requires_grad
    least = model.energy(V, h)
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-4, 1e-2, 1.0):
        other = h + scale * torch.randn(h.shape, generator=generator, dtype=h.dtype)
        other = other.clamp(min=0) if model.positive else other
        if model.penalty == "l1" or scale < 1e-1:  # the log penalty's is the least nearby alone
            assert bool((model.energy(V, other) >= least - 1e-8).all())


def test_all_solvers_give_one_code():
    codes = {
        solver: SparseCoding(
            6, 9, cost=0.3, solver=solver, tolerance=1e-11, iterations=20_000, dtype=torch.float64
        ).mean_h_from_v(V)
        for solver in ("auto", *L1_SOLVERS)
    }
    for h in codes.values():
        torch.testing.assert_close(h, codes["feature-sign"], rtol=0, atol=1e-8)


def test_decoding_and_energy_are_what_they_say():
    model = SparseCoding(6, 9, cost=0.3, dtype=torch.float64)
    with torch.no_grad():
        model.b.copy_(torch.arange(6.0))
    h = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(model.mean_v_from_h(h).detach(), np.arange(6.0) + h.numpy() @ model.D.detach().numpy().T)
    v = torch.ones(4, 6, dtype=torch.float64)
    expected = ((v - model.mean_v_from_h(h)) ** 2).sum(-1) / 2 + 0.3 * h.abs().sum(-1)
    torch.testing.assert_close(model.energy(v, h), expected)
    model.penalty = "log"
    log = ((v - model.mean_v_from_h(h)) ** 2).sum(-1) / 2 + 0.3 * torch.log(1 + h**2).sum(-1)
    torch.testing.assert_close(model.energy(v, h), log)


def test_the_offset_is_taken_off_before_coding():
    model = SparseCoding(6, 9, cost=0.3, dtype=torch.float64)
    plain = model.mean_h_from_v(V)
    model.initialise(0, torch.full((6,), 2.0))
    assert model.b.tolist() == [2.0] * 6
    torch.testing.assert_close(model.mean_h_from_v(V + 2), plain, rtol=1e-9, atol=1e-9)
    assert not model.b.requires_grad


def test_atoms_begin_at_length_one_and_from_the_seed():
    one, two, other = (SparseCoding(6, 9, random_state=seed) for seed in (1, 1, 2))
    torch.testing.assert_close(one.D.norm(dim=0), torch.ones(9))
    assert torch.equal(one.D, two.D)
    assert not torch.equal(one.D, other.D)


@pytest.mark.parametrize("name", small_models())
def test_saved_and_loaded_it_is_the_same(name, tmp_path):
    model = small_models()[name]
    assert build(model.spec()).spec() == model.spec()
    storage.save(model, tmp_path)
    again = storage.load(tmp_path)
    assert torch.equal(again.mean_h_from_v(V), model.mean_h_from_v(V))


def test_it_stacks():
    stack = Stack([SparseCoding(6, 9, cost=0.1, positive=True), SparseCoding(9, 4, cost=0.1)])
    v = V[0].float()
    h = stack.encode(v)
    assert h.shape == (5, 4)
    assert torch.equal(h, stack[1].mean_h_from_v(stack[0].mean_h_from_v(v)))
    assert stack.decode(h).shape == v.shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cost": 0.0}, "cost is 0.0"),
        ({"cost": -1.0}, "cost is -1.0"),
        ({"cost": float("nan")}, "cost is nan"),
        ({"penalty": "l2"}, "penalty is 'l2'"),
        ({"penalty": "log", "positive": True}, "positive codes need penalty='l1'"),
        ({"solver": "lars"}, "solver is 'lars'"),
        ({"solver": "fista", "penalty": "log"}, "expected one of auto, conjugate-gradients"),
        ({"solver": "conjugate-gradients"}, "expected one of auto, alternating"),
        ({"iterations": 0}, "iterations is 0"),
        ({"tolerance": -1e-3}, "tolerance is -0.001"),
    ],
)
def test_settings_outside_their_limits(settings, message):
    with pytest.raises(SettingError, match=message):
        SparseCoding(6, 9, **settings)


def test_bad_rows():
    model = SparseCoding(6, 9)
    for bad in (torch.zeros(3, 5), torch.tensor(1.0)):
        with pytest.raises(DataError, match=r"expected \(..., 6\)"):
            model.mean_h_from_v(bad)
    with pytest.raises(DataError, match=r"expected \(..., 9\)"):
        model.mean_v_from_h(torch.zeros(3, 6))
    v = torch.zeros(3, 6)
    v[1, 2] = float("nan")
    with pytest.raises(DataError, match="the rows hold NaN or infinity"):
        model.mean_h_from_v(v)
    with pytest.raises(SettingError, match="n_hidden is 0"):
        SparseCoding(6, 0)


def test_one_row_no_row_and_float32():
    model = SparseCoding(6, 9, cost=0.3)
    v = V[0].float()
    together = model.mean_h_from_v(v)
    assert together.dtype == torch.float32
    torch.testing.assert_close(model.mean_h_from_v(v[0]), together[0], rtol=0, atol=1e-5)
    assert model.mean_h_from_v(v[:0]).shape == (0, 9)
