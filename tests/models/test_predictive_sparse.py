"""Predictive sparse coding: the encoder's formulas, codes against plain solvers, slopes against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.models.sparse import PredictiveSparseCoding
from lamina.models.sparse.solvers import feature_sign

GENERATOR = np.random.default_rng(0)
ROWS = torch.from_numpy(GENERATOR.normal(size=(5, 4)))


def model(encoder: str = "tanh", **options) -> PredictiveSparseCoding:
    found = PredictiveSparseCoding(4, 6, cost=0.3, encoder=encoder, tolerance=0.0, dtype=torch.float64, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return found


def arrays(of: PredictiveSparseCoding) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in of.named_parameters()}


@pytest.mark.parametrize("encoder", ["tanh", "shrink"])
def test_the_encoder_is_its_formula(encoder):
    one = model(encoder)
    p = arrays(one)
    field = p["c"] + (ROWS.numpy() - p["b"]) @ p["W"]
    if encoder == "tanh":
        expected = p["g"] * np.tanh(field)
    else:
        expected = p["g"] * np.sign(field) * np.maximum(np.abs(field) - np.maximum(p["theta"], 0), 0)
        assert (expected == 0).any()
        assert (expected != 0).any()
    np.testing.assert_allclose(one.mean_h_from_v(ROWS).detach().numpy(), expected, rtol=1e-12)


def test_only_directions_of_the_dictionary_count():
    one, scaled = model(), model()
    with torch.no_grad():
        scaled.D.mul_(torch.linspace(0.1, 7, 6))
    h = torch.from_numpy(GENERATOR.normal(size=(5, 6)))
    p = arrays(one)
    expected = p["b"] + h.numpy() @ (p["D"] / np.linalg.norm(p["D"], axis=0)).T
    np.testing.assert_allclose(one.mean_v_from_h(h).detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(scaled.mean_v_from_h(h).detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(scaled.code(ROWS), one.code(ROWS), rtol=1e-9, atol=1e-12)


def test_codes_have_the_least_energy():
    """A smooth minimiser on the code's positive and negative parts finds no lower energy."""
    one = model(tie=0.7)
    found = one.code(ROWS)
    for v, h in zip(ROWS, found, strict=True):

        def energy(parts, v=v):
            return float(one.energy(v, torch.from_numpy(parts[:6] - parts[6:])).detach())

        def value_and_slope(parts, v=v):
            h = torch.from_numpy(parts[:6] - parts[6:]).requires_grad_(True)
            smooth = one.energy(v, h) - one.cost * h.abs().sum()
            slope = torch.autograd.grad(smooth, h)[0].numpy()
            return float(smooth.detach()) + one.cost * parts.sum(), np.concatenate([slope, -slope]) + one.cost

        best = minimize(value_and_slope, np.full(12, 0.1), jac=True, bounds=[(0, None)] * 12, tol=1e-14)
        assert energy(np.concatenate([h.clamp(min=0), (-h).clamp(min=0)])) == pytest.approx(best.fun, rel=1e-6)


def test_without_a_tie_codes_are_those_of_sparse_coding():
    one = model(tie=0.0, iterations=2000)
    expected = feature_sign(ROWS - one.b, one.dictionary().detach(), one.cost).h
    np.testing.assert_allclose(one.code(ROWS), expected, atol=1e-8)


def test_a_strong_tie_makes_codes_what_the_encoder_says():
    one = model(tie=1e4)
    guess = one.mean_h_from_v(ROWS).detach()
    np.testing.assert_allclose(one.code(ROWS), guess, atol=1e-3)


@pytest.mark.parametrize("encoder", ["tanh", "shrink"])
def test_slopes_of_the_energy(encoder):
    one = model(encoder, tie=0.7)
    h = torch.from_numpy(GENERATOR.normal(size=(5, 6)))
    names = [name for name, parameter in one.named_parameters() if parameter.requires_grad]
    assert set(names) == {"D", "W", "c", "g"} | ({"theta"} if encoder == "shrink" else set())

    def energy(*values):
        return torch.func.functional_call(_Energy(one), dict(zip(names_in, values, strict=True)), (ROWS, h)).sum()

    names_in = [f"model.{name}" for name in names]
    values = [dict(one.named_parameters())[name].detach().clone().requires_grad_(True) for name in names]
    assert torch.autograd.gradcheck(energy, values, fast_mode=True)


class _Energy(torch.nn.Module):
    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, v, h):
        return self.model.energy(v, h)


def test_the_first_guess_is_a_step_of_the_search_and_shapes_are_kept():
    one = PredictiveSparseCoding(4, 6, cost=0.3, encoder="shrink", dtype=torch.float64)
    np.testing.assert_allclose(torch.linalg.vector_norm(one.D, dim=0).detach(), 1)
    correlations = (ROWS @ one.D).detach()
    expected = torch.nn.functional.softshrink(correlations, 0.3)
    np.testing.assert_allclose(one.mean_h_from_v(ROWS).detach(), expected, atol=1e-12)
    for shape in [(4,), (2, 3, 4), (0, 4)]:
        v = torch.zeros(shape, dtype=torch.float64)
        assert one.mean_h_from_v(v).shape == (*shape[:-1], 6)
        assert one.code(v).shape == (*shape[:-1], 6)
    one.initialise(3, data_mean=ROWS.mean(0))
    np.testing.assert_allclose(one.b.detach(), ROWS.mean(0))


@pytest.mark.parametrize("encoder", ["tanh", "shrink"])
def test_it_comes_back_from_a_folder(encoder, tmp_path):
    one = model(encoder)
    found = lamina.load(lamina.save(one, tmp_path))
    assert found.spec() == one.spec()
    assert torch.equal(found.mean_h_from_v(ROWS), one.mean_h_from_v(ROWS))
    assert torch.equal(found.code(ROWS), one.code(ROWS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_hidden": 0}, "n_hidden is 0"),
        ({"cost": 0.0}, "cost is 0"),
        ({"tie": -1.0}, "tie is -1"),
        ({"encoder": "relu"}, "expected 'tanh' or 'shrink'"),
        ({"iterations": 0}, "iterations is 0"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        PredictiveSparseCoding(**{"n_visible": 4, "n_hidden": 3, **settings})


def test_rows_of_another_width_are_refused():
    one = model()
    for call in (one.mean_h_from_v, one.code, one.codes):
        with pytest.raises(DataError, match="one value per unit"):
            call(ROWS[:, :3])
    with pytest.raises(DataError, match="hidden values"):
        one.mean_v_from_h(ROWS)
    with pytest.raises(DataError, match="NaN"):
        one.code(ROWS * float("nan"))
