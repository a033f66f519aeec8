"""Averaged weights: the formula by hand, who sees which weights, and exact resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina.core.errors import SettingError
from lamina.training import BackPropagation, FullBackPropagation, GradientRule
from lamina.training.averaging import WeightAverage

X = np.arange(10.0)[:, None]


class Walk(GradientRule):
    """Steps of +1 in both parameters; validates by the weight that it sees."""

    watched = "validation loss"

    def gradients(self, model, batch, step, random):
        for parameter in model.parameters():
            parameter.grad.fill_(-1.0)
        return {"training loss": torch.tensor(float(len(batch.rows)))}

    def validate(self, model, values, train):
        return {"validation loss": -float(model.W[0, 0].detach())}


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
        self.register_buffer("counter", torch.zeros(1, dtype=torch.int64))


def walked(averaging, epochs=3, **options):
    """Two steps per epoch: weights 1, 2, 3, ..."""
    model = Point()
    history = lamina.fit(
        model, X, Walk(), epochs=epochs, batch_size=5, learning_rate=1.0, averaging=averaging, validation=X, **options
    )
    return float(model.W.detach()), [-value for value in history["validation loss"]]


def by_hand(weights, decay):
    mean = 0.0
    for t, weight in enumerate(weights):
        keep = min(decay, t / (t + 1))
        mean = keep * mean + (1 - keep) * weight
    return mean


@pytest.mark.parametrize("decay", [0.0, 0.6, 0.9, 1.0])
def test_the_average_is_that_of_the_formula(decay):
    last, validated = walked(decay)
    expected = [by_hand(range(1, n + 1), decay) for n in (2, 4, 6)]
    assert validated == pytest.approx(expected, rel=1e-14)
    assert last == pytest.approx(expected[-1], rel=1e-14)


def test_a_decay_of_one_is_the_plain_mean_and_of_zero_the_last_step():
    assert walked(1.0)[0] == pytest.approx(3.5, rel=1e-14)
    assert walked(0.0)[0] == 6.0


def test_it_begins_where_it_is_told_to():
    last, validated = walked(WeightAverage(1.0, start=1.0))
    assert validated == pytest.approx([2.0, 3.5, 4.5])  # the first epoch: as they are
    assert last == pytest.approx(4.5)


def test_callbacks_see_the_average_and_steps_do_not():
    seen = []

    class Listener:
        def on_epoch(self, record, epochs):
            seen.append(float(model.W.detach()))

    model = Point()
    lamina.fit(
        model,
        X,
        Walk(),
        epochs=3,
        batch_size=5,
        learning_rate=1.0,
        averaging=1.0,
        random_state=0,
        callbacks=[Listener()],
    )
    assert seen == pytest.approx([1.5, 2.5, 3.5])


def test_early_stopping_keeps_the_best_average():
    class Rises(Walk):
        def validate(self, model, values, train):
            return {"validation loss": abs(float(model.W.detach()) - 2.5)}

    model = Point()
    history = lamina.fit(
        model,
        X,
        Rises(),
        epochs=9,
        batch_size=5,
        learning_rate=1.0,
        averaging=1.0,
        validation=X,
        patience=2,
        random_state=0,
    )
    assert (history.best_epoch, len(history)) == (2, 4)
    assert float(model.W.detach()) == pytest.approx(2.5)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_run_broken_off_goes_on_exactly(epoch, tmp_path):
    generator = np.random.default_rng(0)
    data = (generator.normal(size=(23, 4)), generator.integers(0, 3, 23))

    class Crash:
        def on_epoch(self, record, epochs):
            if record.epoch == epoch:
                raise RuntimeError("crash")

    def run(**options):
        network = lamina.MLP([4, 5, 3], normalise=True, dropout=0.2, random_state=1)
        settings = {"optimiser": "adam", "learning_rate": 0.01, "averaging": WeightAverage(0.8, start=0.5)}
        history = lamina.fit(
            network,
            data,
            BackPropagation(),
            epochs=5,
            batch_size=5,
            validation=data,
            random_state=0,
            **settings,
            **options,
        )
        return network, history

    unbroken, history = run()
    saved = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        run(**saved, callbacks=[Crash()])
    resumed, again = run(**saved)
    for (name, a), b in zip(unbroken.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert history["validation loss"] == again["validation loss"]
    finished, _ = run(**saved)
    assert torch.equal(finished.W[0], unbroken.W[0])


def test_it_is_part_of_what_a_checkpoint_belongs_to(tmp_path):
    walked(0.9, checkpoint=tmp_path, random_state=0)
    with pytest.raises(SettingError, match=r"other settings \(averaging\)"):
        walked(None, checkpoint=tmp_path, random_state=0)


@pytest.mark.parametrize("averaging", [-0.1, 1.5, "x", WeightAverage])
def test_other_values_are_refused(averaging):
    with pytest.raises(SettingError, match="decay"):
        walked(averaging)


def test_an_objective_has_nothing_to_average():
    with pytest.raises(SettingError, match="no gradient steps to average"):
        lamina.fit(lamina.MLP([1, 2]), (X, np.zeros(10, int)), FullBackPropagation(), epochs=1, averaging=0.9)
