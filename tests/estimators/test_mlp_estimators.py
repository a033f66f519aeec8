"""MLPClassifier and MLPRegressor: scikit-learn's checks, its numbers, and what goes beyond it."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn.neural_network as theirs
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, DeviceError, Interrupted, LabelError, SettingError
from lamina.core.random import Random
from lamina.estimators import MLPClassifier, MLPRegressor
from lamina.estimators.limits import LIMITS, check_settings
from lamina.models import MLP

SMALL = [
    MLPClassifier(20, max_iter=12, learning_rate_init=0.1, random_state=0),
    MLPRegressor(hidden_layer_sizes=20, max_iter=15, learning_rate_init=0.1, random_state=0),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(SMALL)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# scikit-learn's numbers ---------------------------------------------------------------------------------------------

DIGITS = tuple(a[:120] / b for a, b in zip(load_digits(return_X_y=True), (16, 1), strict=True))
DIGITS = (DIGITS[0], DIGITS[1].astype(int))
TWO = (DIGITS[0], DIGITS[1] % 2)
LABELS = make_multilabel_classification(n_samples=60, random_state=0)
REAL = make_regression(n_samples=60, n_features=5, n_targets=2, random_state=0)
REAL = (REAL[0], REAL[1] / 100)
COUNTS = (REAL[0], np.round(np.abs(REAL[1][:, 0]) * 3))


def both(kind, data, sample_weight=None, **settings):
    """Fitted by scikit-learn and by Lamina with the same seed."""
    settings = {"hidden_layer_sizes": (12, 7), "random_state": 3, "max_iter": 6} | settings
    fitted = []
    for cls in (getattr(theirs, kind), {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[kind]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.append(cls(**settings).fit(*data, sample_weight=sample_weight))
    return fitted


def same(one, other, rtol=1e-10):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol)
    assert other.loss_ == pytest.approx(one.loss_, rel=1e-9)
    assert other.n_iter_ == one.n_iter_
    assert other.out_activation_ == one.out_activation_


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "sgd", "alpha": 0.5, "batch_size": 50},
        {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False, "learning_rate_init": 0.1},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.2, "power_t": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1, "max_iter": 12},
        {"solver": "adam", "batch_size": 37, "alpha": 0.1, "activation": "tanh"},
        {"solver": "adam", "shuffle": False, "activation": "logistic", "epsilon": 1e-3, "beta_1": 0.5, "beta_2": 0.9},
        {"solver": "adam", "early_stopping": True, "n_iter_no_change": 2, "max_iter": 15, "learning_rate_init": 0.01},
        {"solver": "lbfgs", "alpha": 0.1, "activation": "identity", "max_iter": 15},
        {"solver": "adam", "hidden_layer_sizes": (), "tol": 0.1, "n_iter_no_change": 2, "max_iter": 60},
    ],
    ids=lambda s: "-".join(str(v) for v in s.values()),
)
def test_the_same_seed_gives_scikit_learns_network(settings, weighted):
    weights = np.random.default_rng(0).random(120) if weighted else None
    same(*both("MLPClassifier", DIGITS, weights, **settings))


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize(
    ("kind", "data", "settings"),
    [
        ("MLPClassifier", TWO, {}),
        ("MLPClassifier", LABELS, {}),
        ("MLPRegressor", (REAL[0], REAL[1][:, 0]), {}),
        ("MLPRegressor", COUNTS, {"loss": "poisson"}),
    ],
)
def test_every_loss_is_scikit_learns(kind, data, settings, solver):
    """Three steps of L-BFGS: a later line search may try weights at which scikit-learn cuts its logarithms."""
    settings = settings | ({"max_iter": 3} if solver == "lbfgs" else {})
    same(*both(kind, data, solver=solver, **settings), rtol=1e-7 if solver == "lbfgs" else 1e-10)


def test_several_targets():
    """With one difference: there scikit-learn's L-BFGS is handed a loss that is not the one of its gradient."""
    same(*both("MLPRegressor", REAL, np.random.default_rng(0).random(60), solver="adam"))
    one, other = both("MLPRegressor", REAL, solver="lbfgs", max_iter=60, alpha=0.01)
    assert other.loss_ <= one.loss_ * 1.05


