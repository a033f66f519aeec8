"""Lists of sequences behind scikit-learn's door: codes, forecasts, scaling, and scikit-learn's manners."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from lamina.core.errors import DataError, DeviceError, SettingError
from lamina.estimators import SequenceAutoencoder
from lamina.frontends import pad_sequences

SMALL = SequenceAutoencoder(4, horizon=2, epochs=2, batch_size=5, random_state=0)


def sequences(n=12, low=0.0, high=1.0, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.uniform(low, high, (length, 3)) for length in generator.integers(4, 9, n)]


def test_codes_reconstructions_and_forecasts_are_the_networks():
    X = sequences()
    fitted = clone(SMALL).fit(X)
    padded, lengths = (torch.from_numpy(a) for a in pad_sequences(X))
    network = fitted.autoencoder_
    assert network.output == "sigmoid"
    np.testing.assert_array_equal(fitted.transform(X), network.encode(padded, lengths).detach().numpy())
    assert fitted.forecast(X).shape == (12, 2, 3)
    np.testing.assert_array_equal(fitted.forecast(X, 5), network.forecast(padded, lengths, 5).detach().numpy())
    expected = network.reconstruct(padded, lengths).detach().numpy()
    for row, whole, x in zip(fitted.reconstruct(X), expected, X, strict=True):
        assert row.shape == x.shape
        np.testing.assert_array_equal(row, whole[: len(x)])
    one = fitted.transform(X[3:4])  # no sequence hangs on its neighbours
    np.testing.assert_allclose(one, fitted.transform(X)[3:4], atol=1e-12)


def test_real_values_are_standardised_over_all_frames():
    slopes = np.random.default_rng(1).normal(size=(12, 1, 3))
    X = [
        s * np.arange(len(x))[:, None] * [1.0, 100.0, 1.0] + [0.0, 500.0, 0.0]
        for s, x in zip(slopes, sequences(), strict=True)
    ]
    fitted = clone(SMALL).set_params(epochs=50, learning_rate=0.03, horizon=None, n_hidden=8).fit(X)
    frames = np.concatenate(X)
    np.testing.assert_allclose(fitted.mean_, frames.mean(0))
    np.testing.assert_allclose(fitted.scale_, frames.std(0))
    assert fitted.autoencoder_.output == "identity"
    scaled = [(x - fitted.mean_) / fitted.scale_ for x in X]
    padded, lengths = (torch.from_numpy(a) for a in pad_sequences(scaled))
    codes = fitted.autoencoder_.encode(padded, lengths).detach().numpy()
    np.testing.assert_allclose(fitted.transform(X), codes, atol=1e-9)
    back = np.concatenate(fitted.reconstruct(X))
    assert np.square((back - frames) / fitted.scale_).mean() < 0.5  # 1 is the mean's


def test_one_head_alone():
    X = sequences()
    only_written = clone(SMALL).set_params(horizon=None).fit(X)
    with pytest.raises(SettingError, match="fit it with horizon="):
        only_written.forecast(X)
    only_foretold = clone(SMALL).set_params(reconstruction=0.0, conditional=True).fit(X)
    assert only_foretold.autoencoder_.heads == ("forecasting",)
    assert only_foretold.forecast(X).shape == (12, 2, 3)
    with pytest.raises(SettingError, match="reconstruction above 0"):
        only_foretold.reconstruct(X)


def test_same_seed_same_result_clones_and_pickles():
    X = sequences()
    one, two, other = (clone(SMALL).set_params(random_state=seed, corruption=0.2).fit(X) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    assert not np.array_equal(one.transform(X), other.transform(X))
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.forecast(X), one.forecast(X))
    assert clone(one).get_params() == one.get_params()
    np.testing.assert_array_equal(one.fit(X).transform(X), two.transform(X))  # fitted anew, not further


def test_types_arrays_and_names():
    X = [x.astype(np.float32) for x in sequences()]
    fitted = clone(SMALL).fit(X)
    assert fitted.transform(X).dtype == fitted.forecast(X).dtype == fitted.reconstruct(X)[0].dtype == np.float32
    assert fitted.n_features_in_ == 3
    assert list(fitted.get_feature_names_out()) == [f"sequenceautoencoder{k}" for k in range(4)]
    cube = np.random.default_rng(0).random((6, 5, 3))
    as_list = clone(SMALL).fit(list(cube))
    np.testing.assert_array_equal(clone(SMALL).fit(cube).transform(cube), as_list.transform(list(cube)))


def test_works_in_a_pipeline():
    X = sequences(20)
    y = np.arange(20) % 2
    pipeline = make_pipeline(clone(SMALL), LogisticRegression()).fit(X, y)
    assert pipeline.predict(X[:5]).shape == (5,)


def test_bad_input():
    X = sequences()
    for wrong, message in (
        ({"n_hidden": 0}, "n_hidden is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"conditional": 1}, "True or False"),
        ({"corruption": 1.0}, "corruption"),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm"),
        ({"reconstruction": 0.0, "horizon": None}, "nothing would be learnt"),
        ({"visible": "spin"}, "visible"),
    ):
        with pytest.raises(SettingError, match=message):
            clone(SMALL).set_params(**wrong).fit(X)
    with pytest.raises(DeviceError):
        clone(SMALL).set_params(device="nowhere").fit(X)
    holed = [*X[:2], np.where(X[2] > 0.5, np.nan, X[2])]
    for data, message in (
        ([], "0 sequences"),
        ([*X, np.zeros((0, 3))], "sequence 12 has no frames"),
        ([*X, np.zeros((4, 2))], "sequence 12 has 2 features"),
        (np.zeros((5, 3)), r"sequence 0 has shape \(3,\)"),
        (holed, "sequence 2 holds NaN"),
        ([*X, np.zeros((2, 3))], r"sequence 12 has 2 frame\(s\); expected more than the horizon of 2"),
    ):
        with pytest.raises(DataError, match=message):
            clone(SMALL).fit(data)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        clone(SMALL).set_params(visible="bernoulli").fit([x * 3 for x in X])
    with pytest.raises(NotFittedError):
        clone(SMALL).transform(X)
    fitted = clone(SMALL).fit(X)
    with pytest.raises(DataError, match="sequence 0 has 2 features; expected 3, as in fit"):
        fitted.transform([x[:, :2] for x in X])
    with pytest.raises(SettingError, match="steps is 0"):
        fitted.forecast(X, 0)
    assert fitted.forecast([np.ones((1, 3))]).shape == (1, 2, 3)  # shorter than any in training is fine
