"""Numbers that change with the epochs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina.core.errors import SettingError
from lamina.training import EpochRecord, GradientRule, History, Schedule, falling, warm_momentum
from lamina.training.improvement import stale_epochs, stale_runs
from lamina.training.schedules import (
    Formula,
    as_schedule,
    cosine,
    exponential,
    inverse_scaling,
    plateau,
    step,
    warm_up,
)


def test_steps_hold_until_the_next_point():
    schedule = Schedule(((1, 0.5), (5, 0.9)))
    assert [schedule(e) for e in (0, 1, 4.99, 5, 100)] == [0.5, 0.5, 0.5, 0.9, 0.9]


def test_lines_run_from_point_to_point():
    schedule = Schedule(((1, 1.0), (3, 0.0), (4, 2.0)), linear=True)
    assert [schedule(e) for e in (0, 1, 2, 3, 3.5, 9)] == pytest.approx([1.0, 1.0, 0.5, 0.0, 1.0, 2.0])


def test_a_number_is_a_constant_schedule():
    assert as_schedule(0.3)(17.5) == 0.3
    schedule = Schedule(((0, 1),))
    assert as_schedule(schedule) is schedule


def test_named_schedules():
    rate = falling(1.0, 10)
    assert [rate(e) for e in (0, 5, 7.5, 10)] == pytest.approx([1.0, 1.0, 0.505, 0.01])
    momentum = warm_momentum(20)
    assert (momentum(4.9), momentum(5)) == (0.5, 0.9)
    assert (warm_momentum(4)(1.9), warm_momentum(4)(2)) == (0.5, 0.9)


@pytest.mark.parametrize("points", [(), ((3, 1.0), (2, 0.5))])
def test_points_out_of_order_are_refused(points):
    with pytest.raises(SettingError, match="in order of epoch"):
        Schedule(points)


def test_exponential_falls_by_a_factor_per_epoch():
    rate = exponential(0.4, 0.5)
    assert [rate(e) for e in (0, 1, 1.5, 3)] == pytest.approx([0.4, 0.2, 0.4 * 0.5**1.5, 0.05])


def test_steps_come_every_so_many_epochs():
    rate = step(1.0, 0.1, every=2)
    assert [rate(e) for e in (0, 1.9, 2, 3.9, 4)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_cosine_ends_where_it_should_and_stays():
    rate = cosine(1.0, 10, last=0.2)
    assert [rate(e) for e in (0, 5, 10, 99)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert rate(2.5) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    assert cosine(0.3, 4)(4) == pytest.approx(0.0)


def test_inverse_scaling_is_scikit_learns():
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    n_rows, rate = 37, inverse_scaling(0.2, power=0.7, per_epoch=37)
    theirs = SGDOptimizer([np.zeros(1)], learning_rate_init=0.2, lr_schedule="invscaling", power_t=0.7)
    assert rate(0.99) == pytest.approx(theirs.learning_rate)
    for epoch in range(1, 5):
        theirs.iteration_ends(epoch * n_rows)
        assert rate(epoch) == pytest.approx(theirs.learning_rate)


def test_warm_up_rises_to_any_schedule():
    rate = warm_up(exponential(1.0, 0.5), epochs=4, share=0.2)
    assert [rate(e) for e in (0, 2, 4, 6)] == pytest.approx([0.2, 0.6 * 0.25, 0.5**4, 0.5**6])
    assert warm_up(0.3, 2)(1) == pytest.approx(0.3 * 0.55)
    assert warm_up(0.3, 2)(5) == pytest.approx(0.3)


def records(values, name="training loss"):
    return History([EpochRecord(k + 1, k + 1, 0.0, {name: value}) for k, value in enumerate(values)])


def test_an_epoch_is_stale_unless_it_falls_by_the_tolerance():
    assert stale_epochs([5, 4, 4]) == 1  # equal is no improvement
    assert stale_epochs([5, 4, 3.95, 3.92], tolerance=0.1) == 2  # each below the lowest, by too little
    assert stale_epochs([5, 4, 6, 3.5], tolerance=0.1) == 0
    assert stale_epochs([]) == 0
    assert stale_runs([5, 5, 5, 5, 5], 2) == 2
    assert stale_runs([5, 5, 4, 4, 3, 3, 3], 2) == 1


def test_a_plateau_cuts_where_scikit_learn_does():
    """Against the two methods of scikit-learn's perceptron that count and cut, on a loss that stops falling."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    losses = [1.0, 0.6, 0.5999, 0.5998, 0.7, 0.4, 0.41, 0.42, 0.43, 0.44, 0.45, 0.46, 0.3, 0.3, 0.3, 0.3]
    patience, tolerance = 2, 1e-3
    theirs = MLPClassifier(tol=tolerance, n_iter_no_change=patience - 1, early_stopping=False)  # it counts beyond
    theirs.loss_curve_, theirs.best_loss_, theirs._no_improvement_count = [], np.inf, 0
    optimiser = SGDOptimizer([np.zeros(1)], learning_rate_init=0.5, lr_schedule="adaptive")
    rate = plateau(0.5, patience=patience, tolerance=tolerance)
    for n in range(1, len(losses) + 1):
        theirs.loss_curve_.append(losses[n - 1])
        theirs._update_no_improvement_count(False, None, None, None)
        if theirs._no_improvement_count > patience - 1:
            optimiser.trigger_stopping("", False)
            theirs._no_improvement_count = 0
        found = rate.given(records(losses[:n]), "validation loss")
        assert found(n) == pytest.approx(optimiser.learning_rate)
    assert optimiser.learning_rate < 0.5 / 5**3  # else this test shows little


