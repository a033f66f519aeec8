"""The recipes about autoencoder layers: small versions run and go on from memory; measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.random import Random
from lamina.models.autoencoders import Autoencoder
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.denoising_vector_field import recipe as vectors
from lamina.recipes.denoising_vector_field.arrows import arrows, grid
from lamina.recipes.denoising_vector_field.densities import Mixture, ellipse, spiral
from lamina.recipes.rifai2011_contractive import recipe as contractive
from lamina.recipes.vincent2010_stacked_denoising import recipe as stacked
from lamina.storage import load


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())


def test_stacked_denoising_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(stacked, "N_HIDDEN", 30)
    monkeypatch.setattr(stacked, "SHOWN", 4)
    outcome = stacked.run(Context(tmp_path, quick=True, seed=3))
    assert [row.what for row in outcome.results] == [
        "test error, stacked denoising autoencoders",
        "test error, stacked autoencoders",
        "test error, stacked denoising autoencoders, rows masked in fine-tuning too",
        "test error, stacked denoising autoencoders, fine-tuned with dropout",
    ]
    assert outcome.seeds == [3]
    assert outcome.deviations[0].startswith("QUICK")
    assert outcome.figures[0].rows.shape == (2, 4, 28, 28)
    assert outcome.figures[0].captions == ("no corruption", "25 % masked")
    network = load(Context(tmp_path).stage("network of stacked autoencoders 3"))
    data = small_mnist()
    X = torch.from_numpy(data.X_test.astype(np.float32) / 255)
    wrong = 100 * float((network(X).argmax(1).numpy() != data.y_test).mean())
    assert outcome.results[1].ours == pytest.approx(wrong)
    again = stacked.run(Context(tmp_path, quick=True, seed=3))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_contractive_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(contractive, "N_HIDDEN", 30)
    monkeypatch.setattr(contractive, "SPECTRA", 3)
    monkeypatch.setattr(contractive, "ROWS", 100)
    monkeypatch.setattr(contractive, "QUICK_EPOCHS", 5)
    monkeypatch.setattr(contractive, "RATE", 0.01)
    outcome = contractive.run(Context(tmp_path, quick=True, seed=1))
    values = {row.what: row.ours for row in outcome.results}
    assert len(values) == 12
    norm = "norm of the code's Jacobian, {}"
    assert values[norm.format("contractive")] < values[norm.format("basic")]
    spectra, ratios, filters = outcome.figures
    assert len(spectra.series["basic"][1]) == 30
    assert (np.diff(spectra.series["basic"][1]) <= 0).all()
    assert len(ratios.series) == 4
    assert filters.rows.shape == (4, 14, 28, 28)
    again = contractive.run(Context(tmp_path, quick=True, seed=1))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


@torch.no_grad()
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_singular_values_are_those_of_the_full_jacobian(shape):
    layer = Autoencoder(*shape, dtype=torch.float64)
    X = Random(0).uniform((3, shape[0]), torch.float64)
    for found, v in zip(contractive.singular_values(layer, X), X, strict=True):
        jacobian = torch.autograd.functional.jacobian(layer.mean_h_from_v, v)
        np.testing.assert_allclose(found, torch.linalg.svdvals(jacobian).numpy(), atol=1e-7)


@torch.no_grad()
def test_contraction_ratio_of_a_small_step_is_the_root_mean_square_slope():
    """For directions drawn evenly, E ‖J u‖² = ‖J‖²_F / n: of one code unit, the mean of |cos| enters instead."""
    layer = Autoencoder(3, 3, activation="identity", dtype=torch.float64)
    layer.W.copy_(2 * torch.eye(3, dtype=torch.float64))
    X = Random(0).uniform((5, 3), torch.float64)
    assert contractive.contraction_ratio(layer, X, 0.5, 0) == pytest.approx(2.0)


def log_density(mixture: Mixture, x: torch.Tensor, noise: float) -> torch.Tensor:
    covariance = torch.from_numpy(mixture.smoothed(noise))
    means = torch.from_numpy(mixture.means)
    normal = torch.distributions.MultivariateNormal(means, covariance)
    return torch.logsumexp(normal.log_prob(x[:, None]), 1)


@pytest.mark.parametrize("mixture", [ellipse(), spiral()])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_score_is_the_slope_of_the_log_density(mixture, noise):
    x = torch.from_numpy(mixture.sample(20, Random(0), 0.5)).requires_grad_()
    expected = torch.autograd.grad(log_density(mixture, x, noise).sum(), x)[0]
    np.testing.assert_allclose(mixture.score(x.detach().numpy(), noise), expected.numpy(), rtol=1e-9, atol=1e-9)


def test_samples_have_the_moments_of_the_smoothed_density():
    mixture, n = ellipse(), 20_000
    x = mixture.sample(n, Random(0), 0.5)
    expected = mixture.smoothed(0.5)
    np.testing.assert_allclose(x.mean(0), mixture.means[0], atol=4 * np.sqrt(np.diag(expected).max() / n))
    np.testing.assert_allclose(np.cov(x.T), expected, atol=4 * expected.max() * np.sqrt(2 / n))


def test_field_of_the_best_linear_denoiser_is_the_score():
    """r(x) = m + Σ (Σ + s² I)⁻¹ (x − m) gives exactly −(Σ + s² I)⁻¹ (x − m)."""
    mixture, noise = ellipse(), 0.4
    layer = Autoencoder(2, 2, activation="identity", output="identity", tied=False, dtype=torch.float64)
    gain = mixture.covariance @ np.linalg.inv(mixture.smoothed(noise))
    with torch.no_grad():
        layer.W.copy_(torch.from_numpy(gain.T))
        layer.V.copy_(torch.eye(2))
        layer.b.copy_(torch.from_numpy(mixture.means[0] - gain @ mixture.means[0]))
    x = mixture.sample(50, Random(1), noise)
    np.testing.assert_allclose(vectors.field(layer, x, noise), mixture.score(x, noise), rtol=1e-9)
    assert vectors.agreement(2 * mixture.score(x), mixture.score(x)) == pytest.approx({"error": 1.0, "cosine": 1.0})


def test_arrows_point_along_the_field():
    points = grid(ellipse())
    values = -points
    x, y = (np.asarray(axis).reshape(len(points), 6) for axis in arrows(points, values))
    assert np.isnan(x[:, 5]).all()
    assert np.isfinite(x[:, :5]).all()
    shaft = np.stack([x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]], 1)
    cosine = (shaft * values).sum(1) / (np.linalg.norm(shaft, axis=1) * np.linalg.norm(values, axis=1))
    np.testing.assert_allclose(cosine, 1)
    middle = np.stack([x[:, 0] + x[:, 1], y[:, 0] + y[:, 1]], 1) / 2
    np.testing.assert_allclose(middle, points, atol=1e-12)


def test_vector_field_quick_version(monkeypatch, tmp_path):
    monkeypatch.setattr(vectors, "SIGMAS", (0.4, 0.2))
    monkeypatch.setattr(vectors, "N_POINTS", 200)
    monkeypatch.setattr(vectors, "N_HIDDEN", 10)
    monkeypatch.setattr(vectors, "QUICK_STEPS", 200)
    monkeypatch.setattr(vectors, "QUICK_ROWS", 1000)
    monkeypatch.setattr(vectors, "BATCH", 100)
    outcome = vectors.run(Context(tmp_path, quick=True, seed=0))
    values = {row.what: row.ours for row in outcome.results}
    assert len(values) == 8
    assert values["Gaussian, σ = 0.4: error of the field against the score of the noisy density"] < 40
    assert len(outcome.figures) == 6
    again = vectors.run(Context(tmp_path, quick=True, seed=0))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]
