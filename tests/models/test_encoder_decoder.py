"""The sparsifying encoder and decoder: logistic, energy and search, against formulas and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.models.sparse import SparseEncoderDecoder

GENERATOR = np.random.default_rng(0)
ROWS = torch.from_numpy(GENERATOR.normal(size=(7, 4)))
Z = torch.from_numpy(GENERATOR.normal(size=(7, 6)))


def model(**options) -> SparseEncoderDecoder:
    found = SparseEncoderDecoder(4, 6, eta=0.1, beta=1.5, tie=0.7, dtype=torch.float64, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for array in found.state_dict().values():
            array.add_(torch.randn(array.shape, generator=generator, dtype=torch.float64) * 0.5)
    return found


def test_the_logistic_is_its_formula():
    one = model()
    raised, zeta = np.exp(1.5 * Z.numpy()), np.exp(one.log_zeta.numpy())
    np.testing.assert_allclose(one.sparse(Z), 0.1 * raised / (0.1 * raised + 0.9 * zeta), rtol=1e-12)


def test_the_energy_and_the_functions_of_a_layer_are_their_formulas():
    one = model()
    p = {name: value.detach().numpy() for name, value in one.named_parameters()}
    guess = (ROWS.numpy() - p["b"]) @ p["W"]
    D = p["D"] / np.linalg.norm(p["D"], axis=0)
    np.testing.assert_allclose(one.mean_h_from_v(ROWS).detach(), one.sparse(torch.from_numpy(guess)), rtol=1e-12)
    h = one.sparse(Z).numpy()
    np.testing.assert_allclose(one.mean_v_from_h(torch.from_numpy(h)).detach(), p["b"] + h @ D.T, rtol=1e-12)
    decoder = ((ROWS.numpy() - p["b"] - h @ D.T) ** 2).sum(1) / 2
    expected = 0.7 / 2 * ((Z.numpy() - guess) ** 2).sum(1) + decoder
    np.testing.assert_allclose(one.energy(ROWS, Z).detach(), expected, rtol=1e-12)


def test_the_search_is_gradient_descent_and_never_climbs():
    one = model()
    guess = one.field_h(ROWS).detach()
    z = guess.clone().requires_grad_(True)
    slope = torch.autograd.grad(one.energy(ROWS, z).sum(), z)[0]
    step = 1 / (0.7 + 1.5**2 / 4)
    np.testing.assert_allclose(one.codes(ROWS, 1).z, guess - step * slope, rtol=1e-10)
    before = one.energy(ROWS, guess).detach()
    np.testing.assert_allclose(one.codes(ROWS, 0).energy, before, rtol=1e-12)
    for iterations in range(1, 12):
        found = one.codes(ROWS, iterations)
        np.testing.assert_allclose(found.energy, one.energy(ROWS, found.z).detach(), rtol=1e-10)
        np.testing.assert_allclose(found.guessed_energy, one.energy(ROWS, guess).detach(), rtol=1e-12)
        assert (found.energy <= before).all()
        before = found.energy
    assert (before < found.guessed_energy * 0.99).any()


def test_a_long_search_ends_where_the_slope_is_0():
    one = model(iterations=500)
    z = one.codes(ROWS).z.requires_grad_(True)
    slope = torch.autograd.grad(one.energy(ROWS, z).sum(), z)[0]
    assert float(slope.abs().max()) < 1e-6
    np.testing.assert_allclose(one.code(ROWS), one.sparse(z).detach())


def test_steps_too_long_are_halved_for_their_row_alone():
    """A row whose decoder error is huge has a steep energy: a fixed step would climb it."""
    rows = ROWS.clone()
    rows[2] *= 1e3
    one = model(iterations=60)
    found = one.codes(rows)
    assert (found.energy <= found.guessed_energy).all()
    others = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(found.z[others], one.codes(rows[others]).z, rtol=1e-10)


@pytest.mark.parametrize("parameter", ["W", "D"])
def test_slopes_of_the_energy(parameter):
    one = model()

    def energy(value):
        return torch.func.functional_call(_Energy(one), {f"model.{parameter}": value}, (ROWS, Z)).sum()

    assert torch.autograd.gradcheck(energy, getattr(one, parameter).detach().clone().requires_grad_(True))


class _Energy(torch.nn.Module):
    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, v, z):
        return self.model.energy(v, z)


def test_it_begins_with_units_that_are_active_on_a_share_of_eta():
    one = SparseEncoderDecoder(4, 6, eta=0.03, dtype=torch.float64)
    np.testing.assert_allclose(one.sparse(torch.zeros(1, 6, dtype=torch.float64)), 0.03)
    np.testing.assert_allclose(torch.linalg.vector_norm(one.D, dim=0).detach(), 1)
    one.initialise(3, data_mean=ROWS.mean(0))
    np.testing.assert_allclose(one.b.detach(), ROWS.mean(0))
    for shape in [(4,), (2, 3, 4), (0, 4)]:
        v = torch.zeros(shape, dtype=torch.float64)
        assert one.mean_h_from_v(v).shape == one.code(v).shape == (*shape[:-1], 6)


def test_it_comes_back_from_a_folder(tmp_path):
    one = model(iterations=4)
    found = lamina.load(lamina.save(one, tmp_path))
    assert found.spec() == one.spec()
    assert torch.equal(found.mean_h_from_v(ROWS), one.mean_h_from_v(ROWS))
    assert torch.equal(found.code(ROWS), one.code(ROWS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_visible": 0}, "n_visible is 0"),
        ({"eta": 0.0}, "eta is 0"),
        ({"eta": 1.0}, "eta is 1"),
        ({"beta": 0.0}, "beta is 0"),
        ({"tie": 0.0}, "tie is 0"),
        ({"iterations": 2.5}, "iterations is 2.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        SparseEncoderDecoder(**{"n_visible": 4, "n_hidden": 3, **settings})


def test_rows_of_another_width_are_refused():
    one = model()
    for call in (one.mean_h_from_v, one.code, one.codes):
        with pytest.raises(DataError, match="one value per unit"):
            call(ROWS[:, :3])
    with pytest.raises(DataError, match="hidden values"):
        one.mean_v_from_h(ROWS)
