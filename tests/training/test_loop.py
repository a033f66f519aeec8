"""The one loop: what it owes to every rule, with rules so small that the right answer is known."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from scenarios import REAL, Moments, MomentsRule
from torch import nn

import lamina
from lamina.core.errors import DivergenceError, Interrupted, SettingError
from lamina.core.random import Random
from lamina.training import BackPropagation, FullBackPropagation, GradientRule, Schedule, loop
from lamina.training.sources import ArraySource


class Point(nn.Module):
    """One matrix and one bias: what decays and what does not."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
        self.b = nn.Parameter(torch.ones(2, dtype=torch.float64))


class Constant(GradientRule):
    """The same gradient at each step; notes what the optimiser is told, and validates by a script."""

    watched = "validation loss"

    def __init__(self, gradient: float = -1.0, script: tuple[float, ...] = ()) -> None:
        self.gradient, self.script, self.asked = gradient, list(script), []

    def gradients(self, model, batch, step, random):
        for parameter in model.parameters():
            parameter.grad.fill_(self.gradient)
        self.asked.append((step, batch.rows.tolist()))
        return {"rows": torch.tensor(float(len(batch.rows))), "twice": torch.tensor(2.0 * len(batch.rows))}

    def validate(self, model, values, train):
        return {"validation loss": self.script.pop(0)}


X = np.arange(10.0)[:, None]


