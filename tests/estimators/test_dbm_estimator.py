"""The scikit-learn face of deep Boltzmann machines: scikit-learn's checks, features, types, bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, SettingError
from lamina.estimators import DBM
from lamina.estimators.limits import LIMITS, check_settings
from lamina.inference import deep_mean_field, mean_field_bound


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([DBM(hidden=(5, 3), epochs=3, epochs_pretrain=2, random_state=0)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def binary(n=60):
    generator = np.random.default_rng(5)
    on = generator.random((n, 3)) < 0.4
    return np.repeat(on, 3, axis=1).astype(np.float64)


def small(**options):
    return DBM(**{"hidden": (6, 4), "epochs": 3, "epochs_pretrain": 2, "random_state": 0, **options})


def test_features_are_the_machines_mean_field_means():
    X = binary()
    fitted = small(features="all").fit(X)
    assert fitted.visible_ == "bernoulli"
    machine = fitted.dbm_.to(torch.float64)
    means = deep_mean_field(machine, torch.from_numpy(X), tolerance=0.0, max_iterations=30).means
    np.testing.assert_allclose(fitted.transform(X), torch.cat(means, 1).numpy(), atol=1e-6)
    bound = mean_field_bound(machine, torch.from_numpy(X), means).detach().numpy()
    np.testing.assert_allclose(fitted.score_samples(X), bound, rtol=1e-5)
    top = small().fit(X)
    np.testing.assert_array_equal(top.transform(X), fitted.transform(X)[:, 6:])
    assert list(top.get_feature_names_out()) == ["dbm0", "dbm1", "dbm2", "dbm3"]


def test_it_learns_which_rows_are_likely():
    """Rows of the training kind score above rows with the same number of ones in other places."""
    X = binary(300)
    fitted = small(epochs=30, epochs_pretrain=10, batch_size=20, learning_rate=0.1).fit(X)
    other = np.random.default_rng(0).permuted(X, axis=1)
    assert fitted.score_samples(X).mean() > fitted.score_samples(other).mean() + 1.0
    assert len(fitted.history_) == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types_seeds_and_pickles(dtype):
    X = binary()
    one, two, other = (small(dtype=dtype, random_state=seed).fit(X) for seed in (3, 3, 4))
    assert one.transform(X).dtype == dtype
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    assert not np.array_equal(one.transform(X), other.transform(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).transform(X), one.transform(X))


def test_real_rows_are_standardised():
    X = np.random.default_rng(1).normal(50, 10, (60, 5))
    fitted = small(hidden=4, epochs_pretrain=[2]).fit(X)
    assert fitted.visible_ == "gaussian"
    np.testing.assert_allclose(fitted.mean_, X.mean(0))
    assert fitted.transform(X).shape == (60, 4)
    assert np.isfinite(fitted.score_samples(X)).all()


def test_limits_and_bad_rows():
    elsewhere = {"random_state", "device"}
    assert set(DBM().get_params()) - elsewhere <= set(LIMITS)
    check_settings(DBM())
    X = binary()
    for name, value in (
        ("hidden", (6, 0)),
        ("features", "middle"),
        ("n_chains", 0),
        ("mean_field_iterations", 0),
        ("learning_rate", -1.0),
        ("epochs_pretrain", (1, -2)),
    ):
        with pytest.raises(SettingError, match=name):
            small(**{name: value}).fit(X)
    with pytest.raises(SettingError, match="epochs has 3 entries for 2 layers"):
        small(epochs_pretrain=[1, 2, 3]).fit(X)
    X[4, 2] = np.nan
    with pytest.raises(DataError, match=r"1 NaN or infinite .* row\(s\) 4, column\(s\) 2"):
        small().fit(X)
    with pytest.raises(DataError, match="need \\[0, 1\\]"):
        small(visible="bernoulli").fit(binary() * 3)