def test_one_step_of_descent_is_scikit_learns():
    X, y = DIGITS
    step = {"solver": "sgd", "momentum": 0.0, "batch_size": 120, "max_iter": 1, "alpha": 2.0, "learning_rate_init": 0.3}
    one, other = both("MLPClassifier", DIGITS, **step)
    start = MLPClassifier(**step | {"learning_rate_init": 1e-12}, hidden_layer_sizes=(12, 7), random_state=3)
    with pytest.warns(ConvergenceWarning):
        start.fit(X, y)
    assert np.abs(other.coefs_[0] - start.coefs_[0]).max() > 1e-3
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-10)


def test_curves_and_scores_are_scikit_learns():
    one, other = both("MLPClassifier", DIGITS, early_stopping=True, max_iter=12, validation_fraction=0.2)
    np.testing.assert_allclose(other.loss_curve_, one.loss_curve_, rtol=1e-10)
    assert other.validation_scores_ == one.validation_scores_
    assert (other.t_, other.n_layers_, other.n_outputs_) == (one.t_, one.n_layers_, one.n_outputs_)
    np.testing.assert_allclose(other.predict_proba(DIGITS[0]), one.predict_proba(DIGITS[0]), rtol=1e-9)
    np.testing.assert_array_equal(other.predict(DIGITS[0]), one.predict(DIGITS[0]))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fits_and_warm_starts_are_scikit_learns(solver, tmp_path):
    """Also when the estimator was pickled in between."""
    X, y = DIGITS
    settings = {"hidden_layer_sizes": 6, "solver": solver, "random_state": 0, "learning_rate_init": 0.01, "max_iter": 3}
    one, other = theirs.MLPClassifier(**settings), MLPClassifier(**settings)
    for k in range(4):
        rows = slice(30 * k, 30 * k + 30)
        other = pickle.loads(pickle.dumps(other)) if k == 2 else other
        for estimator in (one, other):
            estimator.partial_fit(X[rows], y[rows], classes=np.arange(10))
    same(one, other)
    assert other.t_ == one.t_ == 120
    for estimator in (one, other):
        with pytest.warns(ConvergenceWarning):
            estimator.set_params(warm_start=True).fit(X, y)
    same(one, other)
    assert len(other.loss_curve_) == len(one.loss_curve_) == 7


def test_parameters_are_scikit_learns_in_order_with_their_defaults():
    for cls in (MLPClassifier, MLPRegressor):
        ours, known = cls().get_params(), getattr(theirs, cls.__name__)().get_params()
        assert {name: ours[name] for name in known} == known
        check_settings(cls())
        elsewhere = {"random_state", "device", "class_weight"}
        assert set(ours) - elsewhere <= set(LIMITS) | set(cls.limits)


def test_sparse_rows_are_dense_rows():
    X, y = DIGITS
    settings = {"hidden_layer_sizes": 5, "max_iter": 2, "random_state": 0, "batch_size": 50}
    with pytest.warns(ConvergenceWarning):
        dense = MLPClassifier(**settings).fit(X, y)
    for container in (sparse.csr_array, sparse.csc_matrix):
        with pytest.warns(ConvergenceWarning):
            other = MLPClassifier(**settings).fit(container(X), y)
        np.testing.assert_array_equal(other.coefs_[0], dense.coefs_[0])
        np.testing.assert_array_equal(other.predict_proba(container(X)), dense.predict_proba(X))


# beyond scikit-learn ------------------------------------------------------------------------------------------------


def quiet(estimator, X=DIGITS[0], y=DIGITS[1], **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(estimator).set_params(**settings).fit(X, y)


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "leaky_relu"},
        {"activation": "prelu"},
        {"activation": "maxout", "pieces": 3},
        {"activation": "softplus", "hidden_layer_sizes": (10, 10)},
        {"dropout": 0.3, "input_dropout": 0.1},
        {"solver": "adagrad", "learning_rate_init": 0.1},
        {"solver": "rmsprop"},
        {"activation": "maxout", "solver": "lbfgs"},
        {"max_norm": 1.0, "dropout": 0.2},
        {"dtype": "float32"},
    ],
    ids=lambda s: "-".join(f"{v}" for v in s.values()),
)
def test_more_activations_solvers_and_restraints_learn(settings):
    fitted = quiet(MLPClassifier(20, max_iter=25, learning_rate_init=0.03, random_state=0), **settings)
    assert fitted.score(*DIGITS) > 0.85
    assert isinstance(fitted.network_, MLP)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(DIGITS[0]), fitted.predict_proba(DIGITS[0]))


