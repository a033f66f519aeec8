import numpy as np
import pytest
import torch

from lamina.core.errors import DataError
from lamina.estimators import DBNRegressor

QUICK = {"hidden": (8,), "epochs_pretrain": 2, "epochs": 3, "random_state": 0}


def rows(n=150, seed=0):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, 4)) * [1, 10, 0.1, 1]
    return X, 1e4 + 300 * np.tanh(X[:, 0]) + 20 * X[:, 1]


def test_defaults_learn_small_data_in_any_unit():
    X, y = rows()
    dbn = DBNRegressor(hidden=(15,), random_state=0).fit(X[:100], y[:100])
    assert dbn.score(X[100:], y[100:]) > 0.8


def test_several_targets():
    X, y = rows()
    Y = np.column_stack([y, -3 * y + 1])
    dbn = DBNRegressor(hidden=(15,), random_state=0).fit(X, Y)
    out = dbn.predict(X)
    assert out.shape == Y.shape
    assert out.dtype == np.float64
    assert dbn.score(X, Y) > 0.8
    assert dbn.predict(X[:1]).shape == (1, 2)


def test_one_target_stays_one_dimensional_and_a_column_stays_a_column():
    X, y = rows()
    assert DBNRegressor(**QUICK).fit(X, y).predict(X).shape == (150,)
    assert DBNRegressor(**QUICK).fit(X, y[:, None]).predict(X).shape == (150, 1)


def test_rows_without_targets_take_part_in_pre_training():
    X, y = rows()
    alone = DBNRegressor(**QUICK).fit(X[:50], y[:50])
    more = DBNRegressor(**QUICK).fit(X[:50], y[:50], X_unlabelled=X[50:])
    assert not torch.equal(alone.stack_[0].W, more.stack_[0].W)
    np.testing.assert_allclose(more.mean_, X.mean(0))
    np.testing.assert_allclose(more.target_mean_, y[:50].mean())
    with pytest.raises(DataError, match="X has 3 features"):
        DBNRegressor(**QUICK).fit(X, y, X_unlabelled=X[:, :3])


def test_untrained_head_predicts_the_mean():
    X, y = rows()
    dbn = DBNRegressor(hidden=(8,), epochs_pretrain=1, epochs=0, random_state=0).fit(X, y)
    np.testing.assert_allclose(dbn.predict(X), y.mean())


def test_a_constant_target():
    X, _ = rows()
    np.testing.assert_allclose(DBNRegressor(**QUICK).fit(X, np.full(150, 7.5)).predict(X), 7.5, atol=0.2)


def test_targets_that_are_no_numbers():
    X, y = rows()
    y[3] = np.nan
    with pytest.raises(DataError, match=r"the targets hold 1 NaN .* row\(s\) 3"):
        DBNRegressor(**QUICK).fit(X, y)


def test_rows_kept_aside_stop_training():
    X, y = rows()
    dbn = DBNRegressor(hidden=(8,), epochs_pretrain=1, epochs=300, learning_rate=0.1, random_state=0)
    history = dbn.set_params(validation_fraction=0.3, patience=2).fit(X, y).history_[-1]
    assert len(history) < 300
    assert "validation loss" in history.names
