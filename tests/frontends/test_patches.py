"""Patches: where they come from, and that cutting and putting together are inverse."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.frontends import PatchGrid, all_patches, assemble, random_patches

IMAGE = np.arange(7 * 9, dtype=np.float64).reshape(7, 9)


def windows(image: np.ndarray, size: int) -> np.ndarray:
    """Every patch by NumPy's own sliding windows, (places, size, size)."""
    return np.lib.stride_tricks.sliding_window_view(image, (size, size)).reshape(-1, size, size)


def test_random_patches_are_patches_of_their_images_in_turn():
    other = 1000 + IMAGE[:5, :6]
    found = random_patches([IMAGE, other], 1000, 3, Random(1))
    assert found.shape == (1000, 3, 3)
    first, second = windows(IMAGE, 3), windows(other, 3)
    for k, patch in enumerate(found):
        assert (patch == (first, second)[k % 2]).all((1, 2)).sum() == 1
    corners = {patch[0, 0] for patch in found[::2]}
    assert corners == {patch[0, 0] for patch in first}  # all 35 places in 500 draws


def test_every_place_is_as_likely():
    n = 6000
    found = random_patches([IMAGE[:4, :5]], n, 3, 0)
    counts = np.unique(found[:, 0, 0], return_counts=True)[1]
    assert len(counts) == 6
    assert np.abs(counts - n / 6).max() < 4 * np.sqrt(n / 6)


def test_random_patches_are_a_function_of_the_stream_and_keep_type_and_channels():
    colour = np.stack([IMAGE, -IMAGE]).astype(np.float32)
    one, two = (random_patches([colour], 5, 4, Random(3)) for _ in range(2))
    assert np.array_equal(one, two)
    assert one.dtype == np.float32
    assert one.shape == (5, 2, 4, 4)
    np.testing.assert_array_equal(one[:, 0], -one[:, 1])
    assert not np.array_equal(one, random_patches([colour], 5, 4, Random(4)))


def test_all_patches_are_the_sliding_windows():
    np.testing.assert_array_equal(all_patches(IMAGE, 3), windows(IMAGE, 3))
    assert np.array_equal(all_patches(IMAGE, 7)[:, 0, 0], [0.0, 1.0, 2.0])
    strided = all_patches(IMAGE, 3, stride=3)  # 7 = 2 · 3 + 1: a last row of patches at the border
    assert PatchGrid.of(IMAGE, 3, 3).counts == (3, 3)
    np.testing.assert_array_equal(strided[:, 0, 0].reshape(3, 3), IMAGE[[0, 3, 4]][:, [0, 3, 6]])


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(7, 9), (2, 8, 5), (4, 4)])
def test_patches_put_together_are_the_image(shape, stride):
    image = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(assemble(all_patches(image, 4, stride), shape, stride), image, rtol=1e-13)


def test_overlaps_are_averaged_which_is_least_squares():
    generator = np.random.default_rng(1)
    grid = PatchGrid((4, 5), 3, 1)
    C = np.stack([grid.cut(pixel.reshape(4, 5)).ravel() for pixel in np.eye(20)], axis=1)
    patches = generator.normal(size=(6, 3, 3))
    expected = np.linalg.lstsq(C, patches.ravel(), rcond=None)[0].reshape(4, 5)
    np.testing.assert_allclose(grid.assemble(patches), expected, rtol=1e-10)


def test_a_pixel_that_no_patch_covers_is_0():
    assembled = assemble(all_patches(1 + IMAGE, 2, stride=4), IMAGE.shape, stride=4)
    assert assembled[0, 2] == 0
    assert assembled[6, 8] == 1 + IMAGE[6, 8]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random_patches([IMAGE], 0, 3), SettingError, "n is 0"),
        (lambda: random_patches([IMAGE], 5, 0), SettingError, "size is 0"),
        (lambda: random_patches([IMAGE], 5, 8), SettingError, "size is 8 and an image is 7 × 9 pixels"),
        (lambda: random_patches([], 5, 3), DataError, "at least one image"),
        (lambda: random_patches([IMAGE, np.stack([IMAGE] * 3)], 5, 3), DataError, "same channels"),
        (lambda: random_patches([IMAGE[0]], 5, 3), DataError, "expected numbers"),
        (lambda: random_patches([IMAGE.astype(str)], 5, 3), DataError, "expected numbers"),
        (lambda: all_patches(IMAGE, 3, stride=0), SettingError, "stride is 0"),
        (lambda: all_patches(IMAGE.transpose()[..., None], 3), SettingError, "channels last"),
        (lambda: assemble(np.zeros((4, 3)), (4, 4)), DataError, "the patches have shape"),
        (lambda: assemble(np.zeros((5, 3, 3)), (4, 4)), DataError, "expected \\(4, 3, 3\\)"),
        (lambda: PatchGrid((7, 9), 3).cut(IMAGE[:6]), DataError, "the shape of this grid"),
    ],
)
def test_what_cannot_be_cut_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
