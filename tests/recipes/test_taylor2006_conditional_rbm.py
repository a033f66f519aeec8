"""The parts of the EEG recipe that stand beside the machine: the linear model, spectra, what is compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DownloadError
from lamina.core.random import Random
from lamina.recipes import Context
from lamina.recipes.taylor2006_conditional_rbm import recipe


@pytest.fixture
def linear() -> recipe.Autoregression:
    """Of a process (3 channels) with lag 1 and 6 weights and correlated noise, from 40,000 frames."""
    generator = np.random.default_rng(0)
    A = np.zeros((recipe.N_LAGS * 3, 3))
    A[:3], A[-3:] = 0.5 * np.eye(3), -0.2 * np.eye(3)
    x = torch.from_numpy(generator.normal(size=(40_000, recipe.N_LAGS * 3)))
    root = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [0, 0, 0.5]])
    v = x.numpy() @ A + 0.3 + generator.normal(size=(40_000, 3)) @ root.T
    model = recipe.Autoregression(torch.from_numpy(v), x)
    model.truth = A, root @ root.T, (torch.from_numpy(v), x)
    return model


def test_the_autoregression_finds_weights_and_noise(linear):
    A, noise, (v, x) = linear.truth
    error = 5 / np.sqrt(40_000)
    np.testing.assert_allclose(linear.A, A, atol=error)
    np.testing.assert_allclose(linear.b, 0.3, atol=error)
    np.testing.assert_allclose(linear.covariance, noise, atol=2 * error)
    joint, independent = (float(linear.log_likelihood(v, x, joint=j).mean()) for j in (True, False))
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * noise)[1]
    assert joint == pytest.approx(-entropy, abs=0.02)
    gain = 0.5 * (np.log(np.diag(noise)).sum() - np.linalg.slogdet(noise)[1])  # what knowing the covariance is worth
    assert joint - independent == pytest.approx(gain, abs=0.02)


def test_its_sequences_have_the_covariance_of_its_noise(linear):
    past = torch.zeros(20_000, recipe.N_LAGS, 3, dtype=torch.float64)
    for joint in (True, False):
        made = linear.generate(past, 2, Random(1), joint=joint).numpy()
        noise = linear.covariance.numpy() * (1 if joint else np.eye(3))
        np.testing.assert_allclose(np.cov(made[:, 0].T), noise, atol=5 * 1.5 / np.sqrt(20_000))
        np.testing.assert_allclose(np.cov(made[:, 1].T), 1.25 * noise, atol=5 * 2 / np.sqrt(20_000))  # 1 + 0.5²


def test_power_peaks_where_the_oscillation_is():
    seconds = np.arange(58) / 64
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (40, 1, 2))
    wave = np.sin(2 * np.pi * 10 * seconds[None, :, None] + phases)
    frequencies, found = recipe.power(wave)
    assert abs(frequencies[found.argmax()] - 10) < 1.2  # one bin of 64 / 58 Hz
    assert found[frequencies > 20].max() < 1e-3 * found.max()


def test_a_faithful_copy_is_no_percent_and_no_decibel_off():
    test = np.random.default_rng(0).normal(size=(10, 40, 3))
    made = {"same": test[:, recipe.N_LAGS :], "twice": 2 * test[:, recipe.N_LAGS :]}
    covariance, spectrum, covariance_2, spectrum_2 = (m.ours for m in recipe.sameness(test, made))
    assert (covariance, spectrum) == (pytest.approx(0), pytest.approx(0))
    assert (covariance_2, spectrum_2) == (pytest.approx(300), pytest.approx(20 * np.log10(2)))


def test_missing_data_say_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("LAMINA_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DownloadError, match=r"uci-eeg/smni_cmi_train\.npz lies in no data folder"):
        recipe.run(Context(tmp_path / "run", quick=True))
