"""The estimator `Hopfield`: scikit-learn's checks, codings, recall, and input that it refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, SettingError
from lamina.estimators import Hopfield


# The checks hand real numbers, which the memory takes with a threshold.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([Hopfield(threshold=0.0, random_state=0)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def patterns(n: int = 6, columns: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n, columns))


def damaged(X: np.ndarray, share: float = 0.15) -> np.ndarray:
    flips = np.random.default_rng(1).random(X.shape) < share
    return np.where(flips, X.max() + X.min() - X, X)


@pytest.mark.parametrize("storage", ["hebbian", "storkey", "pseudo-inverse"])
@pytest.mark.parametrize("recall", ["asynchronous", "synchronous"])
def test_damaged_rows_come_back_in_their_coding(storage, recall):
    X = patterns()
    memory = Hopfield(storage=storage, recall=recall, random_state=0).fit(X)
    np.testing.assert_array_equal(memory.predict(damaged(X)), X)
    bits = (X + 1) / 2
    memory = Hopfield(storage=storage, recall=recall, random_state=0).fit(bits)
    assert memory.coding_ == "bits"
    np.testing.assert_array_equal(memory.transform(damaged(bits)), bits)
    grey = 0.5 + 0.3 * X
    memory = Hopfield(storage=storage, recall=recall, threshold=0.5, random_state=0).fit(grey)
    np.testing.assert_array_equal(memory.predict(damaged(grey)), X)


def test_integers_booleans_and_single_precision():
    X = patterns()
    np.testing.assert_array_equal(Hopfield().fit(X.astype(np.int8)).predict(X.astype(np.int8)), X)
    np.testing.assert_array_equal(Hopfield().fit(X > 0).predict(X > 0), X > 0)
    memory = Hopfield().fit(X.astype(np.float32))
    assert memory.weights_.dtype == np.float32
    assert memory.predict(X.astype(np.float32)).dtype == np.float32


def test_weights_and_scores():
    X = patterns()
    memory = Hopfield().fit(X)
    np.testing.assert_allclose(memory.weights_, X.T @ X / 80 - 6 / 80 * np.eye(80), atol=1e-15)
    expected = [x @ memory.weights_ @ x / 2 for x in X]
    np.testing.assert_allclose(memory.score_samples(X), expected)
    assert memory.score_samples(X).min() > memory.score_samples(patterns(50, seed=2)).max()


def test_fitted_again_it_forgets_and_answers_alike():
    X, other = patterns(), patterns(seed=3)
    memory = Hopfield(random_state=None).fit(X)
    np.testing.assert_array_equal(memory.predict(other), memory.predict(other))
    np.testing.assert_array_equal(memory.fit(other).weights_, Hopfield().fit(other).weights_)
    again = pickle.loads(pickle.dumps(memory))
    np.testing.assert_array_equal(again.predict(X), memory.predict(X))


def test_a_step_in_a_pipeline():
    X, y = load_digits(n_class=3, return_X_y=True)
    pipeline = make_pipeline(
        Hopfield(threshold=8.0, storage="pseudo-inverse", random_state=0), LogisticRegression(max_iter=1000)
    )
    assert pipeline.fit(X[:40], y[:40]).score(X[40:], y[40:]) > 0.6  # chance is 1/3


def test_rows_in_no_coding_or_in_another_one_are_refused():
    X = patterns()
    with pytest.raises(DataError, match=r"\[-2, 2\].*threshold="):
        Hopfield().fit(2 * X)
    with pytest.raises(DataError, match="threshold="):
        Hopfield().fit(np.where(X > 0, 1, 0) * 0.5)
    with pytest.raises(DataError, match="0 and 1 alone"):
        Hopfield().fit(X > 0).predict(X)
    with pytest.raises(DataError, match="-1 and 1 alone"):
        Hopfield().fit(X).predict(X > 0)
    X[2, 3] = np.nan
    with pytest.raises(DataError, match=r"NaN .* row\(s\) 2, column\(s\) 3"):
        Hopfield().fit(X)


def test_bad_settings():
    for settings in ({"storage": "delta"}, {"recall": "parallel"}, {"passes": 0}, {"threshold": "high"}):
        with pytest.raises(SettingError, match=next(iter(settings))):
            Hopfield(**settings).fit(patterns())
