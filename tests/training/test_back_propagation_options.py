"""Back-propagation's options: losses, weights of rows and classes, changed inputs, learnt slopes, any network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina import MLP
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.training import BackPropagation, FullBackPropagation
from lamina.training.sources import Batch

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(41, 5))
CODES = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
TARGETS = {
    "cross-entropy": CODES,
    "squared": X[:, :3] ** 2,
    "binary cross-entropy": (X[:, :3] > 0).astype(float),
    "poisson": np.round(np.exp(X[:, :3])),
}
WEIGHTS = GENERATOR.integers(0, 4, size=41).astype(float)


class Shift:
    """Moves every row by as much as its own random number says."""

    def apply(self, x: torch.Tensor, random: Random) -> torch.Tensor:
        return x + random.uniform((len(x), 1), x.dtype)

    def describe(self) -> dict:
        return {"shift": 1}


def gradients(rule, network: nn.Module, values, total: int | None = None) -> list[torch.Tensor]:
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    values = tuple(torch.as_tensor(value) for value in values)
    batch = Batch(values, torch.arange(len(values[0])), total or len(values[0]))
    rule.gradients(network, batch, 0, Random(3))
    return [p.grad.clone() for p in network.parameters()]


def network(**options) -> MLP:
    return MLP([5, 6, 4, 3], dtype=torch.float64, **{"activation": "tanh", "random_state": 1, **options})


@pytest.mark.parametrize("loss", sorted(TARGETS))
def test_weights_of_rows_are_rows_repeated(loss):
    """Weight 3 is the row three times, weight 0 the row left out; the mean is over the rows that are handed over."""
    y = TARGETS[loss]
    repeated = np.repeat(np.arange(41), WEIGHTS.astype(int))
    weighted = gradients(BackPropagation(loss), network(), (X, y, WEIGHTS))
    copies = gradients(BackPropagation(loss), network(), (X[repeated], y[repeated]), total=41)
    for found, expected in zip(weighted, copies, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    rule = BackPropagation(loss)
    values = tuple(torch.from_numpy(v) for v in (X, y, WEIGHTS))
    again = tuple(torch.from_numpy(v[repeated]) for v in (X, y))
    one, other = (rule.validate(network(), v, ()) for v in (values, again))
    assert one["validation loss"] * 41 == pytest.approx(other["validation loss"] * len(repeated), rel=1e-12)


def test_class_weights_balance_what_is_learnt():
    """With weights 1/share, a constant network learns equal probabilities instead of the shares."""
    y = (np.arange(40) < 8).astype(np.int64)
    blank = np.zeros((40, 1))
    for weight, expected in ((None, 0.2), ([1 / 0.8, 1 / 0.2], 0.5)):
        model = MLP([1, 2], dtype=torch.float64)
        lamina.fit(model, (blank, y), BackPropagation(class_weight=weight).as_objective(), epochs=3, random_state=0)
        probability = torch.softmax(model(torch.zeros(1, 1, dtype=torch.float64)), 1)[0, 1]
        assert float(probability.detach()) == pytest.approx(expected, abs=1e-4)


def test_inputs_are_changed_where_they_are_learnt_from_and_nowhere_else():
    plain, shifted = network(dropout=0.3), network(dropout=0.3)
    rows = Random(3).at(0, torch.arange(41))
    moved = X + rows.uniform((41, 1), torch.float64).numpy()
    found = gradients(BackPropagation(augment=Shift()), shifted, (X, CODES))
    shifted_rows = torch.from_numpy(moved)
    outputs = plain(shifted_rows, rows, track=True)  # dropout goes on where the shift left the stream
    loss = nn.functional.cross_entropy(outputs, torch.from_numpy(CODES))
    for ours, expected in zip(found, torch.autograd.grad(loss, list(plain.parameters())), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    values = (torch.from_numpy(X), torch.from_numpy(CODES))
    assert BackPropagation(augment=Shift()).validate(plain, values, ()) == BackPropagation().validate(plain, values, ())


@pytest.mark.parametrize("loss", sorted(TARGETS))
def test_the_objective_is_the_same_loss_over_all_rows(loss):
    y, model = TARGETS[loss], network()
    rule = BackPropagation(loss, class_weight=[1.0, 2.0, 0.5] if loss == "cross-entropy" else None, frozen=1)
    batchwise = gradients(rule, model, (X, y, WEIGHTS))
    full = rule.as_objective()
    batch = Batch(tuple(torch.from_numpy(v) for v in (X, y, WEIGHTS)), torch.arange(41), 41)
    learnt = full.parameters(model)
    assert [p is q for p, q in zip(learnt, rule.parameters(model), strict=True)] == [True] * 4
    slopes = {id(p): g for p, g in zip(learnt, torch.autograd.grad(full.objective(model, batch), learnt), strict=True)}
    for parameter, found in zip(model.parameters(), batchwise, strict=True):
        torch.testing.assert_close(found, slopes.get(id(parameter), torch.zeros_like(found)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", sorted(TARGETS))
@pytest.mark.parametrize("activation", ["prelu", "maxout", "leaky_relu", "scaled_tanh"])
def test_every_loss_and_activation_learns(loss, activation):
    model = network(activation=activation)
    options = {"epochs": 20, "batch_size": 10, "learning_rate": 0.01, "optimiser": "adam", "random_state": 0}
    history = lamina.fit(model, (X, TARGETS[loss]), BackPropagation(loss), **options)
    first, last = history["training loss"][0], history["training loss"][-1]
    assert last < first - 0.1
    if activation == "prelu":
        assert all(bool((a != 0.25).any()) for a in model.a)


def test_frozen_layers_keep_their_slopes_too():
    model = network(activation="prelu")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lamina.fit(model, (X, CODES), BackPropagation(frozen=1), epochs=1, learning_rate=0.1, random_state=0)
    assert torch.equal(model.a[0], before["a.0"])
    assert not torch.equal(model.a[1], before["a.1"])
    with pytest.raises(SettingError, match="fewer than the network's 3 layers"):
        lamina.fit(model, (X, CODES), BackPropagation(frozen=3), epochs=1)


class Lengths(nn.Module):
    """A network of two arrays per row: the mean of the first values of a row, as many as the second says."""

    n_inputs = 2

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))

    def forward(self, inputs, random=None, track=False):
        x, lengths = inputs
        seen = torch.arange(x.shape[1]) < lengths[:, None]
        return (x * seen).sum(1, keepdim=True) @ self.w


def test_a_network_may_take_several_arrays_per_row():
    lengths = np.arange(41) % 5 + 1
    y = 3 * np.where(np.arange(5) < lengths[:, None], X, 0).sum(1)
    model = Lengths()
    options = {"epochs": 60, "batch_size": 10, "learning_rate": 0.05, "random_state": 0}
    data = (X, lengths, y, np.ones(41))
    history = lamina.fit(model, data, BackPropagation("squared"), validation=data, health=True, **options)
    assert history.records[0].health == {}
    assert float(model.w.detach()) == pytest.approx(3.0, abs=1e-3)
    assert history["validation loss"][-1] < 1e-4
    with pytest.raises(SettingError, match="does not list its layers"):
        lamina.fit(model, data, BackPropagation("squared", frozen=1), epochs=1)


class Crash:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


CASES = {
    "maxout, max-norm": ({"activation": "maxout", "pieces": 3, "dropout": 0.5}, BackPropagation(), (X, CODES)),
    "slopes, changed inputs": ({"activation": "prelu"}, BackPropagation(augment=Shift()), (X, CODES)),
    "weights": ({}, BackPropagation(class_weight=[1.0, 0.5, 2.0]), (X, CODES, WEIGHTS)),
    "counts, full": ({}, FullBackPropagation("poisson"), (X, TARGETS["poisson"])),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_broken_run_goes_on_bit_for_bit(name, tmp_path):
    made, rule, data = CASES[name]
    options = {"epochs": 4, "batch_size": 10, "learning_rate": 0.05, "momentum": 0.5, "random_state": 1}
    if name.startswith("maxout"):
        options["penalties"] = [lamina.MaxNorm(1.0)]
    unbroken = network(**made)
    lamina.fit(unbroken, data, rule, **options)
    kept = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        lamina.fit(network(**made), data, rule, callbacks=[Crash()], **kept, **options)
    resumed = network(**made)
    history = lamina.fit(resumed, data, rule, **kept, **options)
    assert len(history) == 4
    for found, expected in zip(resumed.parameters(), unbroken.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_a_rule_at_its_defaults_describes_itself_as_before():
    assert BackPropagation().describe() == {"rule": "BackPropagation", "loss": "cross-entropy", "frozen": 0}
    full = FullBackPropagation("squared", frozen=2).describe()
    assert full == {"rule": "FullBackPropagation", "loss": "squared", "frozen": 2}
    assert BackPropagation(augment=Shift()).describe()["augment"] == {"shift": 1}
    assert BackPropagation(class_weight=[1, 2]).describe()["class_weight"] == [1.0, 2.0]


def test_what_cannot_be_learnt_is_refused():
    for options, message in [
        ({"augment": 3}, "augment is 3"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"class_weight": [1.0], "loss": "squared"}, "class_weight needs"),
        ({"frozen": 1.5}, "frozen"),
    ]:
        with pytest.raises(SettingError, match=message):
            BackPropagation(**options)
    with pytest.raises(SettingError, match="augment changes the rows"):
        BackPropagation(augment=Shift()).as_objective()
    for data, error, message in [
        ((X,), DataError, r"1 array\(s\); expected 1 of inputs, one of targets"),
        ((X, CODES + 1), LabelError, "3 outputs"),
        ((X, CODES, -WEIGHTS - 1), DataError, "at least 0"),
    ]:
        with pytest.raises(error, match=message):
            lamina.fit(network(), data, BackPropagation(), epochs=1)
