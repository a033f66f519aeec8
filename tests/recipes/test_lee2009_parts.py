"""Parts of the convolutional recipe: whitening, orientation of filters, classifiers on precomputed kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from lamina.core.random import Random
from lamina.recipes.lee2009_convolutional_dbn.few_labels import CANDIDATES, chosen, softmax_error, svm_errors
from lamina.recipes.lee2009_convolutional_dbn.photographs import halved, orientation, patches, whitened


def test_whitening_flattens_the_spectrum():
    """Brown noise (amplitudes 1/f) comes out with as much power per frequency at 0.05 as at 0.2 cycles per pixel."""
    generator = np.random.default_rng(0)
    rows, columns = np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None]
    frequency = np.hypot(rows, columns)
    noise = np.fft.rfft2(generator.normal(size=(256, 256))) / np.maximum(frequency, 1 / 256)
    brown = np.kron(np.fft.irfft2(noise, s=(256, 256)), np.ones((2, 2)))
    flat = whitened(np.repeat(brown[:, :, None], 3, 2))
    assert flat.std() == pytest.approx(1.0)
    power = np.abs(np.fft.rfft2(flat)) ** 2
    at = np.hypot(np.fft.fftfreq(flat.shape[0])[:, None], np.fft.rfftfreq(flat.shape[1])[None])
    low, middle = (power[(at > f - 0.02) & (at < f + 0.02)].mean() for f in (0.05, 0.2))
    assert 0.7 < low / middle < 1.6


def test_halving_takes_means_of_squares():
    np.testing.assert_array_equal(halved(np.arange(15.0).reshape(3, 5)), [[3.0, 5.0]])


def test_patches_are_drawn_from_both_photographs():
    found = patches(6, 20, Random(0))
    assert found.shape == (6, 1, 20, 20)
    assert found.dtype == np.float32
    assert len(np.unique(found[:, 0, 0, 0])) == 6
    np.testing.assert_array_equal(found, patches(6, 20, Random(0)))


def test_gratings_are_oriented_and_spots_are_not():
    x, y = np.meshgrid(np.arange(10.0), np.arange(10.0))
    spot = np.exp(-((x - 4.5) ** 2 + (y - 4.5) ** 2) / 6)
    grating = np.sin(x + y)
    found = orientation(np.stack([spot, grating, grating.T[::-1]]))
    assert found[0] < 0.1
    assert (found[1:] > 0.6).all()


def rows(n, seed):
    generator = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return torch.from_numpy(generator.normal(size=(n, 5)) + 1.5 * np.eye(5)[y]).float(), y


def test_precomputed_kernels_are_the_svms_own():
    (X, y), (X_test, y_test) = rows(60, 0), rows(90, 1)
    squared = torch.cdist(X.double(), X.double()).square()
    for width in (None, 1.0):
        if width is None:
            options = {"kernel": "linear", "C": 10 / float(X.square().sum(1).mean())}
        else:
            options = {"kernel": "rbf", "C": 10, "gamma": width / float(squared.median())}
        found = svm_errors(X, y, X_test, y_test, (30, 60), C=10.0, width=width)
        for n in (30, 60):
            expected = 1 - SVC(**options).fit(X[:n].numpy(), y[:n]).score(X_test.numpy(), y_test)
            assert found[n] == pytest.approx(expected, abs=0.025)  # kernels in float32 may turn a row or two


def test_the_candidate_with_least_error_is_chosen():
    (X, y), (held, y_held) = rows(60, 0), rows(90, 1)
    best = chosen(X, y, held, y_held)
    errors = [svm_errors(X, y, held, y_held, (60,), **one)[60] for one in CANDIDATES]
    assert CANDIDATES.index(best) == int(np.argmin(errors))


def test_softmax_regression_separates_what_a_plane_separates():
    (X, y), (X_test, y_test) = rows(90, 0), rows(90, 1)
    assert softmax_error(X * 4, y, X_test * 4, y_test, 1e-3, 2) < 0.3  # Bayes: 0.25
