"""Contrast taken out and put back, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError, SettingError
from lamina.frontends import local_contrast, patch_contrast

ROWS = np.random.default_rng(0).normal(3, 2, size=(6, 16))


def test_rows_have_mean_0_and_deviation_1_above_the_floor():
    rows = ROWS * np.array([1, 1e-3, 1, 1, 1, 1])[:, None]
    found = patch_contrast(rows, floor=0.1)
    np.testing.assert_allclose(found.values.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(found.values.std(1)[[0, 2, 3, 4, 5]], 1, rtol=1e-12)
    np.testing.assert_allclose(found.values[1], (rows[1] - rows[1].mean()) / 0.1, rtol=1e-12)


def test_the_mean_alone():
    found = patch_contrast(ROWS)
    np.testing.assert_allclose(found.values, ROWS - ROWS.mean(1, keepdims=True))
    assert (found.scale == 1).all()


@pytest.mark.parametrize("floor", [None, 0.0, 0.5, 100.0])
def test_patches_with_channels_come_back(floor):
    patches = ROWS.reshape(2, 3, 4, 4)
    found = patch_contrast(patches, floor)
    np.testing.assert_allclose(found.undo(), patches, rtol=1e-12)
    np.testing.assert_allclose(found.undo(np.zeros_like(patches)) - found.mean, 0, atol=1e-15)
    np.testing.assert_allclose(found.mean.ravel(), patches.mean((1, 2, 3)))


def test_a_flat_row_is_0_without_division():
    assert (patch_contrast(np.full((2, 4), 7.0), floor=0.0).values == 0).all()
    assert (local_contrast(np.full((5, 5), 7.0), 1.0).values == 0).all()


def gaussian_mean(image: np.ndarray, sd: float) -> np.ndarray:
    """The mean in a Gaussian window of ±4 sd around every pixel, the image mirrored, by brute force."""
    reach = int(4 * sd + 0.5)
    padded = np.pad(image, reach, mode="symmetric")
    offsets = np.arange(-reach, reach + 1)
    window = np.exp(-(offsets**2) / (2 * sd**2))
    window = np.outer(window, window) / window.sum() ** 2
    out = np.empty_like(image)
    side = len(offsets)
    for i, j in np.ndindex(image.shape):
        out[i, j] = (padded[i : i + side, j : j + side] * window).sum()
    return out


@pytest.mark.parametrize("floor", [None, 0.3])
def test_local_contrast_is_the_formula(floor):
    images = np.random.default_rng(1).normal(size=(2, 9, 11)).cumsum(-1)
    found = local_contrast(images, 1.3, floor)
    for image, values, mean, scale in zip(images, found.values, found.mean, found.scale, strict=True):
        v = image - gaussian_mean(image, 1.3)
        deviation = np.sqrt(gaussian_mean(v**2, 1.3))
        expected = np.maximum(deviation, deviation.mean() if floor is None else floor)
        np.testing.assert_allclose(mean, image - v, rtol=1e-10)
        np.testing.assert_allclose(scale, expected, rtol=1e-10)
        np.testing.assert_allclose(values, v / expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.undo(), images, rtol=1e-12)


def test_a_change_of_light_over_the_image_is_taken_out():
    texture = np.random.default_rng(2).normal(size=(40, 40))
    bright = 50.0 + np.linspace(0, 20, 40)[:, None]
    left, right = local_contrast(texture, 3.0).values, local_contrast(bright + bright * texture, 3.0).values
    inner = (slice(8, -8), slice(8, -8))
    assert np.corrcoef(left[inner].ravel(), right[inner].ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: patch_contrast(ROWS, floor=-1), SettingError, "floor is -1"),
        (lambda: patch_contrast(ROWS[0]), DataError, "at least 2 dimensions"),
        (lambda: patch_contrast(np.array([[1.0, np.nan]])), DataError, "NaN"),
        (lambda: patch_contrast(np.zeros((0, 4))), DataError, "none of them 0"),
        (lambda: patch_contrast(ROWS).undo(ROWS[:2]), DataError, "expected \\(6, 16\\)"),
        (lambda: local_contrast(ROWS, 0.0), SettingError, "sd is 0"),
        (lambda: local_contrast(ROWS, 1.0, floor=-1.0), SettingError, "floor is -1"),
    ],
)
def test_what_has_no_contrast_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
