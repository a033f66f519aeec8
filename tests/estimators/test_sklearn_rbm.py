"""scikit-learn's own tests of its BernoulliRBM, run with ours in its place.

Its installed test module is imported and its global name replaced. Left out and adapted below are only the tests that
call private names (``_mean_hiddens``, ``_sample_hiddens``), and the one whose weights to four digits are those of
NumPy's random stream (its own comment: "this test is very seed-dependent").
"""

import inspect
import itertools

import numpy as np
import pytest
from scipy.special import expit
from sklearn.neural_network.tests import test_rbm as theirs
from sklearn.utils.fixes import CSC_CONTAINERS

from lamina.core.random import Random
from lamina.estimators import BernoulliRBM

ADAPTED = {
    "test_transform": "calls the private _mean_hiddens",
    "test_sample_hiddens": "calls the private _mean_hiddens and _sample_hiddens",
    "test_fit_gibbs": "holds weights against four digits that NumPy's random stream gave",
}


def _cases():
    """(function, arguments) for each public test and each of its parameters."""
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
            arguments = {key: value for part in combination for key, value in part.items()}
            yield pytest.param(function, arguments, id=f"{name}-{k}")


@pytest.mark.parametrize(("function", "arguments"), list(_cases()))
def test_scikit_learns_test_passes(function, arguments, monkeypatch, request):
    monkeypatch.setattr(theirs, "BernoulliRBM", BernoulliRBM)
    wanted = set(inspect.signature(function).parameters) - set(arguments)
    function(**arguments, **{name: request.getfixturevalue(name) for name in wanted})


def test_every_public_test_is_run_or_adapted():
    names = {name for name in vars(theirs) if name.startswith("test_")}
    run = {case.values[0].__name__ for case in _cases()}
    assert run | set(ADAPTED) == names
    assert len(run) >= 11


def test_transform():
    """Adapted: against the formula instead of ``_mean_hiddens``."""
    X = theirs.Xdigits[:100]
    rbm = BernoulliRBM(n_components=16, batch_size=5, n_iter=5, random_state=42).fit(X)
    np.testing.assert_allclose(rbm.transform(X), expit(X @ rbm.components_.T + rbm.intercept_hidden_), rtol=1e-12)


def test_sample_hiddens():
    """Adapted: samples of the public machine instead of ``_sample_hiddens``; as many draws, the same tolerance."""
    X = theirs.Xdigits[:100]
    rbm = BernoulliRBM(n_components=2, batch_size=5, n_iter=5, random_state=42).fit(X)
    v = X[:1]
    machine, random = rbm.rbm_, Random(0)
    row = machine.W.new_tensor(v)
    drawn = np.mean([machine.sample_h_from_v(row, random).detach().numpy()[0] for _ in range(100)], 0)
    np.testing.assert_almost_equal(drawn, rbm.transform(v)[0], decimal=1)


@pytest.mark.parametrize("container", CSC_CONTAINERS)
def test_fit_gibbs(container):
    """Adapted: without the four digits; sparse and dense agree exactly, weights are still small."""
    X = np.array([[0.0], [1.0]])
    settings = {"n_components": 2, "batch_size": 2, "n_iter": 42}
    dense = BernoulliRBM(**settings, random_state=np.random.RandomState(42)).fit(X)
    sparse = BernoulliRBM(**settings, random_state=np.random.RandomState(42)).fit(container(X))
    np.testing.assert_array_equal(dense.components_, sparse.components_)
    assert np.abs(dense.components_).max() < 0.1
    drawn = dense.gibbs(X)
    np.testing.assert_array_equal(drawn, sparse.gibbs(container(X)))
    assert set(np.unique(drawn)) <= {0, 1}
