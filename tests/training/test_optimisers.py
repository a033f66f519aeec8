"""Optimisers by name: each takes the steps of PyTorch's own on a fixed problem, and is resumed exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina.core.errors import SettingError
from lamina.training import BackPropagation, ContrastiveDivergence, GradientRule, Schedule
from lamina.training.optimisers import CHOICES, LBFGS, SGD, Adagrad, Adam, RMSProp, as_choice

X = np.arange(12.0)[:, None]
TARGET = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]], dtype=torch.float64)
SCALE = torch.tensor([[1.0, 10.0, 0.1], [3.0, 0.3, 30.0]], dtype=torch.float64)


class Bowl(nn.Module):
    """f(W, b) = Σ scale (W − target)²/2 + cos b: curved very differently along its directions."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))
        self.b = nn.Parameter(torch.full((2,), 0.3, dtype=torch.float64))

    def slopes(self) -> list[torch.Tensor]:
        return [SCALE * (self.W.detach() - TARGET), -torch.sin(self.b.detach())]


class Descent(GradientRule):
    """The bowl's own gradient, whatever the batch."""

    def gradients(self, model, batch, step, random):
        for parameter, slope in zip(model.parameters(), model.slopes(), strict=True):
            parameter.grad.copy_(slope)
        return {"value": (SCALE * (model.W.detach() - TARGET) ** 2).sum() * len(batch.rows)}


RATE, DECAY = 0.02, 0.1
SAME = {  # what lamina is asked for, the momentum, and PyTorch's own
    "sgd": ("sgd", None, lambda p: torch.optim.SGD(p, lr=RATE)),
    "momentum": ("momentum", None, lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9)),
    "momentum given": ("momentum", 0.5, lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.5)),
    "momentum of a record": (SGD(0.7), None, lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.7)),
    "nesterov": ("nesterov", None, lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, nesterov=True)),
    "adagrad": ("adagrad", None, lambda p: torch.optim.Adagrad(p, lr=RATE)),
    "adagrad record": (
        Adagrad(eps=0.1, initial=2.0),
        None,
        lambda p: torch.optim.Adagrad(p, lr=RATE, eps=0.1, initial_accumulator_value=2.0),
    ),
    "rmsprop": ("rmsprop", None, lambda p: torch.optim.RMSprop(p, lr=RATE)),
    "rmsprop, momentum is not its": ("rmsprop", 0.9, lambda p: torch.optim.RMSprop(p, lr=RATE)),
    "rmsprop record": (
        RMSProp(alpha=0.8, eps=0.01, centred=True),
        None,
        lambda p: torch.optim.RMSprop(p, lr=RATE, alpha=0.8, eps=0.01, centered=True),
    ),
    "adam": ("adam", None, lambda p: torch.optim.AdamW(p, lr=RATE)),
    "adam record": (
        Adam(beta1=0.5, beta2=0.8, eps=0.1),
        None,
        lambda p: torch.optim.AdamW(p, lr=RATE, betas=(0.5, 0.8), eps=0.1),
    ),
    "adam with decay in its gradient": (Adam(decoupled=False), None, lambda p: torch.optim.Adam(p, lr=RATE)),
}


def groups_of(model: nn.Module) -> list[dict]:
    return [{"params": [model.W], "weight_decay": DECAY}, {"params": [model.b], "weight_decay": 0.0}]


@pytest.mark.parametrize("name", SAME)
def test_each_equals_torchs_own(name):
    optimiser, momentum, build = SAME[name]
    mine, other = Bowl(), Bowl()
    lamina.fit(
        mine,
        X,
        Descent(),
        epochs=10,
        batch_size=5,
        learning_rate=RATE,
        momentum=momentum,
        weight_decay=DECAY,
        optimiser=optimiser,
        random_state=0,
    )
    torchs = build(groups_of(other))
    for _ in range(30):
        for parameter, slope in zip(other.parameters(), other.slopes(), strict=True):
            parameter.grad = slope
        torchs.step()
    for a, b in zip(mine.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert not torch.equal(mine.W, Bowl().W)


def test_lbfgs_equals_torchs_own():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40, 3)), generator.integers(0, 2, 40)
    mine = lamina.MLP([3, 4, 2], activation="tanh", dtype=torch.float64, random_state=1)
    other = lamina.MLP([3, 4, 2], activation="tanh", dtype=torch.float64, random_state=1)
    history = lamina.fit(
        mine, (x, y), BackPropagation(), epochs=2, batch_size=15, optimiser=LBFGS(searches=7, memory=3)
    )
    torchs = torch.optim.LBFGS(other.parameters(), max_iter=7, history_size=3, line_search_fn="strong_wolfe")

    def closure():
        torchs.zero_grad()
        loss = nn.functional.cross_entropy(other(torch.from_numpy(x)), torch.from_numpy(y))
        loss.backward()
        return loss

    for _ in range(2):
        torchs.step(closure)
    for a, b in zip(mine.W, other.W, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)  # rows are added up in another order
    assert history["objective"][-1] == pytest.approx(float(closure().detach()), rel=1e-7)


