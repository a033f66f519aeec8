"""What every estimator must pass: scikit-learn's checks, and the same bad inputs."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, DeviceError, SettingError
from lamina.estimators import (
    AutoencoderClassifier,
    BernoulliRBM,
    ClassificationRBM,
    ConvolutionalAutoencoder,
    DBNClassifier,
    DBNRegressor,
    GaussianRBM,
    StackedAutoencoder,
)

SMALL = [
    BernoulliRBM(n_components=4, n_iter=3, random_state=0),
    GaussianRBM(n_hidden=4, epochs=3, random_state=0),
    ClassificationRBM(n_hidden=10, epochs=40, random_state=0),
    DBNClassifier(hidden=(10,), epochs_pretrain=10, epochs=100, random_state=0),
    DBNRegressor(hidden=(10, 10), epochs_pretrain=10, epochs=100, random_state=0),
    ConvolutionalAutoencoder(n_maps=3, kernel=3, epochs=3, random_state=0),
    AutoencoderClassifier(hidden=(10,), epochs_pretrain=2, epochs=50, random_state=0),
    StackedAutoencoder(hidden=(10, 4), epochs_pretrain=3, epochs=5, random_state=0),
]
IDS = [type(estimator).__name__ for estimator in SMALL]


def expected_failures(estimator):
    if isinstance(estimator, BernoulliRBM):
        reason = "score_samples flips one value of each row at random, as scikit-learn's does, whose list says the same"
        return {"check_methods_sample_order_invariance": reason, "check_methods_subset_invariance": reason}
    return {}


# The checks give BernoulliRBM values outside [0, 1], which it takes with a warning; scikit-learn skips one check with
# a warning where SCIPY_ARRAY_API is not set.
@pytest.mark.filterwarnings("ignore:the data lie in:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(SMALL, expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def data(estimator, n=30):
    """Rows in [0, 1] and classes 0, 1, which do as targets too."""
    generator = np.random.default_rng(5)
    y = np.arange(n) % 2
    return np.clip(0.3 * y[:, None] + 0.7 * generator.random((n, 6)), 0, 1), y


def short(estimator):
    names = estimator.get_params()
    few = {"epochs": 3, "epochs_pretrain": 2, "n_iter": 2}
    return clone(estimator).set_params(**{k: v for k, v in few.items() if k in names})


def outputs(estimator, X):
    names = ("predict", "predict_proba", "transform", "score_samples")
    return [getattr(estimator, name)(X) for name in names if hasattr(estimator, name)]


@pytest.mark.parametrize("estimator", SMALL, ids=IDS)
class TestEach:
    def test_same_seed_same_result_other_seed_another(self, estimator):
        X, y = data(estimator)
        one, two, other = (short(estimator).set_params(random_state=seed).fit(X, y) for seed in (3, 3, 4))
        for a, b, c in zip(outputs(one, X), outputs(two, X), outputs(other, X), strict=True):
            np.testing.assert_array_equal(a, b)
            if a.dtype.kind == "f":
                assert not np.array_equal(a, c)

    def test_a_pickle_gives_the_same(self, estimator):
        X, y = data(estimator)
        fitted = short(estimator).fit(X, y)
        again = pickle.loads(pickle.dumps(fitted))
        for a, b in zip(outputs(fitted, X), outputs(again, X), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_feature_names_and_pandas_output(self, estimator):
        pd = pytest.importorskip("pandas")
        X, y = data(estimator)
        frame = pd.DataFrame(X, columns=list("abcdef"))
        fitted = short(estimator).set_output(transform="pandas").fit(frame, y)
        out = fitted.transform(frame)
        name = type(estimator).__name__.lower()
        assert list(fitted.feature_names_in_) == list("abcdef")
        assert list(out.columns) == [f"{name}{k}" for k in range(out.shape[1])]

    def test_works_in_a_pipeline_and_a_grid(self, estimator):
        from sklearn.linear_model import LogisticRegression

        X, y = data(estimator)
        first = short(estimator)
        sizes = {
            "BernoulliRBM": "n_components",
            "ClassificationRBM": "n_hidden",
            "ConvolutionalAutoencoder": "n_maps",
            "GaussianRBM": "n_hidden",
        }
        size = sizes.get(type(estimator).__name__, "hidden")
        name = type(estimator).__name__.lower()
        pipeline = make_pipeline(first, LogisticRegression())
        search = GridSearchCV(pipeline, {f"{name}__{size}": [2, 3]}, cv=2).fit(X, y)
        assert search.best_params_[f"{name}__{size}"] in (2, 3)
        assert search.predict(X).shape == y.shape

    def test_nan_says_where(self, estimator):
        X, y = data(estimator)
        X[4, 2] = np.nan
        with pytest.raises(DataError, match=r"1 NaN or infinite .* row\(s\) 4, column\(s\) 2"):
            short(estimator).fit(X, y)
        fitted = short(estimator).fit(*data(estimator))
        with pytest.raises(DataError, match="NaN"):
            fitted.transform(X)

    def test_wrong_shapes(self, estimator):
        X, y = data(estimator)
        with pytest.raises(DataError, match="0 sample"):
            short(estimator).fit(X[:0], y[:0])
        fitted = short(estimator).fit(X, y)
        with pytest.raises(DataError, match=f"X has 5 features, but {type(estimator).__name__} is expecting 6"):
            fitted.transform(X[:, :5])

    def test_a_constant_column_gives_finite_numbers(self, estimator):
        X, y = data(estimator)
        X = X * 3 - 1 if not isinstance(estimator, BernoulliRBM) else X
        X[:, 0] = 0.3
        for out in outputs(short(estimator).fit(X, y), X):
            assert np.isfinite(out).all()

    def test_settings_outside_their_limits(self, estimator):
        X, y = data(estimator)
        for name, value in (("learning_rate", -0.1), ("batch_size", 0), ("batch_size", 2.5), ("verbose", -1)):
            with pytest.raises(SettingError, match=name):
                short(estimator).set_params(**{name: value}).fit(X, y)
        with pytest.raises(DeviceError, match="nowhere"):
            short(estimator).set_params(device="nowhere").fit(X, y)

    def test_another_length_of_y(self, estimator):
        X, y = data(estimator)
        if hasattr(estimator, "predict"):
            with pytest.raises(DataError, match=r"29 .* 30 rows"):
                short(estimator).fit(X, y[:-1])
