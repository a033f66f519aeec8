"""BernoulliRBM beyond scikit-learn's own tests."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.neural_network import BernoulliRBM as Theirs

from lamina.core.errors import DataError, DivergenceError
from lamina.estimators import BernoulliRBM
from lamina.inference import binary_states, exact_log_partition


def bars(n=200, seed=0):
    """Rows of 6 values whose halves agree: two patterns and a little noise."""
    generator = np.random.default_rng(seed)
    rows = np.repeat(generator.integers(0, 2, (n, 2)), 3, axis=1)
    return np.abs(rows - (generator.random(rows.shape) < 0.02)).astype(np.float64)


def test_parameters_are_scikit_learns_in_order_with_their_defaults():
    theirs, ours = Theirs().get_params(), BernoulliRBM().get_params()
    assert {name: ours[name] for name in theirs} == theirs


def test_attributes_have_scikit_learns_names_and_shapes():
    X = bars(40)
    theirs, ours = (
        cls(n_components=5, batch_size=8, n_iter=2, random_state=0).fit(X) for cls in (Theirs, BernoulliRBM)
    )
    for name in ("components_", "intercept_hidden_", "intercept_visible_", "h_samples_"):
        assert getattr(ours, name).shape == getattr(theirs, name).shape
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype
    assert set(np.unique(ours.h_samples_)) <= {0.0, 1.0}


def test_it_learns_the_distribution():
    """Exact mean log-likelihood per row, by enumeration, against that of independent units."""
    X = bars()
    rbm = BernoulliRBM(n_components=4, learning_rate=0.1, n_iter=250, batch_size=20, random_state=0).fit(X)
    machine = rbm.rbm_
    with torch.no_grad():
        ours = float((-machine.free_energy(torch.tensor(X)) - exact_log_partition(machine)).mean())
    p = X.mean(0)
    independent = float((X * np.log(p) + (1 - X) * np.log(1 - p)).sum(1).mean())
    assert ours > independent + 1.0


def test_score_samples_is_the_pseudo_likelihood():
    """With one feature there is one value to flip: n · log p(x) exactly, by enumeration."""
    X = np.array([[0.0], [1.0], [1.0]])
    rbm = BernoulliRBM(n_components=3, n_iter=20, random_state=0).fit(X)
    machine = rbm.rbm_
    with torch.no_grad():
        log_p = torch.log_softmax(-machine.free_energy(binary_states(1)), 0).numpy()
    np.testing.assert_allclose(rbm.score_samples(X), log_p[[0, 1, 1]], rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_type_is_kept(dtype, method):
    rbm = getattr(BernoulliRBM(3, random_state=0), method)(bars(20).astype(dtype))
    assert {getattr(rbm, name).dtype for name in ("components_", "intercept_hidden_", "h_samples_")} == {
        np.dtype(dtype)
    }
    assert rbm.transform(bars(4)).dtype == np.float64  # the wider of the two types


def test_sparse_rows_give_what_dense_rows_give():
    X = bars(60)
    dense = BernoulliRBM(4, n_iter=3, random_state=0, batch_size=7).fit(X)
    for container in (sparse.csr_array, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array):
        other = BernoulliRBM(4, n_iter=3, random_state=0, batch_size=7).fit(container(X))
        np.testing.assert_array_equal(other.components_, dense.components_)
        np.testing.assert_array_equal(other.transform(container(X)), dense.transform(X))
        np.testing.assert_array_equal(other.score_samples(container(X)), dense.score_samples(X))
    bad = sparse.csr_array(X)
    bad.data[0] = np.inf
    with pytest.raises(DataError, match="infinite"):
        dense.transform(bad)


def test_partial_fit_goes_on_with_its_chains():
    X = bars(50)
    rbm = BernoulliRBM(4, batch_size=10, random_state=0)
    states = [rbm.partial_fit(X).h_samples_ for _ in range(3)]
    assert not np.array_equal(states[0], states[1])
    again = BernoulliRBM(4, batch_size=10, random_state=0).partial_fit(X).partial_fit(X).partial_fit(X)
    np.testing.assert_array_equal(again.components_, rbm.components_)
    with pytest.raises(DataError, match="X has 3 features"):
        rbm.partial_fit(X[:, :3])


def test_chains_begin_at_h_samples():
    """Units coupled so strongly in pairs that a Gibbs step changes nothing: the chains stay where they began."""
    rbm = BernoulliRBM(6, batch_size=8, n_iter=0, learning_rate=1e-6, random_state=0).fit(bars(8))
    rbm.components_ = 200.0 * np.eye(6)
    rbm.intercept_hidden_ = rbm.intercept_visible_ = np.full(6, -100.0)
    begun = bars(8, seed=3)
    rbm.h_samples_ = begun.copy()
    np.testing.assert_array_equal(rbm.partial_fit(bars(8)).h_samples_, begun)


def test_partial_fit_is_one_step_on_the_mean_gradient():
    """The positive phase by hand; the negative one is bounded by it: biases move by at most learning_rate."""
    X = np.ones((10, 6))
    rbm = BernoulliRBM(4, batch_size=1000, learning_rate=0.1, random_state=0).partial_fit(X)
    # The chains begin at means of 1/2, whose mean over 1,000 chains has a standard deviation of 0.016.
    np.testing.assert_allclose(rbm.intercept_visible_, 0.1 * (1 - 0.5), atol=0.1 * 5 * 0.016)


def test_gibbs_takes_one_row_and_goes_on():
    X = bars(30)
    rbm = BernoulliRBM(4, n_iter=2, random_state=0).fit(X)
    assert rbm.gibbs(X[0]).shape == (6,)
    assert rbm.gibbs(X).dtype == bool
    assert not np.array_equal(rbm.gibbs(X), rbm.gibbs(X))


def test_arrays_set_by_hand_count():
    rbm = BernoulliRBM(2, n_iter=0, random_state=0).fit(bars(4))
    rbm.intercept_hidden_ = np.array([50.0, -50.0])
    np.testing.assert_allclose(rbm.transform(bars(3)), [[1.0, 0.0]] * 3, atol=1e-12)


def test_values_outside_the_unit_interval_warn():
    with pytest.warns(UserWarning, match="values reach 255: scale pixels"):
        BernoulliRBM(2, n_iter=1, random_state=0).fit(bars(10) * 255)


def test_silent_unless_verbose(capsys):
    BernoulliRBM(2, n_iter=2, random_state=0).fit(bars(10))
    assert capsys.readouterr() == ("", "")
    BernoulliRBM(2, n_iter=2, random_state=0, verbose=1).fit(bars(10))
    assert capsys.readouterr().out.count("pseudo-likelihood") == 2


def test_one_row():
    assert BernoulliRBM(2, n_iter=1, random_state=0).fit(bars(1)).transform(bars(1)).shape == (1, 2)


def test_divergence():
    with pytest.warns(UserWarning, match="Bernoulli"), pytest.raises(DivergenceError, match="learning_rate"):
        BernoulliRBM(2, learning_rate=1e30, n_iter=50, random_state=0).fit(bars(20).astype(np.float32) * 1e30)
