"""The two recipes about sparse codes: small versions run and go on from memory; measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.random import Random
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.lee2008_sparse_rbm import natural_patches
from lamina.recipes.lee2008_sparse_rbm import recipe as edges
from lamina.recipes.lee2008_sparse_rbm.filters import area, edge_like
from lamina.recipes.luo2011_sparse_group import recipe as groups
from lamina.storage import load


def photograph(seed: int) -> np.ndarray:
    """A picture (80, 90, 3) of smooth noise: its spectrum falls, as that of a photograph does."""
    noise = np.random.default_rng(seed).normal(size=(80, 90))
    smooth = noise.cumsum(0).cumsum(1)
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    return np.repeat(smooth[..., None], 3, 2).astype(np.uint8)


class Photographs:
    images = (photograph(0), photograph(1))


@pytest.fixture
def photographs(monkeypatch):
    monkeypatch.setattr(natural_patches, "load_sample_images", Photographs)


def gabor(angle: float, width: float = 1.6, wavelength: float = 5.0) -> np.ndarray:
    y, x = np.mgrid[:14, :14] - 6.5
    along = x * np.cos(angle) + y * np.sin(angle)
    return np.exp(-(x**2 + y**2) / (2 * width**2)) * np.sin(2 * np.pi * along / wavelength)


def test_gabors_are_edge_like_and_gratings_spots_and_noise_are_not():
    y, x = np.mgrid[:14, :14] - 6.5
    gabors = np.array([gabor(angle) for angle in np.linspace(0, np.pi, 7)])
    assert edge_like(gabors).all()
    grating, spot = np.sin(x), np.exp(-(x**2 + y**2) / 2)
    assert not edge_like(np.array([grating, spot])).any()
    noise = np.random.default_rng(0).normal(size=(200, 14, 14))
    assert not edge_like(noise).any()
    assert float(area(noise).mean()) == pytest.approx(1 / 3, abs=0.02)
    assert area(np.ones((1, 14, 14))) == pytest.approx(1)
    assert area(np.eye(196)[:1].reshape(1, 14, 14)) == pytest.approx(1 / 196)


def test_patches_are_whitened_and_a_filter_is_one_on_pixels(photographs):
    patches = natural_patches.natural_patches(2000, 6, 12, 0.0, Random(0))
    assert patches.rows.dtype == np.float32
    covariance = np.cov(patches.rows.T)
    np.testing.assert_allclose(covariance, np.eye(12) * np.diag(covariance).mean(), atol=1e-3)
    np.testing.assert_allclose(patches.basis.T @ patches.basis, np.eye(12), atol=1e-10)
    weights = np.random.default_rng(0).normal(size=(1, 12))
    on_pixels = patches.pictures(patches.rows).reshape(-1, 36) @ patches.pictures(weights).reshape(36)
    np.testing.assert_allclose(on_pixels, patches.rows @ weights[0], atol=1e-4)
    controlled = natural_patches.natural_patches(2000, 6, 12, 1.0, Random(0)).rows
    np.testing.assert_allclose((controlled**2).mean(1), 1, atol=1e-4)


def test_edges_quick_version(photographs, monkeypatch, tmp_path):
    monkeypatch.setattr(edges, "QUICK_PLACES", 800)
    monkeypatch.setattr(edges, "N_HIDDEN", 12)
    monkeypatch.setattr(edges, "N_COMPONENTS", 30)
    context = Context(tmp_path, quick=True, seed=2)
    outcome = edges.run(context)
    rows = {row.what: row for row in outcome.results}
    assert set(rows) == {
        "localised and oriented filters, untrained",
        "localised and oriented filters, sparse",
        "localised and oriented filters, no penalty",
        "mean activity, sparse",
        "mean activity, no penalty",
    }
    assert rows["mean activity, sparse"].ours < rows["mean activity, no penalty"].ours
    assert outcome.deviations[0].startswith("QUICK")
    assert [figure.title for figure in outcome.figures][1] == "Filters, sparse"
    assert outcome.figures[1].rows.shape == (12, 14, 14)
    again = edges.run(Context(tmp_path, quick=True, seed=2))  # from memory
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_measures_of_sparseness():
    one = np.zeros((1, 20))
    one[0, 3] = 0.9
    assert groups.hoyer(one) == pytest.approx(1)
    assert groups.hoyer(np.full((1, 20), 0.3)) == pytest.approx(0)
    assert groups.active_groups(one, 5) == pytest.approx(0.25)
    assert groups.active_groups(np.full((1, 20), 0.4), 5) == pytest.approx(0)


def test_groups_quick_version(monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())
    monkeypatch.setattr(groups, "N_HIDDEN", 40)
    monkeypatch.setattr(groups, "COST", 1.0)
    context = Context(tmp_path, quick=True, seed=4)
    outcome = groups.run(context)
    rows = {row.what: row for row in outcome.results}
    assert outcome.seeds == [4]
    assert len(rows) == 6
    assert rows["Hoyer sparseness, sparse group"].ours > rows["Hoyer sparseness, plain"].ours
    rbm = load(context.stage("plain 4"))
    X = torch.from_numpy(small_mnist().X_test / np.float32(255))
    expected = groups.hoyer(rbm.mean_h_from_v(X).detach().numpy()).mean()
    assert rows["Hoyer sparseness, plain"].ours == pytest.approx(float(expected), rel=1e-5)
    again = groups.run(Context(tmp_path, quick=True, seed=4))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_spread_over_seeds_is_reported():
    runs = [{"error": e, "validation": e, "C": 0.3, "sparseness": 0.5, "groups": 10.0} for e in (2.0, 3.0)]
    first = groups.rows({"plain": runs, "sparse group": runs})[0]
    assert (first.ours, first.sd) == (pytest.approx(2.5), pytest.approx(np.sqrt(0.5)))
