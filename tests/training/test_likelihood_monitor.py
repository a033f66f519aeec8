"""The monitor adds what is true to the history and leaves the training as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from lamina import RBM, ContrastiveDivergence, fit
from lamina.core.errors import DataError, SettingError
from lamina.training.likelihood_monitor import LikelihoodMonitor

BARS = oracles.bars(3)


def trained(callbacks=(), epochs=7, **options):
    rbm = RBM(9, 5, dtype=torch.float64)
    history = fit(
        rbm, BARS, ContrastiveDivergence(), epochs=epochs, batch_size=7, random_state=0, callbacks=callbacks, **options
    )
    return rbm, history


def monitored(**options):
    rbm = RBM(9, 5, dtype=torch.float64)
    monitor = LikelihoodMonitor(rbm, BARS, 1 - BARS, **options)
    history = fit(
        rbm,
        BARS,
        ContrastiveDivergence(),
        epochs=7,
        batch_size=7,
        random_state=0,
        callbacks=[monitor],
        learning_rate=0.5,
    )
    return rbm, history, monitor


def test_measures_are_those_of_the_enumerated_machine():
    rbm, history, monitor = monitored(every=3, method="exact")
    taken = [value is not None for value in history["log-likelihood"]]
    assert taken == [False, False, True, False, False, True, True]  # and the last epoch
    exact = oracles.binary(rbm)
    number = 2 ** np.arange(9)[::-1]
    log_p = np.log(exact.p_v)
    train, held_out = log_p[(BARS @ number).astype(int)].mean(), log_p[((1 - BARS) @ number).astype(int)].mean()
    last = history.records[-1].measures
    assert last["log-likelihood"] == pytest.approx(train, rel=1e-10)
    assert last["validation log-likelihood"] == pytest.approx(held_out, rel=1e-10)
    assert last["free-energy gap"] == pytest.approx(train - held_out, rel=1e-9)
    assert last["log Z"] == pytest.approx(exact.log_z, rel=1e-12)
    assert last["trusted"] == 1.0
    assert "effective sample size" not in last
    assert sorted(monitor.estimates) == [3, 6, 7]


def test_an_estimate_is_near_and_repeats():
    one, other = (monitored(betas=200)[1].records[-1].measures for _ in range(2))
    assert {k: v for k, v in one.items() if k != "seconds"} == other
    exact = monitored(method="exact")[1].records[-1].measures
    assert one["log-likelihood"] == pytest.approx(exact["log-likelihood"], abs=0.2)
    assert one["free-energy gap"] == pytest.approx(exact["free-energy gap"], rel=1e-9)
    assert 10 < one["effective sample size"] <= 100


def test_too_few_temperatures_are_noted_without_a_warning():
    rbm = oracles.random_binary(9, 6, scale=3.0)
    found = LikelihoodMonitor(rbm, BARS, betas=2).measure(1)
    assert found["trusted"] == 0.0
    assert "validation log-likelihood" not in found


def test_weights_do_not_depend_on_it():
    free, _ = trained(learning_rate=0.5)
    watched = monitored(betas=5)[0]
    for one, other in zip(free.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)


def test_many_rows_are_thinned_evenly():
    rbm = RBM(1, 2)
    rows = torch.linspace(0, 1, 5001)[:, None]
    for data in (rows, rows.numpy()):
        few = LikelihoodMonitor(rbm, data).rows
        assert 1600 < len(few) <= 2000
        assert float(few.mean()) == pytest.approx(0.5, abs=1e-3)


def test_what_does_not_fit_is_refused():
    rbm = RBM(9, 2)
    with pytest.raises(DataError, match="features"):
        LikelihoodMonitor(rbm, BARS[:, :4])
    with pytest.raises(DataError, match="0 row"):
        LikelihoodMonitor(rbm, BARS[:0])
    with pytest.raises(SettingError, match="every"):
        LikelihoodMonitor(rbm, BARS, every=0)
    with pytest.raises(SettingError, match="method"):
        LikelihoodMonitor(rbm, BARS, method="guess").measure(1)
