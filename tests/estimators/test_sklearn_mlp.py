"""scikit-learn's own tests of its perceptrons, run with ours in their place.

Its installed test module is imported, its global names replaced and its tests run, each with its parameters. Left out,
and adapted below, are only those that reach for private names.
"""

import inspect
import itertools
import warnings

import numpy as np
import pytest
import sklearn.neural_network as theirs_room
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network.tests import test_mlp as theirs

from lamina.estimators import MLPClassifier, MLPRegressor

OURS = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
ADAPTED = {
    "test_gradient": "calls the private _loss_grad_lbfgs with arrays to be filled",
    "test_learning_rate_warmstart": "reads the private _optimizer.learning_rate",
    "test_adaptive_learning_rate": "reads the private _optimizer.learning_rate",
    "test_n_iter_no_change_inf": "makes 3,000 passes and reads the private _no_improvement_count",
}
THEIRS = {theirs_room.MLPClassifier: MLPClassifier, theirs_room.MLPRegressor: MLPRegressor}


def _cases():
    """(function, arguments) for each test and each of its parameters, their classes replaced by ours."""
    for name, function in inspect.getmembers(theirs, inspect.isfunction):
        if not name.startswith("test_") or name in ADAPTED:
            continue
        choices = []
        for mark in getattr(function, "pytestmark", []):
            if mark.name == "parametrize":
                names = [n.strip() for n in mark.args[0].split(",")]
                values = [value if len(names) > 1 else (value,) for value in mark.args[1]]
                choices.append([dict(zip(names, value, strict=True)) for value in values])
        for k, combination in enumerate(itertools.product(*choices)):
            found = {key: value for part in combination for key, value in part.items()}
            arguments = {key: THEIRS.get(v, v) if inspect.isclass(v) else v for key, v in found.items()}
            yield pytest.param(function, arguments, id=f"{name}-{k}")


@pytest.fixture
def global_random_seed():
    return 42


@pytest.fixture(autouse=True)
def ours_in_their_place(monkeypatch):
    for name, cls in OURS.items():
        monkeypatch.setattr(theirs, name, cls)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "arguments"), list(_cases()))
def test_scikit_learns_test_passes(function, arguments, request):
    wanted = set(inspect.signature(function).parameters) - set(arguments)
    function(**arguments, **{name: request.getfixturevalue(name) for name in wanted})


def test_every_test_is_run_or_adapted():
    names = {name for name in vars(theirs) if name.startswith("test_")}
    run = {case.values[0].__name__ for case in _cases()}
    assert run | set(ADAPTED) == names
    assert len(run) >= 37


def few_rows():
    return theirs.X_digits_binary[:100], theirs.y_digits_binary[:100]


def test_learning_rate_warmstart():
    """Adapted: by the steps that the second fit takes, against scikit-learn's from the same weights."""
    X, y = [[3, 2], [1, 6], [5, 6], [-2, -4]], [1, 1, 1, 0]
    for kind in ("invscaling", "constant"):
        settings = {"solver": "sgd", "hidden_layer_sizes": 4, "learning_rate": kind, "max_iter": 1, "power_t": 0.25}
        fitted = []
        for cls in (theirs_room.MLPClassifier, MLPClassifier):
            with pytest.warns(ConvergenceWarning):
                fitted.append(
                    cls(**settings, warm_start=True, random_state=0).fit(X, y).set_params(max_iter=4).fit(X, y)
                )
        np.testing.assert_allclose(fitted[1].coefs_[0], fitted[0].coefs_[0], rtol=1e-12)


def test_adaptive_learning_rate():
    """Adapted: the passes until the rate is too small to be cut again, against scikit-learn's."""
    X, y = [[3, 2], [1, 6]], [1, 0]
    settings = {"tol": 0.5, "max_iter": 3000, "solver": "sgd", "learning_rate": "adaptive", "random_state": 0}
    passes = [cls(**settings).fit(X, y).n_iter_ for cls in (theirs_room.MLPClassifier, MLPClassifier)]
    assert passes[0] == passes[1] < 3000


def test_n_iter_no_change_inf():
    """Adapted: fewer passes, and none of them counted as progress shows in the loss alone."""
    X, y = few_rows()
    with pytest.warns(ConvergenceWarning):
        fitted = MLPClassifier(tol=1e9, max_iter=60, solver="sgd", n_iter_no_change=np.inf).fit(X, y)
    assert fitted.n_iter_ == 60


def test_gradient():
    """Adapted: the gradient that one step of plain descent shows, against differences of the loss."""
    generator = np.random.default_rng(42)
    X, y = generator.random((5, 10)), 1 + np.arange(5) % 3
    for activation in theirs.ACTIVATION_TYPES:
        settings = {"activation": activation, "hidden_layer_sizes": 4, "alpha": 0.3, "random_state": 1, "max_iter": 1}
        step = MLPClassifier(solver="sgd", momentum=0, learning_rate_init=1e-3, **settings)
        start = step.partial_fit(X, y, classes=[1, 2, 3]).coefs_[0].copy()
        gradient = (start - step.partial_fit(X, y).coefs_[0]) / 1e-3
        theirs_at = theirs_room.MLPClassifier(solver="sgd", **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs_at.fit(X, y)
        values = []
        for sign in (1, -1):  # their loss, from our weights before the step, moved along one of them
            theirs_at.coefs_ = [W.copy() for W in _before(step, settings, X, y)[0]]
            theirs_at.intercepts_ = [b.copy() for b in _before(step, settings, X, y)[1]]
            theirs_at.coefs_[0][2, 1] += sign * 1e-5
            theirs_at.partial_fit(X, y)
            values.append(theirs_at.loss_)
        assert gradient[2, 1] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-7)


def _before(step, settings, X, y):
    """Weights and biases after the first of two partial fits."""
    again = MLPClassifier(solver="sgd", momentum=0, learning_rate_init=1e-3, **settings)
    again.partial_fit(X, y, classes=[1, 2, 3])
    return again.coefs_, again.intercepts_
