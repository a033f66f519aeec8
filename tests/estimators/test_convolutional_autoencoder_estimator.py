"""The convolutional autoencoder behind scikit-learn's door (`test_battery` has the checks): shapes, scaling, rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.estimators import ConvolutionalAutoencoder, convolutional_autoencoder
from lamina.models.autoencoders import ConvolutionalAutoencoder as Network
from lamina.training import Masking, Reconstruction, SwitchedReconstruction, fit

IMAGES = ConvolutionalAutoencoder((4, 3), kernel=3, shape=(2, 5, 6), epochs=2, batch_size=10, random_state=0)


def images(n=30, low=0.0, high=1.0):
    return np.random.default_rng(2).uniform(low, high, (n, 60))


def test_features_are_the_networks_codes():
    X = images()
    fitted = clone(IMAGES).fit(X)
    assert fitted.shape_ == (2, 5, 6)
    assert fitted.map_shape_ == (3, 2, 2)
    assert fitted.components_.shape == (4, 2, 3, 3)
    rows = torch.from_numpy(X)
    np.testing.assert_array_equal(fitted.transform(X), fitted.autoencoder_.mean_h_from_v(rows).detach().numpy())
    np.testing.assert_array_equal(fitted.reconstruct(X), fitted.autoencoder_.reconstruct(rows).detach().numpy())
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(X)), fitted.reconstruct(X))
    assert fitted.transform(X.astype(np.float32)).dtype == np.float64  # the network's type where it is wider
    small = clone(IMAGES).fit(X.astype(np.float32))
    assert small.transform(X.astype(np.float32)).dtype == np.float32
    assert small.reconstruct(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("downsampling", ["max", "switches"])
def test_it_learns_what_the_rule_teaches(downsampling):
    """The same weights as of `fit` on the same network: nothing is done in between."""
    X = images()
    options = {"downsampling": downsampling, "code": 3, "tied": True, "activation": "tanh"}
    fitted = clone(IMAGES).set_params(corruption=0.25, weight_decay=0.01, **options).fit(X)
    network = Network((2, 5, 6), (4, 3), 3, **options, dtype=torch.float64)
    random = Random(0).child("ConvolutionalAutoencoder")
    network.initialise(random, torch.from_numpy(X).mean(0))
    rule = (SwitchedReconstruction if downsampling == "switches" else Reconstruction)(corruption=Masking(0.25))
    settings = {"learning_rate": 0.003, "optimiser": "adam", "weight_decay": 0.01, "random_state": random}
    fit(network, X, rule, epochs=2, batch_size=10, **settings)
    for a, b in zip(fitted.autoencoder_.parameters(), network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert fitted.transform(X).shape == (30, 3)
    same = np.allclose(fitted.reconstruct(X), fitted.inverse_transform(fitted.transform(X)))
    assert same == (downsampling != "switches")


def test_real_values_are_standardised_by_channel():
    rows, columns = np.divmod(np.arange(30), 6)
    slopes = np.random.default_rng(2).normal(size=(30, 2, 2, 1))
    X = np.concatenate([slopes[:, c, 0] * (rows - 2) + slopes[:, c, 1] * (columns - 2.5) - 1 for c in (0, 1)], 1)
    X[:, 30:] = X[:, 30:] * 100 + 500
    fitted = clone(IMAGES).set_params(epochs=40, code=20, learning_rate=0.01).fit(X)
    assert fitted.autoencoder_.output == "identity"
    channels = X.reshape(30, 2, 30)
    np.testing.assert_allclose(fitted.mean_, channels.mean((0, 2)))
    np.testing.assert_allclose(fitted.scale_, channels.std((0, 2)))
    scaled = ((channels - fitted.mean_[:, None]) / fitted.scale_[:, None]).reshape(30, 60)
    expected = fitted.autoencoder_.mean_h_from_v(torch.from_numpy(scaled)).detach().numpy()
    np.testing.assert_allclose(fitted.transform(X), expected, atol=1e-9)
    residual = (fitted.reconstruct(X).reshape(30, 2, 30) - channels) / fitted.scale_[:, None]
    assert np.square(residual).mean() < 0.6  # 1 is the mean's


def test_rows_without_a_shape_are_signals_of_one_channel():
    fitted = clone(IMAGES).set_params(shape=None, pooling=3).fit(images())
    assert fitted.shape_ == (1, 60)
    assert fitted.map_shape_ == (3, 7)
    assert fitted.transform(images()).shape == (30, 21)


def test_few_rows_get_as_many_passes_as_make_enough_steps(monkeypatch):
    monkeypatch.setattr(convolutional_autoencoder, "STEPS", 25)
    fitted = clone(IMAGES).set_params(epochs=None, batch_size=30, n_maps=1, shape=None).fit(images()[:, :5])
    assert fitted.history_.records[-1].step == 25 > convolutional_autoencoder.EPOCHS


def test_bad_input():
    X = images()
    with pytest.raises(DataError, match="but the rows have 60 features"):
        clone(IMAGES).set_params(shape=(3, 5, 6)).fit(X)
    for wrong in (
        {"shape": 60},
        {"shape": (2, 5.0, 6)},
        {"kernel": 4},
        {"kernel": (3, 3, 3)},
        {"pooling": 0},
        {"n_maps": ()},
        {"code": 0},
        {"downsampling": "stride", "pooling": 4},
        {"downsampling": "mean"},
        {"tied": 1},
        {"activation": "step"},
        {"corruption": 1.0},
        {"visible": "spin"},
    ):
        with pytest.raises(SettingError):
            clone(IMAGES).set_params(**wrong).fit(X)
    with pytest.raises(DataError, match="Bernoulli visible units need"):
        clone(IMAGES).set_params(visible="bernoulli").fit(X * 3)
    fitted = clone(IMAGES).fit(X)
    with pytest.raises(DataError, match="11 features"):
        fitted.inverse_transform(np.zeros((2, 11)))
    with pytest.raises(DataError, match=r"codes hold 1 NaN or infinite value\(s\), first in row\(s\) 0, column\(s\) 3"):
        fitted.inverse_transform(np.where(np.arange(12) == 3, np.nan, 0.0)[None])
