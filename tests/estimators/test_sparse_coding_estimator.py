"""The scikit-learn face of sparse coding: its checks, its attributes, its limits."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, DeviceError, SettingError
from lamina.estimators import SparseCoding
from lamina.estimators.limits import LIMITS, check_settings

SMALL = SparseCoding(n_hidden=6, cost=0.2, epochs=3, random_state=0)
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 5)) @ GENERATOR.normal(size=(5, 5)) + 3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([SMALL])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_codes_are_those_of_the_atoms():
    fitted = clone(SMALL).fit(X)
    assert fitted.components_.shape == (6, 5)
    assert np.linalg.norm(fitted.components_, axis=1).max() <= 1 + 1e-12
    H = fitted.transform(X)
    rows = (X - fitted.mean_) / fitted.scale_
    gradient = (H @ fitted.components_ - rows) @ fitted.components_.T
    off = np.where(H == 0, np.abs(gradient) - 0.2, np.abs(gradient + 0.2 * np.sign(H)))
    assert off.max() <= 1e-4 * 0.2 * (1 + 1e-6)
    assert 0 < (H == 0).mean() < 1
    expected = H @ fitted.components_ * fitted.scale_ + fitted.mean_
    np.testing.assert_allclose(fitted.inverse_transform(H), expected)
    assert fitted.history_["objective"][-1] < fitted.history_["objective"][0]


def test_cost_buys_sparsity_and_positive_codes_are_positive():
    zeros = [(clone(SMALL).set_params(cost=cost).fit(X).transform(X) == 0).mean() for cost in (0.05, 0.5, 1e3)]
    assert zeros[0] < zeros[1] < zeros[2] == 1
    H = clone(SMALL).set_params(positive=True).fit_transform(X)
    assert H.min() == 0 < H.max()


def test_seeds_types_and_pickles():
    one, two, other = (clone(SMALL).set_params(random_state=seed).fit(X) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    assert not np.array_equal(one.components_, other.components_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).transform(X), one.transform(X))
    assert clone(SMALL).fit(X.astype(np.float32)).transform(X.astype(np.float32)).dtype == np.float32


def test_without_standardising_one_row_will_do():
    fitted = clone(SMALL).set_params(standardise=False).fit(X[:1])
    assert np.isfinite(fitted.transform(X)).all()
    assert not fitted.mean_.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cost": 0.0}, "cost"),
        ({"n_hidden": 0}, "n_hidden"),
        ({"forgetting": -1.0}, "forgetting"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"positive": 1}, "positive is 1; expected True or False"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_settings_outside_their_limits(settings, message):
    with pytest.raises(SettingError, match=message):
        clone(SMALL).set_params(**settings).fit(X)


def test_every_parameter_has_a_limit():
    assert set(SparseCoding().get_params()) - {"random_state", "device"} <= set(LIMITS)
    check_settings(SparseCoding())


def test_bad_data():
    fitted = clone(SMALL).fit(X)
    bad = X.copy()
    bad[4, 2] = np.nan
    with pytest.raises(DataError, match=r"row\(s\) 4, column\(s\) 2"):
        fitted.transform(bad)
    with pytest.raises(DataError, match="codes have 5 features; the model was fitted with 6"):
        fitted.inverse_transform(np.zeros((2, 5)))
    with pytest.raises(DeviceError, match="nowhere"):
        clone(SMALL).set_params(device="nowhere").fit(X)
