"""Back-propagation and fine-tuning: gradients, frozen layers, the head alone, dropout only while learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

import lamina
import oracles
from lamina import MLP, Stack
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.training import BackPropagation, fine_tune, train_head
from lamina.training.rules import Setting
from lamina.training.sources import Batch
from lamina.training.virtual_adversarial import VirtualAdversarial

CPU = torch.device("cpu")
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 5))
Y = (X[:, 0] + 0.5 * GENERATOR.normal(size=60) > 0).astype(np.int64) + (X[:, 1] > 1)


def step(rule, network, rows, total=None) -> list[torch.Tensor]:
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    batch = Batch((torch.from_numpy(X)[rows], torch.from_numpy(Y)[rows]), rows, total or len(rows))
    rule.gradients(network, batch, 0, Random(3))
    return [p.grad.clone() for p in network.parameters()]


def test_the_gradient_is_that_of_the_mean_cross_entropy_by_differences():
    network = MLP([5, 4, 3], activation="tanh", dtype=torch.float64)
    rows = torch.arange(20)
    found = step(BackPropagation(), network, rows)

    def loss() -> float:
        log_p = log_softmax(network(torch.from_numpy(X[:20])).detach().numpy(), axis=1)
        return -log_p[np.arange(20), Y[:20]].mean()

    for parameter, gradient in zip(network.parameters(), found, strict=True):
        flat = parameter.data.view(-1)
        for k in range(0, len(flat), 3):
            flat[k] += 1e-5
            above = loss()
            flat[k] -= 2e-5
            below = loss()
            flat[k] += 1e-5
            assert gradient.view(-1)[k].item() == pytest.approx((above - below) / 2e-5, abs=1e-7)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_gradient_of_a_batch_is_the_sum_of_its_parts(dropout):
    network = MLP([5, 8, 3], dropout=dropout, input_dropout=dropout / 2, dtype=torch.float64)
    rows = torch.tensor([3, 41, 7, 22, 9])
    whole = step(BackPropagation(), network, rows)
    parts = [step(BackPropagation(), network, part, total=5) for part in (rows[:2], rows[2:], rows[:0])]
    for k, gradient in enumerate(whole):
        torch.testing.assert_close(sum(part[k] for part in parts), gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("frozen", [1, 2])
def test_frozen_layers_stay_bit_for_bit(frozen):
    network = MLP([5, 6, 4, 3], dropout=0.2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    options = {"epochs": 3, "learning_rate": 0.1, "weight_decay": 0.1, "optimiser": "adam", "random_state": 0}
    lamina.fit(network, (X, Y), BackPropagation(frozen=frozen), **options)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (int(name[-1]) < frozen), name


def test_the_head_alone_is_logistic_regression_on_the_codes():
    """The right answer for a convex head: scikit-learn's, whose C is 1 / (λ n)."""
    stack = Stack([oracles.random_binary(5, 4, seed=1), oracles.random_binary(4, 3, seed=2)])
    network = stack.classifier(3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    train_head(network, X, Y, weight_decay=1e-2, steps=10)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (int(name[-1]) < 2), name
    codes = stack.encode(torch.from_numpy(X)).detach().numpy()
    judge = LogisticRegression(C=1 / (1e-2 * len(X)), tol=1e-10, max_iter=10_000).fit(codes, Y)
    ours = torch.softmax(network(torch.from_numpy(X)), 1).detach().numpy()
    np.testing.assert_allclose(ours, judge.predict_proba(codes), atol=2e-4)


@pytest.mark.parametrize("method", ["supervised", "adversarial"])
def test_fine_tuning_learns_and_predicts_without_noise(method):
    network = MLP([5, 16, 3], dropout=0.3, dtype=torch.float64)
    history = fine_tune(
        network,
        X,
        Y,
        X_unlabelled=X,
        method=method,
        epochs=60,
        batch_size=20,
        learning_rate=0.01,
        radius=0.3,
        random_state=0,
    )
    given = torch.from_numpy(X)
    outputs = network(given)
    assert torch.equal(outputs, network(given))
    assert float((outputs.argmax(1) == torch.from_numpy(Y)).double().mean()) > 0.8
    assert history["training loss"][-1] < history["training loss"][0]


def test_what_cannot_be_fine_tuned_is_refused():
    with pytest.raises(SettingError, match="rows without labels"):
        fine_tune(MLP([5, 3]), X, Y, method="adversarial")
    with pytest.raises(SettingError, match="method is 'magic'"):
        fine_tune(MLP([5, 3]), X, Y, method="magic")
    with pytest.raises(SettingError, match="did you mean 'squared'"):
        BackPropagation("square")
    with pytest.raises(SettingError, match="frozen"):
        BackPropagation(frozen=-1)


def adversarial(network) -> VirtualAdversarial:
    rule = VirtualAdversarial(torch.from_numpy(X[:9]), torch.from_numpy(Y[:9]), radius=0.7, labelled_batch=5)
    from lamina.training.distributed import World

    rule.start(network, Setting(Random(1), World(), CPU, torch.float64, 10))
    return rule


def test_the_adversarial_direction_has_its_length_and_hurts_more_than_chance():
    network = MLP([5, 8, 3], activation="tanh", dtype=torch.float64)
    rule = adversarial(network)
    x = torch.from_numpy(X)
    fixed = torch.log_softmax(network(x), 1).detach()
    towards = rule._adversarial_direction(network, x, fixed, Random(2).at(0, torch.arange(len(x))))
    torch.testing.assert_close(towards.norm(dim=1), torch.full((60,), 0.7, dtype=torch.float64))

    def divergence(r) -> torch.Tensor:
        moved = torch.log_softmax(network(x + r), 1).detach()
        return (fixed.exp() * (fixed - moved)).sum(1)

    chance = torch.randn(50, 60, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chance *= 0.7 / chance.norm(dim=2, keepdim=True)
    random_mean = torch.stack([divergence(r) for r in chance]).mean(0)
    both_ways = torch.maximum(divergence(towards), divergence(-towards))  # one power iteration leaves the sign open
    assert float((both_ways > random_mean).double().mean()) > 0.9


def test_an_adversarial_step_is_the_formula():
    """Cross-entropy + divergence along r + entropy, differentiated with r and the first answer held fixed."""
    network = MLP([5, 8, 3], activation="tanh", dtype=torch.float64)
    rule = adversarial(network)
    rows = torch.arange(10, 20)
    x = torch.from_numpy(X)[rows]
    found = step(rule, network, rows)
    drawn = rule._labelled_rows(0)
    fixed = torch.log_softmax(network(x), 1).detach()
    towards = rule._adversarial_direction(network, x, fixed, Random(3).at(0, rows))
    log_p = torch.log_softmax(network(x), 1)
    supervised = -torch.log_softmax(network(rule.X[drawn]), 1)[torch.arange(5), rule.y[drawn]].mean()
    smooth = (fixed.exp() * (fixed - torch.log_softmax(network(x + towards), 1))).sum(1).mean()
    entropy = -(log_p.exp() * log_p).sum(1).mean()
    expected = torch.autograd.grad(supervised + smooth + entropy, list(network.parameters()))
    for ours, gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, gradient, rtol=1e-9, atol=1e-12)
