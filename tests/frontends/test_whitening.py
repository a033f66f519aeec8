"""Whitening: covariances, inverses, and the spectrum of what comes out."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError, SettingError
from lamina.frontends import FrequencyWhitening, Whitening, frequency_whitened

GENERATOR = np.random.default_rng(0)
MIXED = GENERATOR.normal(size=(300, 6)) @ GENERATOR.normal(size=(6, 6)) + 5.0


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_the_covariance_is_the_identity_and_the_inverse_exact(kind):
    whitening = Whitening.of(MIXED, kind)
    white = whitening.apply(MIXED)
    np.testing.assert_allclose(np.cov(white.T), np.eye(6), atol=1e-10)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(whitening.undo(white), MIXED, rtol=1e-10)
    np.testing.assert_allclose(whitening.apply(MIXED[0]), white[0], rtol=1e-10)
    assert whitening.share == pytest.approx(1)


def test_zca_is_the_symmetric_root_and_pca_the_components():
    C = np.cov(MIXED.T)
    values, vectors = np.linalg.eigh(C)
    root = vectors / np.sqrt(values) @ vectors.T
    np.testing.assert_allclose(Whitening.of(MIXED).apply(MIXED), (MIXED - MIXED.mean(0)) @ root, rtol=1e-7, atol=1e-9)
    pca = Whitening.of(MIXED, "pca")
    np.testing.assert_allclose(pca.variance, values[::-1], rtol=1e-10)
    np.testing.assert_allclose(pca.basis.T @ pca.basis, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(pca.apply(MIXED) @ pca.basis.T, Whitening.of(MIXED).apply(MIXED), atol=1e-10)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_kept_components_come_back_and_the_others_are_gone(kind):
    whitening = Whitening.of(MIXED, kind, n_components=3)
    white = whitening.apply(MIXED)
    projector = whitening.basis @ whitening.basis.T
    expected = projector if kind == "zca" else np.eye(3)
    np.testing.assert_allclose(np.cov(white.T), expected, atol=1e-10)
    kept = MIXED.mean(0) + (MIXED - MIXED.mean(0)) @ projector
    np.testing.assert_allclose(whitening.undo(white), kept, rtol=1e-10)
    variance = np.linalg.eigvalsh(np.cov(MIXED.T))[::-1]
    assert whitening.share == pytest.approx(variance[:3].sum() / variance.sum())


def test_a_floor_keeps_small_directions_small():
    pca = Whitening.of(MIXED, "pca", floor=2.0)
    np.testing.assert_allclose(np.cov(pca.apply(MIXED).T), np.diag(pca.variance / (pca.variance + 2.0)), atol=1e-10)
    np.testing.assert_allclose(pca.undo(pca.apply(MIXED)), MIXED, rtol=1e-10)


def test_directions_without_variance_are_left_out():
    flat = np.concatenate([MIXED, MIXED[:, :1] * 2 + 1, np.full((300, 1), 3.0)], axis=1)
    whitening = Whitening.of(flat)
    assert whitening.n_components == 6
    np.testing.assert_allclose(whitening.undo(whitening.apply(flat)), flat, rtol=1e-8)
    with pytest.raises(SettingError, match="n_components is 7; expected at most 6"):
        Whitening.of(flat, n_components=7)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_filters_as_pictures_have_the_same_products(kind):
    whitening = Whitening.of(MIXED, kind, n_components=4)
    white = whitening.apply(MIXED)
    filters = GENERATOR.normal(size=(3, white.shape[1]))
    pixels = white @ whitening.basis.T if kind == "pca" else white
    np.testing.assert_allclose(pixels @ whitening.pictures(filters).T, white @ filters.T, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Whitening.of(MIXED, "cholesky"), SettingError, "expected zca or pca"),
        (lambda: Whitening.of(MIXED, floor=-1.0), SettingError, "floor is -1"),
        (lambda: Whitening.of(MIXED, n_components=0), SettingError, "n_components is 0"),
        (lambda: Whitening.of(MIXED[:1]), DataError, "at least 2 needed"),
        (lambda: Whitening.of(np.ones((5, 3))), DataError, "the data are constant"),
        (lambda: Whitening.of(MIXED * np.nan), DataError, "NaN"),
        (lambda: Whitening.of(MIXED).apply(MIXED[:, :4]), DataError, "as the whitening was measured on"),
        (lambda: Whitening.of(MIXED, "pca", n_components=2).undo(MIXED), DataError, "expected \\(..., 2\\)"),
        (lambda: FrequencyWhitening((8, 8), cut_off=0.0), SettingError, "cut_off is 0"),
        (lambda: FrequencyWhitening((8, 8)).apply(np.zeros((8, 9))), DataError, "expected \\(..., 8, 8\\)"),
        (lambda: frequency_whitened(np.zeros((8, 8, 3))), DataError, "expected \\(height, width\\)"),
    ],
)
def test_what_cannot_be_whitened_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("shape", [(16, 20), (15, 21)])
def test_a_wave_is_scaled_by_the_filter_and_comes_back(shape):
    whitening = FrequencyWhitening(shape, cut_off=0.4)
    y, x = np.mgrid[: shape[0], : shape[1]]
    fy, fx = 3 / shape[0], 2 / shape[1]
    wave = 4.0 + np.cos(2 * np.pi * (fy * y + fx * x) + 0.3)
    f = np.hypot(fy, fx)
    found = whitening.apply(wave)
    np.testing.assert_allclose(found, (wave - 4.0) * f * np.exp(-((f / 0.4) ** 4)), atol=1e-12)
    np.testing.assert_allclose(whitening.undo(found, mean=4.0), wave, atol=1e-9)
    np.testing.assert_array_equal(frequency_whitened(wave, 0.4), found)


def test_the_inverse_holds_for_images_of_noise():
    images = np.random.default_rng(3).normal(size=(2, 12, 14))
    whitening = FrequencyWhitening((12, 14))
    means = images.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(whitening.undo(whitening.apply(images), mean=means), images, atol=1e-9)


def test_an_image_whose_amplitudes_fall_as_one_over_f_becomes_flat():
    whitening = FrequencyWhitening((64, 64), cut_off=0.4)
    f = whitening.frequency
    phase = np.exp(2j * np.pi * np.random.default_rng(4).random(f.shape))
    with np.errstate(divide="ignore"):
        amplitude = np.where(f > 0, 1 / f, 0.0)
    image = np.fft.irfft2(amplitude * phase, s=(64, 64))
    power = np.abs(np.fft.rfft2(whitening.apply(image)))[:, 1:-1]
    f = f[:, 1:-1]
    flat = power[f < 0.15]  # below the cut-off the second factor is near 1
    np.testing.assert_allclose(flat, 1, rtol=0.03)
    assert power[f > 0.6].max() < 0.01
