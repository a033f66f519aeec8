import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, DivergenceError
from lamina.estimators import GaussianRBM
from lamina.inference import exact_log_partition


def blobs(n=300, seed=0):
    """Two clusters in five dimensions, in odd units."""
    generator = np.random.default_rng(seed)
    which = generator.integers(0, 2, n)
    centres = np.array([[0.0] * 5, [4.0] * 5])
    return (centres[which] + generator.normal(size=(n, 5))) * [1, 10, 100, 1, 0.01] + [0, 5, -300, 0, 7], which


def fitted(**settings):
    return GaussianRBM(4, epochs=60, learning_rate=0.01, batch_size=20, random_state=0, **settings).fit(blobs()[0])


def test_features_tell_the_clusters_apart():
    X, which = blobs()
    codes = fitted().transform(X)
    gap = np.abs(codes[which == 0].mean(0) - codes[which == 1].mean(0))
    assert gap.max() > 0.5


def test_inverse_transform_comes_back_in_the_units_of_the_data():
    X, _ = blobs()
    rbm = fitted()
    error = (rbm.inverse_transform(rbm.transform(X)) - X).var(0) / X.var(0)
    assert error.max() < 0.6  # the cluster explains most of each column, whatever its unit
    with pytest.raises(DataError, match="5 features; the model was fitted with 4"):
        rbm.inverse_transform(np.zeros((2, 5)))


def test_score_samples_is_log_p_up_to_log_z():
    """By quadrature on one visible unit: ∫ exp(score) dx = Z, in standardised units."""
    X = np.random.default_rng(0).normal(3, 2, (100, 1))
    rbm = GaussianRBM(3, epochs=5, random_state=0).fit(X)
    grid = np.linspace(-12, 12, 4001)[:, None]
    score = rbm.score_samples(grid * rbm.scale_ + rbm.mean_)
    z = np.exp(score).sum() * (grid[1, 0] - grid[0, 0])
    assert np.log(z) == pytest.approx(exact_log_partition(rbm.rbm_), abs=1e-6)


def test_fitted_arrays_are_the_machines():
    X, _ = blobs()
    rbm = fitted(learn_sigma=True)
    v = (X - rbm.mean_) / rbm.scale_
    field = (v / rbm.sigma_**2) @ rbm.components_.T + rbm.intercept_hidden_
    np.testing.assert_allclose(rbm.transform(X), 1 / (1 + np.exp(-field)), rtol=1e-9)
    assert rbm.sigma_.shape == (5,)
    assert not np.allclose(rbm.sigma_, 1)
    assert np.all(fitted().sigma_ == 1)


def test_rows_that_are_not_standardised():
    X, _ = blobs()
    with pytest.raises(DataError, match="not standardised"):
        GaussianRBM(4, standardise=False).fit(X)
    Z = (X - X.mean(0)) / X.std(0)
    rbm = GaussianRBM(4, epochs=2, standardise=False, random_state=0).fit(Z)
    assert np.all(rbm.mean_ == 0)
    assert np.all(rbm.scale_ == 1)


def test_sorted_rows_are_taken():
    """The first rows alone are far from mean 0, the whole is not."""
    X = np.sort(np.random.default_rng(0).normal(size=(5000, 2)), axis=0)
    assert np.isfinite(GaussianRBM(2, epochs=1, random_state=0).fit(X).components_).all()


def test_constant_columns_have_scale_one():
    X, _ = blobs()
    X[:, 1] = 7.3
    rbm = GaussianRBM(2, epochs=1, random_state=0).fit(X)
    assert rbm.scale_[1] == 1
    assert rbm.mean_[1] == pytest.approx(7.3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_is_kept(dtype):
    X = blobs()[0].astype(dtype)
    rbm = GaussianRBM(2, epochs=1, random_state=0).fit(X)
    assert next(rbm.rbm_.parameters()).dtype == {np.float32: torch.float32, np.float64: torch.float64}[dtype]
    assert rbm.transform(X).dtype == dtype


def test_one_row_is_too_few():
    with pytest.raises(DataError, match="minimum of 2"):
        GaussianRBM(2).fit([[1.0, 2.0]])


def test_divergence():
    with pytest.raises(DivergenceError, match="lower learning_rate"):
        GaussianRBM(50, learning_rate=100.0, epochs=200, random_state=0).fit(blobs()[0].astype(np.float32))


def test_progress_only_if_verbose(capsys):
    GaussianRBM(2, epochs=2, random_state=0).fit(blobs()[0])
    assert capsys.readouterr() == ("", "")
    GaussianRBM(2, epochs=2, random_state=0, verbose=1).fit(blobs()[0])
    assert "GaussianRBM: epoch 2/2" in capsys.readouterr().err