def test_seeds():
    fitted = MLPClassifier(6, max_iter=2, activation="maxout", dropout=0.2, random_state=0)
    one, two, other = (quiet(fitted, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])


def test_max_norm_holds_and_prelu_learns_its_slopes():
    fitted = quiet(MLPClassifier(8, max_iter=30, max_norm=0.5, activation="prelu", random_state=0))
    assert np.linalg.norm(fitted.coefs_[0], axis=0).max() <= 0.5 + 1e-9
    assert len(fitted.slopes_) == 1
    assert np.abs(fitted.slopes_[0] - 0.25).max() > 1e-3


def test_class_weights_are_row_weights():
    X, y = DIGITS
    settings = {"hidden_layer_sizes": 6, "max_iter": 5, "random_state": 0}
    counts = {k: 1.0 + (k == 3) * 4 for k in range(10)}
    by_class = quiet(MLPClassifier(class_weight=counts, **settings))
    with pytest.warns(ConvergenceWarning):
        by_row = MLPClassifier(**settings).fit(X, y, sample_weight=np.where(y == 3, 5.0, 1.0))
    np.testing.assert_allclose(by_class.coefs_[0], by_row.coefs_[0], rtol=1e-12)
    with pytest.raises(SettingError, match="needs all rows at once"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=np.arange(10))
    with pytest.raises(SettingError, match="class_weight is 'even'"):
        MLPClassifier(class_weight="even").fit(X, y)


def test_a_batch_without_weight_teaches_nothing():
    X, y = DIGITS
    weights = np.r_[np.ones(60), np.zeros(60)]
    settings = {"hidden_layer_sizes": 5, "max_iter": 1, "random_state": 0, "batch_size": 60, "shuffle": False}
    with pytest.warns(ConvergenceWarning):
        whole = MLPClassifier(solver="sgd", momentum=0, **settings).fit(X, y, sample_weight=weights)
    with pytest.warns(ConvergenceWarning):
        half = MLPClassifier(solver="sgd", momentum=0, **settings).fit(X[:60], y[:60])
    np.testing.assert_allclose(whole.coefs_[0], half.coefs_[0], rtol=1e-12)


def test_arrays_set_by_hand_count():
    fitted = quiet(MLPRegressor(hidden_layer_sizes=4, max_iter=2, random_state=0), *REAL)
    fitted.intercepts_[-1] = fitted.intercepts_[-1] + 5.0
    before = fitted.predict(REAL[0])
    fitted.intercepts_[-1] = fitted.intercepts_[-1] - 5.0
    np.testing.assert_allclose(before - fitted.predict(REAL[0]), 5.0, rtol=1e-9)
    fitted.intercepts_[-1][:] += 1.0  # in place, in the network's own memory
    np.testing.assert_allclose(before - fitted.predict(REAL[0]), 4.0, rtol=1e-9)


def test_probabilities_in_the_far_tails():
    fitted = quiet(MLPClassifier((), max_iter=1, random_state=0), X=TWO[0], y=TWO[1])
    fitted.coefs_ = [np.full((64, 1), 100.0)]
    logs = fitted.predict_log_proba(TWO[0])
    assert np.isfinite(logs).all()
    assert logs.min() < -800
    assert fitted.predict_proba(TWO[0]).min() == 0.0


@pytest.mark.parametrize("random_state", [Random(4), np.random.default_rng(4)])
def test_other_sources_of_random_numbers(random_state):
    fitted = quiet(MLPRegressor(hidden_layer_sizes=4, max_iter=2), *REAL, random_state=random_state)
    assert np.isfinite(fitted.predict(REAL[0])).all()
    if isinstance(random_state, Random):
        again = quiet(MLPRegressor(hidden_layer_sizes=4, max_iter=2), *REAL, random_state=Random(4))
        np.testing.assert_array_equal(again.coefs_[0], fitted.coefs_[0])


