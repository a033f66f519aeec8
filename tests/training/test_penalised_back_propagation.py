"""Weighted rows, a penalty divided by the batch's weight, and hand-written gradients: against autograd."""

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models import MLP
from lamina.training import MaxNorm, fit
from lamina.training.penalised_back_propagation import LOSSES, PenalisedBackPropagation, WeightedObjective
from lamina.training.perceptron_gradients import ACTIVATE, SLOPES, PlainGradients, is_plain
from lamina.training.step_velocity import Kept, VelocityMomentum

N, D = 12, 5


def targets(loss, n_out=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if loss == "cross-entropy":
        return torch.randint(n_out, (N,), generator=generator)
    y = torch.rand(N, n_out, generator=generator, dtype=torch.float64)
    return {"binary cross-entropy": y.round(), "squared": y, "poisson": (3 * y).round()}[loss]


def rows(seed=1):
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(activation="tanh", sizes=(D, 6, 4, 3), **options):
    return MLP(sizes, activation=activation, dtype=torch.float64, random_state=2, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", list(LOSSES))
def test_slopes_are_those_of_the_loss(loss, weighted):
    z = torch.randn(N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = targets(loss)
    s = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) if weighted else None
    cost, delta = LOSSES[loss](z, y, s)
    (expected,) = torch.autograd.grad(cost, z)
    torch.testing.assert_close(delta if s is None else delta * s[:, None], expected)
    assert torch.autograd.gradcheck(lambda z: LOSSES[loss](z, y, s)[0], z)


def test_losses_are_their_formulas():
    z = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    y = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    p = torch.sigmoid(z)
    assert float(LOSSES["binary cross-entropy"](z, y, None)[0]) == pytest.approx(
        float(-p[0, 0].log() - (1 - p[0, 1]).log())
    )
    assert float(LOSSES["squared"](z, y, None)[0]) == pytest.approx((0.25 + 1) / 2)
    deviance = float((0 - np.log(np.exp(0.5))) - 1 + np.exp(0.5) + np.exp(-1.0))
    assert float(LOSSES["poisson"](z, y, None)[0]) == pytest.approx(deviance)
    assert float(LOSSES["cross-entropy"](z, torch.tensor([1]), None)[0]) == pytest.approx(
        float(-torch.softmax(z, 1)[0, 1].log())
    )


@pytest.mark.parametrize("activation", list(SLOPES))
def test_hand_written_gradients_are_autograds(activation):
    model, x, y = network(activation), rows(), targets("squared")
    cost, decay = LOSSES["squared"](model(x), y, None)[0], 0.3
    parameters = list(model.parameters())
    expected = torch.autograd.grad(cost, parameters)
    for p in parameters:
        p.grad = torch.full_like(p, torch.nan)
    with torch.no_grad():
        plain = PlainGradients(model)
        values = plain.values(x)
        torch.testing.assert_close(values[-1], model(x))
        torch.testing.assert_close(values[1:-1], model.hidden_means(x))
        plain.gradients(values, values[-1] - y, decay)
    for p, g in zip(parameters, expected, strict=True):
        torch.testing.assert_close(p.grad, g + decay * p.detach() if p.dim() == 2 else g)


def test_what_counts_as_plain():
    assert set(ACTIVATE) == set(SLOPES)
    assert is_plain(network("relu", sizes=(D, 3)))
    for other in (
        network("softplus"),
        network(dropout=0.1),
        network(input_dropout=0.1),
        network(normalise=True),
        torch.nn.Linear(2, 2),
    ):
        assert not is_plain(other)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "softplus", "maxout", "prelu"])
def test_one_step_descends_the_penalised_cost(activation, weighted):
    """C_B = (Σ s ℓ + α/2 ‖W‖²) / Σ s, its gradient by autograd; by hand for tanh, by autograd for the others."""
    x, y, alpha, rate = rows(), targets("cross-entropy"), 0.7, 0.05
    s = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 0.1
    model = network(activation)
    total = s.sum() if weighted else N
    losses = torch.nn.functional.cross_entropy(model(x), y, reduction="none")
    squares = sum(W.square().sum() for W in model.W)
    cost = ((losses * s).sum() if weighted else losses.sum()) / total + alpha / 2 / total * squares
    parameters = list(model.parameters())
    expected = [p.detach() - rate * g for p, g in zip(parameters, torch.autograd.grad(cost, parameters), strict=True)]
    data = (x, y, s) if weighted else (x, y)
    history = fit(model, data, PenalisedBackPropagation(alpha=alpha), epochs=1, batch_size=N, learning_rate=rate)
    for p, e in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(p.detach(), e)
    assert history["training loss"][0] == pytest.approx(float(cost.detach()), rel=1e-12)


def test_the_measure_is_the_mean_over_rows_of_uneven_batches():
    model, x, y = network(), rows(), targets("squared")
    alpha = 0.4
    rule = PenalisedBackPropagation("squared", alpha=alpha)
    history = fit(model, (x, y), rule, epochs=1, batch_size=5, learning_rate=0.0, random_state=0)
    losses = (model(x) - y).square().sum(1).detach() / 2
    penalty = float(sum(W.detach().square().sum() for W in model.W)) * alpha / 2
    expected = (float(losses.sum()) + 3 * penalty) / N  # each of three batches adds penalty / n, n times
    assert history["training loss"][0] == pytest.approx(expected, rel=1e-12)
    assert history["penalty"][0] == pytest.approx(3 * penalty / N, rel=1e-12)


