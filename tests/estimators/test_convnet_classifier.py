"""ConvNetClassifier: scikit-learn's checks, its networks, images of all kinds."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, DeviceError, LabelError, SettingError
from lamina.estimators import ConvNetClassifier
from lamina.estimators.convnet_classifier import default_layers, flat_rows
from lamina.estimators.limits import LIMITS, check_settings
from lamina.models.networks import Convolution, Dense, Dropout, MaxPooling
from lamina.training import ElasticDistortion

SMALL = [Convolution(2, 3, padding=1), Dense(20)]  # for rows of any length
TINY = [Convolution(4, 3, padding=1), MaxPooling(2), Dense(10)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([ConvNetClassifier(SMALL, epochs=8, batch_size=30, learning_rate=0.05, random_state=0)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


def small(**settings):
    defaults = {"layers": TINY, "shape": (1, 8, 8), "epochs": 2, "random_state": 0}
    return ConvNetClassifier(**defaults | settings)


def test_it_learns_digits(digits):
    X, y = digits
    layers = (Convolution(8, 3, padding=1), MaxPooling(2), Dense(32))
    fitted = small(layers=layers, epochs=12, learning_rate=0.006, batch_size=20).fit(X[:200], y[:200])
    assert fitted.score(X[200:], y[200:]) > 0.85
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert fitted.layers_ == layers
    assert (fitted.mean_, fitted.scale_) == (0, 1)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8)])
def test_arrays_of_images_are_rows(digits, shape):
    X, y = digits
    images = X.reshape(-1, *shape)
    one = small().fit(X, y)
    two = small(shape=None).fit(images, y)
    assert two.shape_ == (1, 8, 8)
    assert two.n_features_in_ == 64
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(images))
    np.testing.assert_array_equal(one.predict(X), one.predict(images))


def test_channels_are_standardised_and_lists_of_rows_are_signals(digits):
    X, y = digits
    images = np.stack([X * 16, 255 * (1 - X)], 1).reshape(-1, 2, 8, 8)
    fitted = small(shape=None).fit(images, y)
    np.testing.assert_allclose(fitted.mean_, [images[:, c].mean() for c in range(2)])
    np.testing.assert_allclose(fitted.scale_, [images[:, c].std() for c in range(2)])
    assert small(shape=None, layers=[Convolution(2, 3), Dense(4)]).fit(X[:20], y[:20] % 2).shape_ == (1, 64)
    assert flat_rows([[1.0, 2.0]]) == ([[1.0, 2.0]], None)


def test_default_layers():
    """28: three stages to 3 × 3; 8: two; a row of two values: none."""
    assert [type(one).__name__ for one in default_layers((1, 28, 28))].count("Convolution") == 3
    assert default_layers((3, 8, 8), 0.0) == [
        Convolution(16, 3, padding=1),
        MaxPooling(2),
        Dense(128),
    ]
    assert default_layers((1, 2)) == [Dense(128), Dropout(0.25)]
    X = np.random.default_rng(0).random((20, 40))
    assert small(layers=None, shape=None).fit(X, np.arange(20) % 2).predict(X).shape == (20,)


@pytest.mark.parametrize(("name", "side"), [("lenet5", 28), ("lenet1989", 16)])
def test_lenets(name, side):
    X, y = np.random.default_rng(0).random((12, side, side)), np.arange(12) % 3
    fitted = ConvNetClassifier(name, epochs=1, random_state=0).fit(X, y)
    assert fitted.predict_proba(X).shape == (12, 3)
    assert fitted.network_.activation == "scaled_tanh"
    with pytest.raises(DataError, match=f"{name} reads"):
        ConvNetClassifier(name, epochs=1).fit(X[:, 2:], y)


def test_distortions(digits):
    X, y = digits
    X, y = X[:60], y[:60]
    plain, elastic = small().fit(X, y), small(augment="elastic").fit(X, y)
    assert not np.array_equal(plain.predict_proba(X), elastic.predict_proba(X))
    made = elastic._distortion()
    assert isinstance(made, ElasticDistortion)
    assert made.displacement_sd / 8 == pytest.approx(1.38 / 28, rel=0.1)
    own = small(augment=ElasticDistortion(4 * 8 / 28, 34 * (8 / 28) ** 2, (1, 8, 8))).fit(X, y)
    np.testing.assert_array_equal(own.predict_proba(X), elastic.predict_proba(X))
    for wrong, message in (("elastics", "expected 'elastic'"), (3, "augment is 3")):
        with pytest.raises(SettingError, match=message):
            small(augment=wrong).fit(X, y)
    with pytest.raises(SettingError, match="distorts images"):
        small(augment="elastic", shape=None, layers=[Dense(3)]).fit(X, y)


def test_early_stopping_keeps_the_best(digits):
    X, y = digits
    fitted = small(epochs=30, learning_rate=0.05, validation_fraction=0.2, patience=2, batch_size=30).fit(X, y)
    losses = fitted.history_["validation loss"]
    best = int(np.argmin(losses))
    assert len(losses) < 30
    assert fitted.history_.best_epoch == best + 1
    with pytest.raises(SettingError, match="validation_fraction"):
        small(patience=2).fit(X, y)


def test_class_weights_move_the_boundary(digits):
    X, y = digits
    y = (y == 3).astype(int)
    settings = {"epochs": 4, "learning_rate": 0.01}
    means = [
        small(class_weight=weight, **settings).fit(X, y).predict_proba(X)[:, 1].mean()
        for weight in (None, "balanced", {0: 1.0, 1: 100.0})
    ]
    assert means[0] < means[1] < means[2]
    with pytest.raises(SettingError, match="class_weight is 'even'"):
        small(class_weight="even").fit(X, y)


def test_unlabelled_rows_are_left_out(digits):
    X, y = digits
    some = np.where(np.arange(300) < 100, y, -1)
    np.testing.assert_array_equal(
        small(visible="bernoulli").fit(X, some).predict_proba(X),
        small(visible="bernoulli").fit(X[:100], y[:100]).predict_proba(X),
    )


def test_pickles_seeds_and_types(digits):
    X, y = digits
    fitted = small(dropout=0.5, layers=None).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(clone(fitted).fit(X, y).predict_proba(X), fitted.predict_proba(X))
    other = clone(fitted).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.predict_proba(X), fitted.predict_proba(X))
    assert fitted.predict_proba(X).dtype == np.float32
    assert small(dtype="float64").fit(X, y).predict_proba(X.astype(np.float32)).dtype == np.float64


def test_bad_input(digits):
    X, y = digits
    elsewhere = {"random_state", "device", "unlabelled", "shape", "layers", "augment", "class_weight"}
    assert set(ConvNetClassifier().get_params()) - elsewhere <= set(LIMITS)
    check_settings(ConvNetClassifier())
    for settings, error, message in (
        ({"shape": (1, 7, 8)}, DataError, "56 values"),
        ({"layers": "lenet"}, SettingError, "lenet5"),
        ({"layers": [3]}, SettingError, "layers holds 3"),
        ({"layers": [Convolution(2, 9)]}, SettingError, "9"),
        ({"learning_rate": 0.0}, SettingError, "learning_rate"),
        ({"visible": "bernouli"}, SettingError, "bernoulli"),
        ({"device": "nowhere"}, DeviceError, "nowhere"),
    ):
        with pytest.raises(error, match=message):
            small(**settings).fit(X, y)
    bad = X.copy()
    bad[4, 2] = np.nan
    with pytest.raises(DataError, match=r"row\(s\) 4, column\(s\) 2"):
        small().fit(bad, y)
    with pytest.raises(LabelError, match="299 labels for 300 rows"):
        small().fit(X, y[:-1])
    with pytest.raises(LabelError, match="at least 2 classes"):
        small().fit(X, np.zeros(300))
    with pytest.raises(DataError, match="X has 63 features"):
        small().fit(X, y).predict(X[:, 1:])