def test_an_uneven_last_batch_weighs_as_its_rows():
    """Squared loss of a linear network: every step against the formula in NumPy, momentum and weight decay included."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(11, 3)), generator.normal(size=(11, 2))
    network = lamina.MLP([3, 2], dtype=torch.float64, random_state=1)
    W, b = network.W[0].detach().numpy().copy(), network.b[0].detach().numpy().copy()
    rate = Schedule(((0.0, 0.05), (1.0, 0.02)))
    momentum = Schedule(((0.0, 0.5), (2.0, 0.9)), linear=True)
    lamina.fit(
        network,
        (x, y),
        BackPropagation("squared"),
        epochs=3,
        batch_size=4,
        learning_rate=rate,
        momentum=momentum,
        weight_decay=0.1,
        random_state=7,
    )
    source = ArraySource((x, y), 4, Random(7), torch.device("cpu"), torch.float64)
    velocity_w, velocity_b = np.zeros_like(W), np.zeros_like(b)
    for epoch in range(3):
        order = source.order(epoch)
        for k in range(3):
            rows = order[4 * k : 4 * k + 4]
            error = 2 * (x[rows] @ W + b - y[rows]) / len(rows)
            now = epoch + k / 3
            velocity_w = momentum(now) * velocity_w + x[rows].T @ error + 0.1 * W
            velocity_b = momentum(now) * velocity_b + error.sum(0)
            W, b = W - rate(now) * velocity_w, b - rate(now) * velocity_b
    np.testing.assert_allclose(network.W[0].detach().numpy(), W, rtol=1e-10)
    np.testing.assert_allclose(network.b[0].detach().numpy(), b, rtol=1e-10)


@pytest.mark.parametrize("optimiser", ["sgd", "nesterov", "adam"])
def test_weights_decay_and_biases_do_not(optimiser):
    model = Point()
    options = {"epochs": 3, "batch_size": 5, "learning_rate": 0.1, "momentum": 0.0, "random_state": 0}
    lamina.fit(model, X, Constant(0.0), weight_decay=0.5, optimiser=optimiser, **options)
    torch.testing.assert_close(model.W.detach(), torch.full_like(model.W, 0.95**6))
    assert torch.equal(model.b, torch.ones_like(model.b))


def test_learning_rate_and_momentum_reach_the_optimiser_at_every_step(monkeypatch):
    seen = []
    original = loop.optimisers.set_rates

    def spy(optimiser, rate, momentum):
        original(optimiser, rate, momentum)
        seen.append((rate, momentum, [(g["lr"], g["momentum"]) for g in optimiser.param_groups]))

    monkeypatch.setattr(loop.optimisers, "set_rates", spy)
    rate = Schedule(((0.0, 1.0), (2.0, 0.0)), linear=True)
    momentum = lamina.training.warm_momentum(4, switch=1)
    lamina.fit(Point(), X, Constant(), epochs=2, batch_size=5, learning_rate=rate, momentum=momentum)
    assert [s[:2] for s in seen] == [(1.0, 0.5), (0.75, 0.5), (0.5, 0.9), (0.25, 0.9)]
    assert all(group == s[:2] for s in seen for group in s[2])


def test_history_counts_epochs_steps_and_means_over_rows():
    rule = Constant()
    history = lamina.fit(Point(), X, rule, epochs=3, batch_size=4)
    assert [r.epoch for r in history] == [1, 2, 3]
    assert [r.step for r in history] == [3, 6, 9]
    assert history["rows"] == [1.0, 1.0, 1.0]
    assert history["twice"] == [2.0, 2.0, 2.0]
    assert history["nothing"] == [None, None, None]
    assert history.names == ["rows", "twice"]
    assert history.seconds > 0
    assert [step for step, _ in rule.asked] == list(range(9))
    assert lamina.History.from_dict(history.to_dict()) == history


def test_early_stopping_puts_the_best_weights_back():
    model = Point()
    rule = Constant(script=(5.0, 3.0, 4.0, 3.0, 2.0))
    history = lamina.fit(
        model, X, rule, epochs=20, batch_size=10, learning_rate=1.0, validation=X, patience=2, random_state=0
    )
    assert history.best_epoch == 2  # equal is no improvement
    assert len(history) == 4
    assert history.stopped == "no improvement for 2 epochs"
    assert torch.equal(model.b, torch.full_like(model.b, 3.0))  # 1 + two steps


def test_early_stopping_gives_the_weights_of_the_best_epoch_bit_for_bit():
    """A real run, whose weights are noted after every epoch."""
    generator = np.random.default_rng(0)
    data = (generator.normal(size=(30, 5)), generator.integers(0, 2, 30))
    held = (generator.normal(size=(30, 5)), generator.integers(0, 2, 30))
    network, noted = lamina.MLP([5, 20, 2], normalise=True, random_state=0), []

    class Note:
        def on_epoch(self, record, epochs):
            noted.append({name: value.clone() for name, value in network.state_dict().items()})

    history = lamina.fit(
        network,
        data,
        BackPropagation(),
        epochs=50,
        batch_size=7,
        learning_rate=0.02,
        optimiser="adam",
        validation=held,
        patience=5,
        random_state=0,
        callbacks=[Note()],
    )
    losses = history["validation loss"]
    assert history.best_epoch == 1 + int(np.argmin(losses)) < len(history) < 50
    for name, value in network.state_dict().items():
        assert torch.equal(value, noted[history.best_epoch - 1][name]), name
    assert not torch.equal(network.W[0], noted[-1]["W.0"])


def test_improvements_within_the_tolerance_do_not_count_but_the_lowest_is_kept():
    model = Point()
    rule = Constant(script=(5.0, 4.0, 3.95, 3.92, 2.0))
    options = {"epochs": 20, "batch_size": 10, "learning_rate": 1.0, "validation": X, "random_state": 0}
    history = lamina.fit(model, X, rule, patience=2, tolerance=0.1, **options)
    assert (history.best_epoch, len(history)) == (4, 4)
    assert torch.equal(model.b, torch.full_like(model.b, 5.0))


def test_another_measure_can_be_watched_without_validation_data():
    rule = Constant()
    history = lamina.fit(Point(), X, rule, epochs=9, patience=3, watch="twice", random_state=0)
    assert (history.best_epoch, len(history)) == (1, 4)
    with pytest.raises(SettingError, match=r"watch is 'thrice'.*expected one of rows, twice"):
        lamina.fit(Point(), X, rule, epochs=9, patience=3, watch="thrice")


def test_a_late_improvement_goes_on():
    rule = Constant(script=(5.0, 6.0, 4.0, 6.0, 7.0))
    history = lamina.fit(Point(), X, rule, epochs=5, batch_size=10, validation=X, patience=2)
    assert (history.best_epoch, len(history)) == (3, 5)


def test_without_patience_the_last_weights_stay():
    model = Point()
    lamina.fit(model, X, Constant(script=(1.0, 2.0, 3.0)), epochs=3, batch_size=10, learning_rate=1.0, validation=X)
    assert torch.equal(model.b, torch.full_like(model.b, 4.0))


def test_a_statistics_rule_maximises_after_each_pass():
    model = Moments(6, torch.float64)
    lamina.fit(model, REAL, MomentsRule(), epochs=1, batch_size=9)
    np.testing.assert_allclose(model.mean.detach().numpy(), REAL.mean(0), rtol=1e-12)
    np.testing.assert_allclose(model.variance.detach().numpy(), REAL.var(0), rtol=1e-10)
    history = lamina.fit(Moments(6, torch.float64), REAL, MomentsRule(), epochs=2, batch_size=9)
    after = ((REAL - REAL.mean(0)) ** 2 / REAL.var(0) + np.log(REAL.var(0))).sum(1).mean() / 2
    assert history["surprise"][1] == pytest.approx(after)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_an_objective_rule_reaches_the_closed_form(decay):
    """Ridge regression with a free bias: mean ‖xW + b − y‖² + λ/2 ‖W‖²."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(37, 4)) + 1, generator.normal(size=(37, 2)) - 2
    network = lamina.MLP([4, 2], dtype=torch.float64)
    history = lamina.fit(
        network, (x, y), FullBackPropagation("squared"), epochs=5, batch_size=10, weight_decay=decay, random_state=0
    )
    centred = x - x.mean(0)
    W = np.linalg.solve(centred.T @ centred / 37 + decay / 2 * np.eye(4), centred.T @ (y - y.mean(0)) / 37)
    np.testing.assert_allclose(network.W[0].detach().numpy(), W, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.b[0].detach().numpy(), y.mean(0) - x.mean(0) @ W, rtol=1e-4, atol=1e-5)
    error = ((x @ W + network.b[0].detach().numpy() - y) ** 2).sum(1).mean()
    assert history["objective"][-1] == pytest.approx(error + decay / 2 * (W**2).sum(), rel=1e-6)


