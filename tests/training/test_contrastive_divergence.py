"""Gradients written by hand: equal to autograd's, to enumeration's where the chain is long, and the same in parts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import lamina
import oracles
from lamina import RBM, Bernoulli, Gaussian
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import exact_log_partition
from lamina.training import (
    ContrastiveDivergence,
    FastPersistentContrastiveDivergence,
    PersistentContrastiveDivergence,
    SparsityTarget,
)
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch

CPU = torch.device("cpu")


def machines() -> dict[str, RBM]:
    linear = RBM(4, Gaussian(3, sigma=0.7), dtype=torch.float64)
    with torch.no_grad():
        for parameter in (linear.W, linear.b, linear.c):
            parameter.copy_(torch.from_numpy(np.random.default_rng(3).normal(0, 0.4, tuple(parameter.shape))))
    return {
        "binary": oracles.random_binary(4, 3, scale=0.8),
        "gaussian, sigma fixed": oracles.random_gaussian(4, 3, scale=0.6, learn_sigma=False),
        "gaussian, sigma learnt": oracles.random_gaussian(4, 3, scale=0.6, learn_sigma=True),
        "gaussian hidden": linear,
    }


RULES = {
    "cd-1": lambda: ContrastiveDivergence(1),
    "cd-3": lambda: ContrastiveDivergence(3),
    "cd-1, visible means": lambda: ContrastiveDivergence(1, sample_visible=False),
    "cd-2, visible means last": lambda: ContrastiveDivergence(2, mean_last=True),
    "fpcd": lambda: FastPersistentContrastiveDivergence(1, n_chains=6),
    "pcd": lambda: PersistentContrastiveDivergence(2, n_chains=6),
    "pcd, as many chains as rows": lambda: PersistentContrastiveDivergence(1, n_chains=9),
}


def rows_for(rbm: RBM, n: int = 9) -> torch.Tensor:
    generator = np.random.default_rng(5)
    if isinstance(rbm.visible, Bernoulli):
        return torch.from_numpy((generator.random((n, rbm.n_visible)) < 0.4).astype(float))
    return torch.from_numpy(generator.normal(size=(n, rbm.n_visible)))


def start(rule, rbm, world: World | None = None):
    for parameter in rule.parameters(rbm):
        parameter.grad = torch.full_like(parameter, float("nan"))  # whatever is not written shows
    rule.start(rbm, Setting(Random(1), world or World(), CPU, rbm.W.dtype, 9))
    return rule


def gradients(rule, rbm, v, rows=None, total=None, step=0) -> dict[str, torch.Tensor]:
    rows = torch.arange(len(v)) if rows is None else rows
    rule.gradients(rbm, Batch((v,), rows, total or len(v)), step, Random(2))
    return {name: p.grad.clone() for name, p in rbm.named_parameters()}


def samples(rule, rbm, n: int) -> torch.Tensor:
    """The rows of the negative phase of the step just done."""
    if isinstance(rule, PersistentContrastiveDivergence):
        return rule.chains.clone()
    return rule.phases(rbm, n, n).v[n:].clone()


@pytest.mark.parametrize("machine", sorted(machines()))
@pytest.mark.parametrize("name", sorted(RULES))
def test_the_gradient_by_hand_is_autograds(machine, name):
    """∂/∂θ of mean F(v⁺) − mean F(v⁻), the samples held fixed."""
    rbm, rule = machines()[machine], RULES[name]()
    v = rows_for(rbm)
    by_hand = gradients(start(rule, rbm), rbm, v)
    negative = samples(rule, rbm, len(v))
    surrogate = rbm.free_energy(v).mean() - rbm.free_energy(negative).mean()
    for (key, _), gradient in zip(
        rbm.named_parameters(), torch.autograd.grad(surrogate, list(rbm.parameters())), strict=True
    ):
        torch.testing.assert_close(by_hand[key], gradient, rtol=1e-10, atol=1e-12, msg=key)


# Fast weights are summed over processes inside a step, so that rule needs real ones (tests/training/two_processes.py).
IN_PARTS = sorted(set(RULES) - {"fpcd"})


@pytest.mark.parametrize("machine", sorted(machines()))
@pytest.mark.parametrize("name", IN_PARTS)
def test_the_gradient_of_a_batch_is_the_sum_of_its_parts(machine, name):
    """Two processes hold 5 and 4 of 9 rows, and their slices of the chains."""
    rbm = machines()[machine]
    v, rows = rows_for(rbm), torch.arange(20, 29)
    whole = gradients(start(RULES[name](), rbm), rbm, v, rows)
    parts = []
    for rank in (0, 1):
        world = World(rank, 2)
        mine = world.slice(9)
        rule = start(RULES[name](), rbm, world)
        parts.append(gradients(rule, rbm, v[mine], rows[mine], total=9))
    for key in whole:
        torch.testing.assert_close(parts[0][key] + parts[1][key], whole[key], rtol=1e-10, atol=1e-12, msg=key)


@pytest.mark.parametrize("name", IN_PARTS)
def test_a_process_without_rows_writes_its_part(name):
    rbm = machines()["gaussian, sigma learnt"]
    v = rows_for(rbm, 1)
    whole = gradients(start(RULES[name](), rbm), rbm, v)
    parts = []
    for rank in (0, 1):
        world = World(rank, 2)
        mine = world.slice(1)
        rule = start(RULES[name](), rbm, world)
        parts.append(gradients(rule, rbm, v[mine], torch.arange(1)[mine], total=1))
    for key in whole:
        torch.testing.assert_close(parts[0][key] + parts[1][key], whole[key], rtol=1e-10, atol=1e-12, msg=key)


def spread_of_products(rbm, exact) -> dict[str, np.ndarray]:
    """Standard deviation under the model of what one chain adds to each gradient of a binary machine."""
    h = exact.mean_h()
    products = exact.v[:, :, None] * h[:, None, :]

    def deviation(x):
        mean = np.tensordot(exact.p_v, x, 1)
        return np.sqrt(np.maximum(np.tensordot(exact.p_v, (x - mean) ** 2, 1), 1e-12))

    return {"W": deviation(products), "b": deviation(exact.v), "c": deviation(h)}


@pytest.mark.parametrize("persistent", [False, True])
def test_long_chains_give_the_gradient_of_the_exact_likelihood(persistent):
    """Within five standard errors of n chains of 60 steps, entry by entry."""
    rbm = oracles.random_binary(4, 3, scale=0.5, seed=8)
    n = 40_000
    data = rows_for(rbm, 8)
    v = data.repeat(n // 8, 1)
    rule = PersistentContrastiveDivergence(60, n_chains=n) if persistent else ContrastiveDivergence(60)
    found = gradients(start(rule, rbm), rbm, v)
    expected = oracles.binary_likelihood_gradient(rbm, data.numpy())
    spread = spread_of_products(rbm, oracles.binary(rbm))
    for key in expected:
        z = (found[key].numpy() + expected[key]) / (spread[key] / np.sqrt(n))  # .grad is the descent direction
        assert np.abs(z).max() < 5, key


def test_long_chains_give_the_gradient_of_a_gaussian_machines_likelihood():
    rbm = oracles.random_gaussian(3, 3, scale=0.4, seed=8)
    n = 40_000
    data = rows_for(rbm, 8)
    found = gradients(start(ContrastiveDivergence(60), rbm), rbm, data.repeat(n // 8, 1))
    expected = oracles.gaussian_likelihood_gradient(rbm, data.numpy())
    exact = oracles.mixture(rbm)
    W, b, _ = oracles.arrays(rbm)
    s2 = exact.variance
    drawn = exact.draw(200_000, np.random.default_rng(0))  # the spread of one chain's part, by the oracle's own draws
    h = exact.mean_h(drawn)
    statistic = ((drawn - b) ** 2 / 2 - drawn * (h @ W.T)) / s2
    spread = {
        "W": (drawn[:, :, None] / s2[None, :, None] * h[:, None, :]).std(0),
        "b": (drawn / s2).std(0),
        "c": h.std(0),
        "log_variance": statistic.std(0),
    }
    for key in expected:
        ours = found["visible.log_variance" if key == "log_variance" else key].numpy()
        assert np.abs((ours + expected[key]) / (spread[key] / np.sqrt(n))).max() < 5.5, key


def test_a_sparsity_target_makes_hidden_units_rare():
    X = oracles.bars()
    activity = {}
    for cost in (0.0, 3.0):
        rbm = RBM(16, 12)
        rule = ContrastiveDivergence(1, penalty=SparsityTarget(0.05, cost, biases_only=True))
        lamina.fit(rbm, X, rule, epochs=60, batch_size=10, learning_rate=0.1, random_state=0)
        activity[cost] = rbm.mean_h_from_v(torch.from_numpy(X).float()).mean().item()
    assert activity[3.0] < 0.15 < 0.3 < activity[0.0]


def test_chains_persist_over_batches_and_epochs():
    """Each step goes on where the last one ended: chains equal a Gibbs run by hand with the weights of each moment."""
    seen = []

    class Watched(PersistentContrastiveDivergence):
        def gradients(self, model, batch, step, random):
            before = self.chains.clone()
            result = super().gradients(model, batch, step, random)
            by_hand = before
            at = random.at(step, torch.arange(self.n_chains))
            for _ in range(self.k):
                by_hand = model.sample_v_from_h(model.sample_h_from_v(by_hand, at), at)
            seen.append((before, self.chains.clone(), by_hand))
            return result

    rbm = oracles.random_binary(4, 3, scale=0.3)
    X = rows_for(rbm, 20).numpy()
    rule = Watched(3, n_chains=11)
    lamina.fit(rbm, X, rule, epochs=3, batch_size=8, learning_rate=0.1, random_state=0)
    assert len(seen) == 9
    for (_, after, by_hand), (before, _, _) in pairwise(seen):
        assert torch.equal(after, before)
        assert torch.equal(after, by_hand)
    assert rule.chains.shape == (11, 4)
    assert ((rule.chains == 0) | (rule.chains == 1)).all()


@pytest.mark.parametrize(
    "rule",
    [
        ContrastiveDivergence(5),
        ContrastiveDivergence(5, centred=True),
        PersistentContrastiveDivergence(1, n_chains=50),
        PersistentContrastiveDivergence(1, n_chains=50, centred=True),
        FastPersistentContrastiveDivergence(1, n_chains=50, fast_learning_rate=0.01),
    ],
    ids=["cd", "cd, centred", "pcd", "pcd, centred", "fpcd"],
)
def test_learning_raises_the_exact_likelihood(rule):
    X = oracles.bars()
    data = torch.from_numpy(X).double()
    rbm = RBM(16, 12, dtype=torch.float64).initialise(0, data.mean(0), scale=0.1)

    @torch.no_grad()
    def log_likelihood() -> float:
        return float(-rbm.free_energy(data).mean()) - exact_log_partition(rbm)

    before = log_likelihood()
    rate = lamina.Schedule(((0.0, 0.3), (400.0, 0.01)), linear=True)
    lamina.fit(rbm, X, rule, epochs=400, batch_size=15, learning_rate=rate, momentum=0.5, random_state=0)
    after = log_likelihood()
    assert before < -10.5  # 16 nearly free pixels: −16 log 2
    assert after > -5.0  # 30 patterns: at best −log 30 = −3.4
    assert after < -np.log(30)


def test_fast_weights_drive_the_chains_and_fade():
    """φ is the decayed sum of the gradients, the chains follow θ + φ, and without gradients they follow θ again."""
    rbm = oracles.random_binary(4, 3, scale=0.5)
    v = rows_for(rbm)
    rule = start(FastPersistentContrastiveDivergence(2, n_chains=6, fast_learning_rate=0.5, decay=0.9), rbm)
    expected = torch.zeros_like(rbm.W)
    for step in range(3):
        before = rule.chains.clone()
        gradient = gradients(rule, rbm, v, step=step)["W"]
        driven, at = rule.driven, Random(2).at(step, torch.arange(6))
        for _ in range(2):
            before = driven.sample_v_from_h(driven.sample_h_from_v(before, at), at)
        assert torch.equal(rule.chains, before)
        torch.testing.assert_close(driven.W, rbm.W + expected)
        expected = 0.9 * expected - 0.5 * gradient
        torch.testing.assert_close(rule.fast["W"], expected)
    assert {"fast W", "fast b", "fast c", "chains"} == set(rule.state())


def test_what_cannot_be_trained_is_refused():
    X = np.zeros((4, 3))
    with pytest.raises(DataError, match="values reach 255"):
        lamina.fit(RBM(3, 2), X + 255, ContrastiveDivergence(1), epochs=1)
    raw = np.random.default_rng(0).normal(100, 30, (50, 3))
    with pytest.raises(DataError, match="not standardised"):
        lamina.fit(RBM(Gaussian(3), 2), raw, ContrastiveDivergence(1), epochs=1)
    with pytest.raises(DataError, match=r"shape \(4, 3\); expected \(rows, 4\)"):
        lamina.fit(RBM(4, 2), X, ContrastiveDivergence(1), epochs=1)
    with pytest.raises(SettingError, match="trains an RBM; MLP given"):
        lamina.fit(lamina.MLP([3, 2]), X, ContrastiveDivergence(1), epochs=1)
    with pytest.raises(SettingError, match="learns no variance of hidden units"):
        lamina.fit(RBM(3, Gaussian(2, learn_sigma=True)), X, ContrastiveDivergence(1), epochs=1)
    mixed = lamina.units.Concatenated([Gaussian(2, learn_sigma=True), Bernoulli(1)])
    with pytest.raises(SettingError, match="Gaussian as a whole"):
        lamina.fit(RBM(mixed, 2), X, ContrastiveDivergence(1), epochs=1)
    for wrong in ({"k": 0}, {"k": 1.5}, {"penalty": 0.1}, {"penalty": lamina.L1(0.1)}):
        with pytest.raises(SettingError):
            ContrastiveDivergence(**wrong)
    with pytest.raises(SettingError, match="n_chains"):
        PersistentContrastiveDivergence(n_chains=0)