def test_a_plateau_watches_what_it_is_told_to():
    history = History([EpochRecord(k, k, 0.0, {"a": 1.0, "b": -float(k), "training loss": 0.0}) for k in range(1, 5)])
    assert plateau(1.0, measure="a").given(history, "b")(0) == pytest.approx(0.2)
    assert plateau(1.0).given(history, "b")(0) == 1.0
    assert plateau(1.0).given(history, "validation loss")(0) == pytest.approx(0.2)  # the same of the training data
    assert plateau(1.0).given(History(), "b")(0) == 1.0
    with pytest.raises(SettingError, match=r"watches 'c'.*expected one of a, b, training loss"):
        plateau(1.0, measure="c").given(history, "b")


def test_a_plateau_is_exhausted_below_its_lowest_rate():
    flat = records([1.0] * 9)
    rate = plateau(1.0, 0.1, lowest=0.02)  # cuts after epochs 3, 5, 7 and 9: 0.1, 0.01, 0.001, ...
    assert rate.exhausted(records([1.0] * 5, "training loss"), "training loss") is None
    assert "lowest learning rate, 0.01" in rate.exhausted(records([1.0] * 7), "training loss")
    assert plateau(1.0, 0.1).exhausted(flat, "training loss") is None
    assert Schedule(((0, 1.0),)).exhausted(flat, "training loss") is None


class Scripted(GradientRule):
    """Measures what a script says; descends by ones."""

    def __init__(self, script):
        self.script = script

    def gradients(self, model, batch, step, random):
        model.W.grad.fill_(1.0)
        return {"training loss": torch.tensor(self.script[step] * len(batch.rows), dtype=torch.float64)}


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))


@pytest.mark.parametrize("crash", [None, 2, 3, 4, 6])
def test_a_plateau_survives_a_checkpoint(crash, tmp_path):
    script = [3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]

    class Crash:
        def on_epoch(self, record, epochs):
            if record.epoch == crash:
                raise RuntimeError("crash")

    def run(*callbacks):
        model = Weight()
        options = {"learning_rate": plateau(1.0, 0.1, measure="training loss"), "random_state": 0}
        saved = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
        lamina.fit(model, np.zeros((4, 1)), Scripted(script), epochs=8, callbacks=callbacks, **options, **saved)
        return float(model.W.detach())

    if crash is not None:
        with pytest.raises(RuntimeError, match="crash"):
            run(Crash())
    assert run() == pytest.approx(-(4 * 1.0 + 3 * 0.1 + 0.01))


def test_a_run_ends_when_the_plateau_is_exhausted():
    history = lamina.fit(
        Weight(),
        np.zeros((4, 1)),
        Scripted([1.0] * 50),
        epochs=50,
        learning_rate=plateau(1.0, 0.1, lowest=0.05, measure="training loss"),
    )
    assert history.stopped == "no improvement at the lowest learning rate, 0.01"
    assert len(history) == 7


def test_schedules_describe_themselves_for_checkpoints():
    assert Schedule(((0, 1.0),)).describe() == {"points": ((0, 1.0),), "linear": False}
    assert cosine(1.0, 5).describe() == {"schedule": "cosine", "value": 1.0, "last": 0.0, "epochs": 5.0}
    assert warm_up(0.5, 3).describe()["then"] == {"points": ((0.0, 0.5),), "linear": False}
    assert plateau(1.0).describe() != plateau(1.0, patience=3).describe()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: exponential(0.1, 0.0), "factor"),
        (lambda: step(0.1, 0.5, 0), "every"),
        (lambda: cosine(0.1, 0), "epochs"),
        (lambda: cosine("fast", 3), "value"),
        (lambda: inverse_scaling(0.1, power=-1), "power"),
        (lambda: warm_up(0.1, 0), "epochs"),
        (lambda: warm_up(0.1, 2, share=2), "share"),
        (lambda: warm_up(plateau(0.1), 2), "plateau"),
        (lambda: plateau(-1.0), "first"),
        (lambda: plateau(1.0, 2.0), "factor"),
        (lambda: plateau(1.0, patience=0), "patience"),
        (lambda: plateau(1.0, tolerance=-1), "tolerance"),
        (lambda: Formula(name="sinus"), "expected one of exponential"),
    ],
)
def test_values_outside_their_limits_are_refused(make, message):
    with pytest.raises(SettingError, match=message):
        make()