def test_callbacks_hear_of_start_epochs_and_end():
    heard = []

    class Listener:
        def on_start(self, epochs, done):
            heard.append(("start", epochs, done))

        def on_epoch(self, record, epochs):
            heard.append(("epoch", record.epoch, epochs))

        def on_end(self):
            heard.append(("end",))

    lamina.fit(Point(), X, Constant(), epochs=2, callbacks=[Listener(), object()])
    assert heard == [("start", 2, 0), ("epoch", 1, 2), ("epoch", 2, 2), ("end",)]


class Explodes(Constant):
    """Steps of 1, until at step 7 the gradient is infinite."""

    def gradients(self, model, batch, step, random):
        measures = super().gradients(model, batch, step, random)
        if step == 7:
            model.W.grad.fill_(float("inf"))
        return measures


def test_divergence_names_steps_and_setting_and_keeps_the_last_good_weights(monkeypatch):
    monkeypatch.setattr(loop, "WATCH_EVERY", 3)
    model = Point()
    with pytest.raises(DivergenceError, match=r"between steps 6 and 9 .*lower learning_rate \(now 0.5\)") as caught:
        lamina.fit(model, np.zeros((100, 1)), Explodes(), epochs=1, batch_size=5, learning_rate=0.5, random_state=0)
    assert torch.equal(model.W, torch.full_like(model.W, 1 + 6 * 0.5))
    assert torch.equal(model.b, torch.full_like(model.b, 1 + 6 * 0.5))
    assert "\n" not in str(caught.value)