def test_a_weight_of_two_is_a_row_given_twice():
    x, y = rows(), targets("poisson")
    s = torch.ones(N, dtype=torch.float64)
    s[3] = 2
    once, twice = network(), network()
    rule = {"epochs": 3, "batch_size": 20, "learning_rate": 0.1, "random_state": 0}
    fit(once, (x, y, s), PenalisedBackPropagation("poisson", alpha=0.2), **rule)
    repeated = torch.cat([x, x[3:4]]), torch.cat([y, y[3:4]])
    fit(twice, repeated, PenalisedBackPropagation("poisson", alpha=0.2), **rule)
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_objective_is_the_same_cost():
    x, y, alpha = rows(), targets("cross-entropy"), 0.5
    s = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 0.1
    model = network()
    rule = PenalisedBackPropagation(alpha=alpha)
    assert type(rule.as_objective()) is WeightedObjective
    scaled = s * (N / s.sum())
    history = fit(
        model, (x, y, scaled), rule, epochs=2, batch_size=5, optimiser="lbfgs", weight_decay=alpha / float(s.sum())
    )
    losses = torch.nn.functional.cross_entropy(model(x), y, reduction="none")
    cost = ((losses * s).sum() + alpha / 2 * sum(W.square().sum() for W in model.W)) / s.sum()
    assert history["objective"][-1] == pytest.approx(float(cost.detach()), rel=1e-9)
    slopes = torch.autograd.grad(cost, list(model.parameters()))
    assert max(float(g.abs().max()) for g in slopes) < 1e-4


@pytest.mark.parametrize("options", [{}, {"dropout": 0.4}])
def test_a_broken_run_ends_as_an_unbroken_one(tmp_path, options):
    """Also with dropout, whose draws hang on step and row."""
    x, y = rows(), targets("squared")
    settings = {"batch_size": 5, "learning_rate": 0.05, "momentum": 0.9, "random_state": 4}
    settings |= {"penalties": (MaxNorm(2.0),), "epochs": 6}
    whole = network(**options)
    fit(whole, (x, y), PenalisedBackPropagation("squared", alpha=0.1), **settings)
    broken = network(**options)

    class KilledError(Exception):
        pass

    class Kill:
        def on_epoch(self, record, epochs):
            if record.epoch == 3:
                raise KilledError

    rule = PenalisedBackPropagation("squared", alpha=0.1)
    folder = {"checkpoint": tmp_path / "run", "checkpoint_seconds": 0.0}
    with pytest.raises(KilledError):
        fit(broken, (x, y), rule, callbacks=(Kill(),), **settings, **folder)
    again = network(**options)
    fit(again, (x, y), PenalisedBackPropagation("squared", alpha=0.1), **settings, **folder)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bad_input():
    x, y = rows(), targets("squared")
    with pytest.raises(SettingError, match="loss is 'hinge'"):
        PenalisedBackPropagation("hinge")
    with pytest.raises(SettingError, match="alpha is -1"):
        PenalisedBackPropagation(alpha=-1)
    once = {"epochs": 1, "batch_size": 4}
    for data, message in (
        ((x,), r"1 array\(s\)"),
        ((x, y), "expects class codes"),
        ((x, targets("cross-entropy"), -torch.ones(N, dtype=torch.float64)), "below 0"),
    ):
        with pytest.raises(DataError, match=message):
            fit(network(), data, PenalisedBackPropagation(), **once)
    with pytest.raises(DataError, match="expects targets"):
        fit(network(), (x, y[:, 0]), PenalisedBackPropagation("squared"), **once)


def test_rows_of_no_weight_leave_everything_as_it_is():
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    data = (rows(), targets("squared"), torch.zeros(N, dtype=torch.float64))
    history = fit(
        model, data, PenalisedBackPropagation("squared", alpha=1.0), epochs=1, batch_size=N, learning_rate=1.0
    )
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert history["training loss"] == [0.0]


def test_dropout_draws_from_the_stream():
    one, two = network(dropout=0.5), network(dropout=0.5)
    data, settings = (rows(), targets("squared")), {"epochs": 2, "batch_size": 4, "learning_rate": 0.1}
    fit(one, data, PenalisedBackPropagation("squared"), random_state=Random(1), **settings)
    fit(two, data, PenalisedBackPropagation("squared"), random_state=Random(2), **settings)
    assert not torch.equal(one.W[0], two.W[0])


def test_an_optimiser_made_before_goes_on():
    data, settings = (rows(), targets("squared")), {"batch_size": N, "learning_rate": 0.05, "momentum": 0.9}
    whole, halves = network(), network()
    made = {m: VelocityMomentum(list(m.parameters())) for m in (whole, halves)}
    fit(whole, data, PenalisedBackPropagation("squared"), epochs=4, optimiser=Kept(made[whole]), **settings)
    for _ in range(2):
        fit(halves, data, PenalisedBackPropagation("squared"), epochs=2, optimiser=Kept(made[halves]), **settings)
    for a, b in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
