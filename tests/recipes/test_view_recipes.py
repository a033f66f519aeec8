"""The bimodal and the masked recipe: small versions run and go on from memory; their parts compute what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from small_digits import small_mnist

from lamina.recipes import digits as digits_module
from lamina.recipes.context import Context
from lamina.recipes.digits import mnist
from lamina.recipes.he2022_masked_autoencoder import recipe as masked
from lamina.recipes.ngiam2011_bimodal import recipe as bimodal
from lamina.recipes.ngiam2011_bimodal.halves import canonical, halves, linear_guess, pictures


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits_module, "load", lambda name: small_mnist())


def values(outcome) -> dict[str, float]:
    return {row.what: row.ours for row in outcome.results}


def test_the_masked_recipe_runs_small_and_again_from_memory(small, monkeypatch, tmp_path):
    monkeypatch.setattr(masked, "NETWORK", {"patch": 7, "width": 8, "depth": 1, "heads": 2})
    monkeypatch.setattr(masked, "DECODER", {"decoder_width": 8, "decoder_depth": 1, "masked": 0.75})
    context = Context(tmp_path, quick=True, seed=3)
    outcome = masked.run(context)
    found = values(outcome)
    assert len(found) == 7
    assert outcome.deviations[0].startswith("QUICK")
    seen = outcome.figures[0].rows[0].reshape(-1, 4, 7, 4, 7)
    assert (np.isnan(seen).all((2, 4)).sum((1, 2)) == 12).all()  # whole patches are holes, 12 of 16
    assert not np.isnan(outcome.figures[0].rows[1:]).any()
    assert values(masked.run(Context(tmp_path, quick=True, seed=3))) == found


def test_the_error_of_hidden_pixels_is_a_mean_over_them(small, tmp_path):
    digits = mnist(Context(tmp_path, quick=True))
    model = masked.MaskedAutoencoder((1, 28, 28), 7, width=8, depth=1, heads=2, decoder_width=8)
    found = masked.guess_errors(model, digits)
    v = torch.from_numpy(digits.test.X)
    _, hidden = model.draw_places(len(v), masked.Random(0).child("test masks").at(0, torch.arange(len(v))))
    mean = digits.full.X.mean(0)
    errors = ((digits.test.X - mean) ** 2)[np.isnan(model.hide(v, hidden).numpy())]
    assert len(errors) == len(v) * 12 * 49
    assert found["mean image"] == pytest.approx(errors.mean(), rel=1e-5)


def test_labels_are_drawn_anew_and_random_networks_differ(small, tmp_path):
    context = Context(tmp_path, quick=True)
    digits = mnist(context)
    draws = [masked.labelled(digits, k, 0) for k in range(3)]
    assert all(len(set(draw)) == len(draw) == len(digits.train) // 2 for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 3
    nets = [masked.random_network(context, k).E for k in range(2)]
    assert not torch.equal(*nets)


def test_the_bimodal_recipe_runs_small_and_again_from_memory(small, monkeypatch, tmp_path):
    monkeypatch.setattr(bimodal, "N_HIDDEN", 12)
    monkeypatch.setattr(bimodal, "N_SHARED", 8)
    monkeypatch.setattr(bimodal, "VARIATES", (3, 5))
    outcome = bimodal.run(Context(tmp_path, quick=True, seed=2))
    found = values(outcome)
    assert len(found) == 2 * 4 + 3 * 3 + 2 * 3 + 2 * 5
    guesses = [found[f"squared error per pixel, {side}: mean image"] for side in ("right from left", "left from right")]
    assert found["squared error per pixel, right from left: linear regression"] < guesses[0]
    assert outcome.figures[0].rows.shape == (6, 14, 28, 28)
    assert np.isnan(outcome.figures[0].rows).any((0, 1, 2)).all()  # each half is a hole somewhere
    assert values(bimodal.run(Context(tmp_path, quick=True, seed=2))) == found


def test_halves_are_put_together_again_and_missing_ones_are_zeros():
    X = np.random.default_rng(0).random((5, 784)).astype(np.float32)
    pair = halves(X, np.arange(5))
    assert np.array_equal(pictures(pair.a, pair.b).reshape(5, 784), X)
    assert np.array_equal(pair.a[:, :14], X[:, :14])
    given = bimodal.pixels(pair, "b")
    assert np.array_equal(given, np.concatenate([0 * pair.a, pair.b], 1))
    assert np.array_equal(bimodal.pixels(pair, "ab"), pair.rows)


def test_linear_regression_is_ridge_and_correlations_are_canonical():
    generator = np.random.default_rng(1)
    shared = generator.normal(size=(400, 2))
    a = shared @ generator.normal(size=(2, 5)) + generator.normal(size=(400, 5))
    b = shared @ generator.normal(size=(2, 4)) + generator.normal(size=(400, 4))
    wanted = np.clip(0.5 + 0.1 * b, 0, 1)
    ours = linear_guess(a, wanted, 3.0)(a)
    np.testing.assert_allclose(ours, np.clip(Ridge(alpha=3.0).fit(a, wanted).predict(a), 0, 1), atol=1e-10)
    pair = canonical(a, b, 0.0)
    U, V = pair.project_a(a, 4), pair.project_b(b, 4)
    np.testing.assert_allclose(np.cov(U.T), np.eye(4), atol=1e-10)
    np.testing.assert_allclose(U.T @ V / 399, np.diag(pair.correlations), atol=1e-10)
    judge = CCA(2, max_iter=2000, tol=1e-12).fit(a, b)
    x, y = judge.transform(a, b)
    theirs = [np.corrcoef(x[:, k], y[:, k])[0, 1] for k in range(2)]
    np.testing.assert_allclose(pair.correlations[:2], theirs, atol=1e-6)