def test_lbfgs_by_name_minimises_what_the_rule_descends():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(50, 3))
    y = x @ generator.normal(size=(3, 2)) + 1
    network = lamina.MLP([3, 2], dtype=torch.float64)
    lamina.fit(network, (x, y), BackPropagation("squared"), epochs=3, optimiser="lbfgs")
    residual = network(torch.from_numpy(x)).detach().numpy() - y
    assert np.abs(residual).max() < 1e-5


def test_lbfgs_asks_the_rule_for_an_objective():
    with pytest.raises(SettingError, match=r"ContrastiveDivergence has no objective over all rows.*as_objective"):
        lamina.fit(lamina.RBM(1, 2), X / 12, ContrastiveDivergence(1), epochs=1, optimiser="lbfgs")


def test_without_a_memory_left_open_lbfgs_leaves_searches_to_the_rule():
    parameters = [nn.Parameter(torch.zeros(3))]
    assert LBFGS().minimiser(parameters, 5).param_groups[0]["max_iter"] == 5
    assert LBFGS(searches=9).minimiser(parameters, 5).param_groups[0]["max_iter"] == 9
    assert LBFGS(memory=4).minimiser(parameters, 5).param_groups[0]["history_size"] == 4


def test_lbfgs_forgets_a_curvature_that_leads_nowhere():
    """A memory that points uphill would stop every later step before it began."""
    x = nn.Parameter(torch.tensor([3.0, -2.0], dtype=torch.float64))

    def closure():
        x.grad = 2 * x.detach()
        return (x.detach() ** 2).sum()

    minimiser = LBFGS(searches=1).minimiser([x], 1)
    minimiser.step(closure)
    (state,) = minimiser.state.values()
    state.update(
        d=state["d"] * 0,
        prev_flat_grad=2 * x.detach(),
        H_diag=-torch.ones((), dtype=torch.float64),
        old_dirs=[],
        old_stps=[],
    )
    stuck = x.detach().clone()
    minimiser.step(closure)
    assert torch.equal(x, stuck)
    for _ in range(3):
        minimiser.step(closure)
    assert float((x.detach() ** 2).sum()) < 1e-6


class StopAfter:
    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch(self, record, epochs):
        if record.epoch == self.epochs:
            raise RuntimeError("crash")


@pytest.mark.parametrize("name", [*CHOICES, Adam(decoupled=False), RMSProp(centred=True)])
def test_each_goes_on_exactly_from_a_checkpoint(name, tmp_path):
    generator = np.random.default_rng(1)
    data = (generator.normal(size=(21, 3)), generator.integers(0, 2, 21))

    def run(**options):
        network = lamina.MLP([3, 4, 2], dropout=0.0 if name == "lbfgs" else 0.3, random_state=1)
        settings = {"learning_rate": 0.01, "weight_decay": 0.01, "optimiser": name, "random_state": 2}
        lamina.fit(network, data, BackPropagation(), epochs=5, batch_size=5, **settings, **options)
        return network

    unbroken = run()
    saved = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        run(**saved, callbacks=[StopAfter(2)])
    resumed = run(**saved)
    for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_other_options_is_refused(tmp_path):
    def run(optimiser):
        lamina.fit(
            Bowl(), X, Descent(), epochs=2, learning_rate=0.01, optimiser=optimiser, random_state=0, checkpoint=tmp_path
        )

    run(Adam(beta1=0.8))
    with pytest.raises(SettingError, match=r"other settings \(optimiser\)"):
        run("adam")
    run(Adam(beta1=0.8, beta2=0.999))  # the same


def test_a_record_with_a_names_options_is_that_name():
    assert as_choice("adam") == Adam()
    assert Adam().describe() == "adam"
    assert SGD(0.9).describe() == "momentum"
    assert Adam(eps=1e-6).describe() == {
        "optimiser": "Adam", "beta1": 0.9, "beta2": 0.999, "eps": 1e-6, "decoupled": True,
    }  # fmt: skip


def test_schedules_reach_every_optimiser():
    """With a rate of 0 from epoch 1 on nothing moves any more."""
    for name in CHOICES:
        if name == "lbfgs":
            continue
        once, twice = Bowl(), Bowl()
        rate = Schedule(((0.0, 0.01), (1.0, 0.0)))
        lamina.fit(once, X, Descent(), epochs=1, learning_rate=rate, optimiser=name, random_state=0)
        lamina.fit(twice, X, Descent(), epochs=3, learning_rate=rate, optimiser=name, random_state=0)
        assert torch.equal(once.W, twice.W), name


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        (lambda: "rmsporp", "did you mean 'rmsprop'"),
        (lambda: 3, "expected a name"),
        (lambda: Adam(beta1=1.0), "beta1"),
        (lambda: Adam(eps=-1.0), "eps"),
        (lambda: RMSProp(alpha=2.0), "alpha"),
        (lambda: Adagrad(initial=-1.0), "initial"),
        (lambda: SGD(momentum=-0.1), "momentum"),
        (lambda: LBFGS(searches=0), "searches"),
        (lambda: LBFGS(memory=0), "memory"),
    ],
)
def test_options_outside_their_limits_are_refused(optimiser, message):
    with pytest.raises(SettingError, match=message):
        lamina.fit(Bowl(), X, Descent(), epochs=1, optimiser=optimiser())
