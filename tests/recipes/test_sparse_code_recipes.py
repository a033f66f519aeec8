"""Recipes of sparse codes: small versions run and go on from memory; their measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.random import Random
from lamina.metrics import fit_gabor
from lamina.models.sparse import SparseEncoderDecoder
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.olshausen1996_sparse_coding import figures, natural
from lamina.recipes.olshausen1996_sparse_coding import recipe as atoms
from lamina.recipes.ranzato2006_sparse_energy import deconvolution
from lamina.recipes.ranzato2006_sparse_energy import recipe as energies
from lamina.recipes.record import Lines


def photograph(seed: int) -> np.ndarray:
    """A picture (90, 100, 3) of smooth noise: its spectrum falls, as that of a photograph does."""
    noise = np.random.default_rng(seed).normal(size=(90, 100))
    smooth = noise.cumsum(0).cumsum(1)
    smooth = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    return np.repeat(smooth[..., None], 3, 2).astype(np.uint8)


class Photographs:
    images = (photograph(0), photograph(1))


@pytest.fixture
def photographs(monkeypatch):
    monkeypatch.setattr(natural, "load_sample_images", Photographs)


def test_patches_have_mean_0_and_contrasts_by_the_power_asked_for(photographs):
    kept, gone = (natural.natural_patches(400, 6, contrast, Random(0)) for contrast in (0.0, 1.0))
    assert kept.rows.dtype == np.float32
    for patches in (kept, gone):
        np.testing.assert_allclose(patches.rows.mean(1), 0, atol=1e-5)
        assert float(patches.rows.std()) == pytest.approx(1, abs=1e-4)
        assert patches.rows.shape[0] == round(400 * patches.kept)
    np.testing.assert_allclose(gone.rows.std(1), 1, atol=1e-4)
    half = natural.natural_patches(400, 6, 0.5, Random(0)).rows.std(1) ** 2
    np.testing.assert_allclose(half / half.mean(), kept.rows.std(1) / kept.rows.std(1).mean(), rtol=1e-3)


def test_flat_patches_are_left_out(photographs, monkeypatch):
    everything = natural.natural_patches(400, 6, 0.0, Random(0))
    monkeypatch.setattr(natural, "FLAT", 0.8)
    some = natural.natural_patches(400, 6, 0.0, Random(0))
    assert 0 < some.kept < everything.kept
    assert (
        some.rows.std(1).min() / some.rows.std(1).mean() > everything.rows.std(1).min() / everything.rows.std(1).mean()
    )


def test_first_atoms_are_noise_with_the_patches_covariance(photographs, monkeypatch):
    monkeypatch.setattr(atoms, "N_ATOMS", 4000)
    monkeypatch.setattr(atoms, "SIZE", 4)
    patches = natural.natural_patches(3000, 4, 0.0, Random(0))
    rows = atoms.noise(patches, 0)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    found, expected = (np.cov(x.T) for x in (rows, patches.rows))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_kurtosis_is_0_for_normal_numbers_and_large_for_sparse_ones():
    normal = torch.from_numpy(np.random.default_rng(0).normal(size=100_000))
    assert atoms.kurtosis(normal) == pytest.approx(0, abs=0.1)
    assert atoms.kurtosis(torch.eye(10)) == pytest.approx(0.1 / 0.1**2 - 3)  # a tenth of the codes is 1


def test_angles_wrap_around_and_shares_are_percents():
    at, percent = figures.shares(np.array([0.1, 7.9, 1.0, 4.4]), 8, 22.5)
    np.testing.assert_allclose(at, np.arange(8) * 22.5)
    np.testing.assert_allclose(percent, [50, 25, 0, 0, 25, 0, 0, 0])


def test_atoms_quick_version(photographs, monkeypatch, tmp_path):
    for name, value in {"QUICK_PLACES": 1500, "N_ATOMS": 20, "SIZE": 6, "MEASURED": 100, "BATCH": 50}.items():
        monkeypatch.setattr(atoms, name, value)
    outcome = atoms.run(Context(tmp_path, quick=True, seed=3))
    rows = {row.what: row for row in outcome.results}
    assert outcome.seeds == [3]
    assert len(rows) == 9
    assert 0 < rows["unexplained variance, |h|"].ours < 90
    assert rows["kurtosis of codes, |h|"].ours > 3
    assert outcome.deviations[0].startswith("QUICK")
    curves = next(f for f in outcome.figures if isinstance(f, Lines))
    for name in ("white noise", "atoms, |h|"):
        x, y = curves.series[name]
        expected = rows[f"Gabor functions (R² ≥ 0.7), {name}"].ours
        assert y[int(np.argmin(np.abs(x - 0.7)))] == pytest.approx(expected)
    learnt = next(f for f in outcome.figures if f.title == "Atoms, |h|")
    assert learnt.rows.shape == (20, 6, 6)
    assert (np.diff(fit_gabor(learnt.rows).r2) <= 1e-6).all()
    again = atoms.run(Context(tmp_path, quick=True, seed=3))  # from memory
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_codes_measured_are_those_of_the_model():
    model = SparseEncoderDecoder(5, 4, eta=0.2)
    X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    found = energies.encoded(model, X, 0.5)
    v = torch.from_numpy(X) * 0.5
    np.testing.assert_allclose(found["guess"], model.mean_h_from_v(v).detach(), rtol=1e-5)
    codes = model.codes(v, energies.MEASURING)
    np.testing.assert_allclose(found["code"], model.sparse(codes.z), rtol=1e-5)
    np.testing.assert_allclose(found["energies"][:, 1], codes.energy, rtol=1e-5)
    assert (found["energies"][:, 1] <= found["energies"][:, 0]).all()


def test_hoyer_is_1_for_a_single_unit_and_0_for_all_alike():
    assert energies.hoyer(np.eye(9)[:1]) == pytest.approx(1)
    assert energies.hoyer(np.full((1, 9), 0.3)) == pytest.approx(0)


def test_energies_quick_version(photographs, monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())
    for name, value in {"QUICK_PLACES": 600, "STEPS": 20, "STRENGTHS": (0.1, 1.0)}.items():
        monkeypatch.setattr(energies, name, value)
    small = {name: {**settings, "n": 12} for name, settings in energies.SETTINGS.items()}
    monkeypatch.setattr(energies, "SETTINGS", small)
    for name, value in {"QUICK_IMAGES": 3, "SEARCH": 3, "MAPS": (2, 3)}.items():
        monkeypatch.setattr(deconvolution, name, value)
    context = Context(tmp_path, quick=True, seed=2)
    outcome = energies.run(context)
    rows = {row.what: row for row in outcome.results}
    assert outcome.seeds == [2]
    for name in ("digits", "patches"):
        assert rows[f"{name}: energy of the guess over the least"].ours >= 1
        assert 0 < rows[f"{name}: Hoyer sparseness of the codes"].ours < 1
    errors = {name: rows[f"test error, {words}, 100 labels"].ours for name, words in energies.WORDS.items()}
    assert all(0 < error < 90 for error in errors.values())
    shapes = {figure.title: figure.rows.shape for figure in outcome.figures if not isinstance(figure, Lines)}
    assert shapes["Decoder filters of digits"] == (12, 28, 28)
    assert shapes["Digits as sums of parts"] == (6, 12, 28, 28)
    assert shapes["Deconvolutional network: test digits drawn again"] == (3, 3, 28, 28)
    again = energies.run(Context(tmp_path, quick=True, seed=2))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_parts_add_up_to_the_reconstruction():
    model = SparseEncoderDecoder(784, 10, eta=0.2)
    X = small_mnist().X[:2].astype(np.float32) / 255
    shown = energies.parts_of(model, X).rows
    np.testing.assert_allclose(shown[:, 2:].sum(1), shown[:, 1], atol=1e-5)  # all ten units are shown
    np.testing.assert_allclose(shown[:, 0].reshape(2, 784), X * energies.SETTINGS["digits"]["scale"], rtol=1e-6)
