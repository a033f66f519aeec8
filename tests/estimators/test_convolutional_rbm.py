"""The convolutional machine behind scikit-learn's door: its checks, shapes, scaling, and the same as the machine's."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, DeviceError, SettingError
from lamina.estimators import ConvolutionalRBM

SMALL = ConvolutionalRBM(n_filters=3, kernel=3, epochs=2, random_state=0)
IMAGES = ConvolutionalRBM(n_filters=4, kernel=3, shape=(2, 5, 6), epochs=2, batch_size=10, random_state=0)


def images(n=30, low=0.0, high=1.0):
    return np.random.default_rng(2).uniform(low, high, (n, 60))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([SMALL])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_features_are_the_machines_pooled_means():
    X = images()
    fitted = clone(IMAGES).fit(X)
    assert fitted.pooled_shape_ == (4, 2, 2)
    assert fitted.components_.shape == (4, 2, 3, 3)
    maps = torch.from_numpy(X.reshape(-1, 2, 5, 6))
    expected = fitted.machine_.mean_p_from_v(maps).detach().flatten(1).numpy()
    np.testing.assert_array_equal(fitted.transform(X), expected)
    assert fitted.transform(X.astype(np.float32)).dtype == np.float64  # the machine's type where it is wider
    np.testing.assert_allclose(fitted.score_samples(X), -fitted.machine_.free_energy(maps).detach().numpy())
    assert fitted.inverse_transform(fitted.transform(X)).shape == X.shape


def test_real_values_are_standardised_by_channel():
    X = images(low=-3.0, high=1.0)
    X[:, 30:] = X[:, 30:] * 100 + 500
    fitted = clone(IMAGES).fit(X)
    channels = X.reshape(30, 2, 30)
    np.testing.assert_allclose(fitted.mean_, channels.mean((0, 2)))
    np.testing.assert_allclose(fitted.scale_, channels.std((0, 2)))
    maps = (channels - fitted.mean_[:, None]) / fitted.scale_[:, None]
    expected = fitted.machine_.mean_p_from_v(torch.from_numpy(maps.reshape(-1, 2, 5, 6))).detach().flatten(1).numpy()
    np.testing.assert_allclose(fitted.transform(X), expected, rtol=1e-9)
    back = fitted.inverse_transform(fitted.transform(X)).reshape(30, 2, 30)
    np.testing.assert_allclose(back.mean((0, 2)), fitted.mean_, atol=0.5 * fitted.scale_.max())


def test_a_kernel_longer_than_the_signal_is_cut():
    fitted = ConvolutionalRBM(n_filters=2, kernel=9, epochs=1, random_state=0).fit(images()[:, :4])
    assert fitted.components_.shape == (2, 1, 4)
    assert fitted.transform(images()[:, :4]).shape == (30, 2)


def test_few_rows_get_as_many_passes_as_make_200_steps():
    fitted = clone(IMAGES).set_params(epochs=None, batch_size=30, n_filters=1).fit(images())
    assert fitted.history_.records[-1].step == 200


def test_same_seed_same_result_and_pickles():
    X = images()
    one, two, other = (clone(IMAGES).set_params(random_state=seed).fit(X) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    assert not np.array_equal(one.transform(X), other.transform(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).transform(X), one.transform(X))


def test_the_sparsity_target_is_followed():
    X = images(60)
    activity = {}
    for target in (0.02, 0.2):
        fitted = clone(IMAGES).set_params(sparsity_target=target, sparsity_cost=5.0, epochs=15).fit(X)
        maps = torch.from_numpy(X.reshape(-1, 2, 5, 6))
        activity[target] = float(fitted.machine_.mean_h_from_v(maps).detach().mean())
    for target, found in activity.items():
        assert found == pytest.approx(target, rel=0.3)


def test_bad_input():
    X = images()
    for wrong in ({"shape": (2, 5)}, {"shape": (3, 5, 6)}):
        with pytest.raises(DataError, match="but the rows have 60 features"):
            clone(IMAGES).set_params(**wrong).fit(X)
    for wrong in (
        {"shape": 60},
        {"shape": (60,)},
        {"shape": (2, 5.0, 6)},
        {"kernel": 0},
        {"kernel": (3, 3, 3)},
        {"pooling": 0},
        {"n_filters": 0},
        {"sparsity_target": 2.0},
        {"sparsity_target": 0.3},  # more than one unit in each block of four
        {"visible": "spin"},
    ):
        with pytest.raises(SettingError):
            clone(IMAGES).set_params(**wrong).fit(X)
    with pytest.raises(DeviceError):
        clone(IMAGES).set_params(device="nowhere").fit(X)
    bad = X.copy()
    bad[4, 2] = np.nan
    with pytest.raises(DataError, match=r"row\(s\) 4, column\(s\) 2"):
        clone(IMAGES).fit(bad)
    with pytest.raises(DataError, match="Bernoulli visible units need"):
        clone(IMAGES).set_params(visible="bernoulli").fit(X * 3)
    fitted = clone(IMAGES).fit(X)
    with pytest.raises(DataError, match="expecting 60"):
        fitted.transform(X[:, :5])
    with pytest.raises(DataError, match="15 features"):
        fitted.inverse_transform(np.zeros((2, 15)))
