import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from lamina.core.errors import DataError
from lamina.estimators.base import Scaling, SparseRows, at_least_steps, choose_visible, in_chunks, tensor


def test_choose_visible():
    unit = np.array([[0.0, 1.0], [0.5, 0.2]])
    assert choose_visible("auto", unit) == "bernoulli"
    assert choose_visible("auto", unit * 1.01) == "gaussian"
    assert choose_visible("auto", unit - 0.01) == "gaussian"
    assert choose_visible("gaussian", unit) == "gaussian"
    with pytest.raises(DataError, match="scale pixels"):
        choose_visible("bernoulli", unit * 255)


def test_scaling_is_standard_scalers():
    X = np.random.default_rng(0).normal(5, 3, (50, 4))
    X[:, 2] = 0.1  # constant, and not exact in binary
    theirs = StandardScaler().fit(X)
    ours = Scaling.of(X)
    np.testing.assert_allclose(ours.mean, theirs.mean_)
    np.testing.assert_allclose(ours.scale, theirs.scale_)
    np.testing.assert_allclose(ours.undo(ours.apply(X)), X, rtol=1e-12)
    assert ours.apply(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("epochs", "steps", "rows", "expected"), [(10, 200, 60_000, 10), (10, 200, 100, 200), (10, 200, 101, 100)]
)
def test_at_least_steps(epochs, steps, rows, expected):
    assert at_least_steps(epochs, steps, rows, batch_size=100) == expected


def test_sparse_rows_are_dense_when_read():
    dense = np.random.default_rng(0).random((6, 3)) * (np.arange(3) > 0)
    rows = SparseRows(sparse.csr_array(dense))
    np.testing.assert_array_equal(rows[np.array([4, 1])], dense[[4, 1]])
    assert len(rows) == 6
    assert rows[:1].nbytes == 24


def test_in_chunks_covers_all_rows_in_order(monkeypatch):
    monkeypatch.setattr("lamina.estimators.base.CHUNK", 4)
    X = np.arange(22.0).reshape(11, 2)
    out = in_chunks(lambda x: x.sum(1), sparse.csr_array(X), torch.zeros((), dtype=torch.float64))
    np.testing.assert_array_equal(out, X.sum(1))


def test_tensor_is_a_copy_even_of_read_only_rows():
    X = np.ones((2, 2))
    X.flags.writeable = False
    tensor(X, torch.float64).zero_()
    assert X.sum() == 4
