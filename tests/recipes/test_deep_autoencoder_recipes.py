"""The recipes of the deep and of the linear autoencoder: small versions run and go on from memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.figures import pack
from lamina.core.random import Random
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.hinton2006_autoencoder import recipe as deep
from lamina.recipes.hinton2006_autoencoder.curves import HIGH, LOW, curves
from lamina.recipes.hinton2006_autoencoder.fine_tuning import squared_error
from lamina.recipes.linear_autoencoder_is_pca import recipe as linear
from lamina.storage import load


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())


def test_curves_go_through_their_points():
    """A drawn pixel is within a pen's width of the parabola; the points themselves are drawn."""
    pictures = curves(40, Random(3)).reshape(40, 28, 28)
    assert pictures.dtype == np.float32
    assert pictures.min() >= 0
    assert 0.9 < pictures.max() <= 1
    points = Random(3).numpy().uniform(LOW, HIGH, (40, 3, 2))
    for picture, (first, middle, last) in zip(pictures, points, strict=True):
        for x, y in (first, middle, last):
            near = picture[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2]
            assert near.max() > 0.7
        t = np.linspace(0, 1, 2001)[:, None]
        line = first * (1 - t) * (1 - 2 * t) + middle * 4 * t * (1 - t) + last * t * (2 * t - 1)
        y, x = np.unravel_index(picture.argmax(), picture.shape)
        assert np.hypot(*(line - (x, y)).T).min() < 1
        dark = np.argwhere(picture < 0.01)[::40]
        assert all(np.hypot(*(line - (x, y)).T).min() > 1.5 for y, x in dark)
    assert np.array_equal(curves(7, Random(3).child("a")), curves(7, Random(3).child("a")))


def test_squared_error_is_summed_over_pixels_and_averaged_over_rows():
    X = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    assert squared_error(lambda v: v + 0.5, X) == pytest.approx(1.0, rel=1e-5)


def test_deep_autoencoder_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(deep, "QUICK_SIZES", (784, 20, 10))
    monkeypatch.setattr(deep, "QUICK_CURVE_SIZES", (784, 12, 6))
    monkeypatch.setattr(deep, "QUICK_CURVE_ROWS", 60)
    context = Context(tmp_path, quick=True, seed=1)
    outcome = deep.run(context)
    rows = {row.what: row for row in outcome.results}
    assert len(rows) == 10
    assert outcome.deviations[0].startswith("QUICK")
    kinds = {figure.title: figure for figure in outcome.figures}
    digits_back = kinds["Digits back from 30 numbers"]
    assert digits_back.captions == (
        "test digits",
        "before",
        "conjugate gradients",
        "Adam",
        "Adam, longer",
        "PCA",
    )
    assert digits_back.rows.shape == (6, 10, 28, 28)
    assert kinds["Curves back from 6 numbers"].rows.shape == (3, 10, 28, 28)
    assert len(kinds["Test digits in two numbers: PCA"].labels) == 60
    assert set(kinds["Fine-tuning"].series) == {"conjugate gradients", "Adam", "Adam, longer"}
    assert kinds["Fine-tuning"].series["conjugate gradients"][0].tolist() == [1, 2]  # two parts of one epoch
    pack(outcome.figures)
    errors = {what.removeprefix("squared error per test digit, 30 numbers: "): row.ours for what, row in rows.items()}
    assert all(20 < error < 50 for name, error in errors.items() if name.startswith("pre-trained"))  # barely begun
    assert kinds["Fine-tuning"].series["Adam, longer"][0].tolist() == list(range(5, 13))  # it goes on where Adam ended
    assert "2 epochs, " in rows["squared error per test digit, 30 numbers: pre-trained, conjugate gradients"].note
    network = load(context.stage("conjugate gradients 2"))
    X = digits.mnist(context).test.X
    expected = float(((network.reconstruct(torch.from_numpy(X)).detach().numpy() - X) ** 2).sum(1).mean())
    assert errors["pre-trained, conjugate gradients"] == pytest.approx(expected, rel=1e-5)
    again = deep.run(Context(tmp_path, quick=True, seed=1))  # from memory
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_unrolled_start_is_the_stack(small, monkeypatch, tmp_path):
    monkeypatch.setattr(deep, "QUICK_SIZES", (784, 20, 10))
    context = Context(tmp_path, quick=True)
    data = digits.mnist(context)
    stack = deep.layers(context, data, 3)
    assert stack.sizes == (20, 10, 3)
    v = torch.from_numpy(data.test.X)
    with torch.no_grad():
        torch.testing.assert_close(
            stack.autoencoder().reconstruct(v), stack.decode(stack.encode(v)), rtol=1e-5, atol=1e-6
        )
    shared = deep.layers(context, data, 2)  # another code on the same machines
    assert torch.equal(shared[0].W, stack[0].W)


def test_linear_autoencoder_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(linear, "QUICK_ROWS", 100)
    monkeypatch.setattr(linear, "QUICK_EPOCHS", 3)
    monkeypatch.setattr(linear, "N_CODE", 3)
    monkeypatch.setattr(linear, "SPECTRUM", 4.0 * 0.5 ** np.arange(8))
    context = Context(tmp_path, quick=True, seed=1)
    outcome = linear.run(context)
    rows = {row.what: row.ours for row in outcome.results}
    assert len(rows) == 12
    for kind in ("tied, L-BFGS", "tied, conjugate gradients"):
        assert rows[f"largest principal angle: known spectrum, {kind}"] < 1e-3
        assert abs(rows[f"loss above PCA's, relative: known spectrum, {kind}"]) < 1e-4
    assert outcome.figures[0].rows.shape == (2, 3, 28, 28)
    pack(outcome.figures)
    again = linear.run(Context(tmp_path, quick=True, seed=1))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_rows_that_are_drawn_have_the_spectrum_that_is_stated(tmp_path):
    X = linear.drawn_rows(Context(tmp_path, quick=True, seed=2))
    variances, axes = linear.components(X)
    np.testing.assert_allclose(variances, linear.SPECTRUM, rtol=1e-9)
    np.testing.assert_allclose(np.cov(X.T, bias=True) @ axes, axes * variances, atol=1e-9)


def test_a_turned_subspace_is_an_angle_away(monkeypatch):
    monkeypatch.setattr(linear, "N_CODE", 2)
    network = linear.DeepAutoencoder((4, 2), output="identity", tied=True, dtype=torch.float64)
    axes, variances = np.eye(4), np.array([4.0, 3.0, 2.0, 1.0])
    turned = torch.tensor([[2.0, 0], [0, np.cos(0.3)], [0, np.sin(0.3)], [0, 0]], dtype=torch.float64)
    with torch.no_grad():
        network.W[0].copy_(turned)
    angle, excess = linear.measured("x", network, 3.3, variances, axes)
    assert angle.ours == pytest.approx(0.3)
    assert excess.ours == pytest.approx(0.1)