def test_divergence_is_seen_at_the_end_of_an_epoch_and_not_saved(tmp_path):
    options = {"epochs": 4, "batch_size": 2, "learning_rate": 1.0, "random_state": 0}
    for _ in range(2):  # again from the checkpoint, which holds the good weights of step 5
        model = Point()
        with pytest.raises(DivergenceError, match="between steps 5 and 10"):
            lamina.fit(model, X, Explodes(), checkpoint=tmp_path, checkpoint_seconds=-1.0, **options)
        assert torch.equal(model.W, torch.full_like(model.W, 6.0))


def test_a_real_run_that_diverges_stops():
    generator = np.random.default_rng(0)
    data = (generator.normal(size=(50, 4)), generator.normal(size=(50, 2)))
    network = lamina.MLP([4, 8, 2])
    with pytest.raises(DivergenceError, match="training diverged"):
        lamina.fit(network, data, BackPropagation("squared"), epochs=50, batch_size=5, learning_rate=1e4)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_ctrl_c_finishes_the_step_and_gives_the_signal_back(tmp_path):
    class Press(Constant):
        def gradients(self, model, batch, step, random):
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().gradients(model, batch, step, random)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        pytest.skip("another handler of Ctrl-C is installed")
    model = Point()
    options = {"epochs": 4, "batch_size": 5, "learning_rate": 1.0, "random_state": 0, "checkpoint": tmp_path}
    with pytest.raises(Interrupted, match="stopped after step 5 in epoch 3"):
        lamina.fit(model, X, Press(), **options)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.equal(model.b, torch.full_like(model.b, 6.0))
    again = Point()
    rule = Constant()
    rule.describe = lambda: {"rule": "Press"}  # the same settings, without the press
    history = lamina.fit(again, X, rule, **options)
    assert [step for step, _ in rule.asked] == [5, 6, 7]
    assert torch.equal(again.b, torch.full_like(again.b, 9.0))
    assert len(history) == 4


def test_no_epochs_leave_the_model_alone():
    model = Point()
    history = lamina.fit(model, X, Constant(), epochs=0)
    assert len(history) == 0
    assert torch.equal(model.W, torch.ones_like(model.W))


def test_all_rows_of_an_iterable_of_validation_batches_count():
    """As an array would give: early stopping must not look at the first batch alone."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40, 3)), generator.integers(0, 2, 40)
    batches = [(x[k : k + 7], y[k : k + 7]) for k in range(0, 40, 7)]
    found = []
    for validation in ((x, y), batches):
        network = lamina.MLP([3, 4, 2], dtype=torch.float64)
        found.append(lamina.fit(network, (x, y), BackPropagation(), epochs=2, validation=validation, random_state=0))
    assert found[0]["validation loss"] == pytest.approx(found[1]["validation loss"], rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"patience": 2}, "patience needs validation"),
        ({"patience": 0, "validation": X}, "patience"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"optimiser": "adma"}, "did you mean 'adam'"),
        ({"learning_rate": Schedule(((0.0, 1.0),)), "momentum": 0.5, "random_state": "x"}, "random_state"),
    ],
)
def test_settings_outside_their_limits_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        lamina.fit(Point(), X, Constant(), **{"epochs": 1, **options})


def test_the_same_seed_gives_the_same_run_and_another_another():
    def run(seed):
        rbm = lamina.RBM(4, 3)
        lamina.fit(
            rbm, np.eye(4).repeat(5, 0), lamina.ContrastiveDivergence(1), epochs=2, batch_size=7, random_state=seed
        )
        return rbm.W.detach()

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(run(1), run(Random(1)))
    assert not torch.equal(run(None), run(None))