def test_it_works_in_a_grid():
    search = GridSearchCV(MLPClassifier(max_iter=3, random_state=0), {"dropout": [0.0, 0.5]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(*TWO)
    assert search.best_params_["dropout"] in (0.0, 0.5)


def test_a_network_that_diverges_keeps_its_best_weights():
    X, y = REAL[0] * 1e3, REAL[1]
    wild = {"solver": "sgd", "learning_rate_init": 1.0, "activation": "identity", "random_state": 0}
    with pytest.raises(DataError, match=r"non-finite parameter weights.*learning_rate"):
        MLPRegressor(**wild).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="the best weights before are kept"):
        kept = MLPRegressor(early_stopping=True, **wild).fit(X, y)
    assert np.isnan(kept.validation_scores_[-1])
    assert len(kept.validation_scores_) == len(kept.loss_curve_) == kept.n_iter_
    assert np.isfinite(kept.predict(X)).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"activation": "sigmoidal"}, SettingError, "did you mean 'sigmoid'"),
        ({"solver": "newton"}, SettingError, "solver is 'newton'"),
        ({"alpha": -1}, SettingError, "alpha is -1"),
        ({"batch_size": "all"}, SettingError, "batch_size is 'all'"),
        ({"learning_rate": 0.1}, SettingError, "learning_rate is 0.1"),
        ({"n_iter_no_change": 0.5}, SettingError, "n_iter_no_change"),
        ({"hidden_layer_sizes": (5, 0)}, SettingError, r"hidden_layer_sizes\[1\] is 0"),
        ({"max_norm": 0}, SettingError, "max_norm"),
        ({"beta_1": 1.0}, SettingError, "beta_1"),
        ({"device": "nowhere"}, DeviceError, "nowhere"),
        ({"random_state": "seed"}, ValueError, "seed"),
    ],
)
def test_settings_outside_their_limits(settings, error, message):
    with pytest.raises(error, match=message):
        MLPClassifier(**settings).fit(*DIGITS)


def test_bad_rows_and_targets():
    X, y = DIGITS
    bad = X.copy()
    bad[4, 2] = np.nan
    with pytest.raises(DataError, match=r"1 NaN or infinite .* row\(s\) 4, column\(s\) 2"):
        MLPClassifier().fit(bad, y)
    with pytest.raises(DataError, match="at least one non-zero"):
        MLPClassifier().fit(X, y, sample_weight=np.zeros(120))
    with pytest.raises(DataError, match="targets of at least 0"):
        MLPRegressor(loss="poisson").fit(*REAL)
    with pytest.raises(LabelError, match="classes must be passed"):
        MLPClassifier().partial_fit(X, y)
    with pytest.raises(LabelError, match="classes not in"):
        MLPClassifier(random_state=0).partial_fit(X, y % 3, classes=[0, 1, 2]).partial_fit(X, y)
    with pytest.raises(SettingError, match="early_stopping"):
        MLPRegressor(early_stopping=True).partial_fit(*REAL)
    with pytest.warns(UserWarning, match="clipped"), pytest.warns(ConvergenceWarning):
        MLPRegressor(batch_size=500, max_iter=1).fit(*REAL)


def test_an_interrupted_fit_keeps_what_it_has(monkeypatch):
    from lamina.estimators import convergence

    def stop(self, record, epochs):
        original(self, record, epochs)
        if record.epoch == 2:
            raise Interrupted("Ctrl-C")

    original = convergence.Convergence.on_epoch
    monkeypatch.setattr(convergence.Convergence, "on_epoch", stop)
    with pytest.warns(UserWarning, match="interrupted"):
        fitted = MLPClassifier(5, max_iter=9, random_state=0).fit(*DIGITS)
    assert fitted.n_iter_ == 2
    assert fitted.predict(DIGITS[0]).shape == (120,)


def test_lines_are_worded_as_scikit_learns(capsys):
    settings = {"max_iter": 30, "random_state": 0, "verbose": True, "tol": 10.0, "n_iter_no_change": 1}
    theirs.MLPRegressor(early_stopping=True, **settings).fit(REAL[0], REAL[1][:, 0])
    said = capsys.readouterr().out
    MLPRegressor(early_stopping=True, **settings).fit(REAL[0], REAL[1][:, 0])
    assert capsys.readouterr().out == said
    assert "Stopping." in said


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    fitted = quiet(MLPClassifier(10, max_iter=20, random_state=0, device="cuda"))
    here = quiet(MLPClassifier(10, max_iter=20, random_state=0))
    np.testing.assert_allclose(fitted.coefs_[0], here.coefs_[0], rtol=1e-6)
