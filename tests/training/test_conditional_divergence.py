"""Contrastive divergence with conditions: hand gradients equal autograd's; learning recovers what made the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import conditional_log_likelihood, forecast
from lamina.models.energy import ConditionalRBM, TemporalRBM
from lamina.training import ConditionalDivergence
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch
from lamina.units import Gaussian, Spin

KINDS = {
    "binary": (4, 3),
    "gaussian, spins": (Gaussian(4, sigma=0.8), Spin(3)),
    "gaussian, sigma learnt": (Gaussian(4, learn_sigma=True), 3),
    "gaussian hidden": (4, Gaussian(3, sigma=0.7)),
}
RULES = {
    "cd-1": lambda: ConditionalDivergence(1),
    "cd-3": lambda: ConditionalDivergence(3),
    "cd-1, visible means": lambda: ConditionalDivergence(1, sample_visible=False),
}
PAIRS = [(kind, rule) for kind in KINDS for rule in RULES if not ("learnt" in kind and "means" in rule)]


def machine(kind: str, scale: float = 0.5, seed: int = 0) -> ConditionalRBM:
    model = ConditionalRBM(*KINDS[kind], 2, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return model


def rows(kind: str, n: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(5)
    binary = (generator.random((n, 4)) < 0.4).astype(float)
    v = generator.normal(size=(n, 4)) if kind.startswith("gaussian,") else binary
    return torch.from_numpy(v), torch.from_numpy(generator.normal(size=(n, 2)))


def gradients(rule, model, v, x, places=None, total=None) -> dict[str, torch.Tensor]:
    for parameter in rule.parameters(model):
        parameter.grad = torch.full_like(parameter, float("nan"))  # whatever is not written shows
    places = torch.arange(len(v)) if places is None else places
    rule.start(model, Setting(Random(1), World(), torch.device("cpu"), torch.float64, 9))
    rule.gradients(model, Batch((v, x), places, total or len(v)), 4, Random(2))
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_the_gradient_by_hand_is_autograds(kind, name):
    """∂/∂θ of mean F(v⁺ | x) − F(v⁻ | x), the samples held fixed."""
    model, rule, (v, x) = machine(kind), RULES[name](), rows(kind)
    by_hand = gradients(rule, model, v, x)
    with torch.no_grad():  # random numbers hang on step and row alone: these are the samples of the step above
        at = Random(2).at(4, torch.arange(len(v)))
        _, samples, _ = rule._chains(model, v, model.bias_v(x), model.bias_h(x), at)
    surrogate = (model.free_energy(v, x) - model.free_energy(samples, x)).mean()
    names = [name for name, _ in model.named_parameters()]
    for name, gradient in zip(names, torch.autograd.grad(surrogate, list(model.parameters())), strict=True):
        torch.testing.assert_close(by_hand[name], gradient, rtol=1e-10, atol=1e-12, msg=name)


def test_the_gradient_of_a_batch_is_the_sum_of_its_parts():
    model, (v, x) = machine("gaussian, sigma learnt"), rows("gaussian, sigma learnt")
    places = torch.arange(20, 29)
    whole = gradients(ConditionalDivergence(2), model, v, x, places)
    cuts = (slice(0, 5), slice(5, 9), slice(9, 9))
    parts = [gradients(ConditionalDivergence(2), model, v[c], x[c], places[c], 9) for c in cuts]
    for name in whole:
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name], rtol=1e-10, atol=1e-12, msg=name)


def test_long_chains_give_the_gradient_of_the_exact_likelihood():
    """Within five standard errors of n chains of 40 steps, entry by entry."""
    model, (v, x) = machine("binary", scale=0.4), rows("binary", 4)
    n = 5_000
    found = gradients(ConditionalDivergence(40), model, v.repeat(n, 1), x.repeat(n, 1))
    h = model.hidden.states(torch.float64)
    log_z = torch.logsumexp(-model.free_energy_h(h, x.unsqueeze(1)), 1)
    loss = (model.free_energy(v, x) + log_z).mean()
    names = [name for name, _ in model.named_parameters()]
    largest = float(x.abs().max())  # a row's part of any gradient deviates by at most half of its condition
    for name, exact in zip(names, torch.autograd.grad(loss, list(model.parameters())), strict=True):
        assert float((found[name] - exact).abs().max()) < 5 * 0.5 * max(1.0, largest) / np.sqrt(4 * n), name


def oscillation(n: int, seed: int) -> np.ndarray:
    """A noisy rotation (n, 2), v_t = R v_{t−1} + 0.3 noise: a linear process of lag 1."""
    generator = np.random.default_rng(seed)
    angle = 0.4
    R = 0.95 * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    v = np.zeros((n, 2))
    for t in range(1, n):
        v[t] = v[t - 1] @ R + 0.3 * generator.normal(size=2)
    return v / 0.96  # to unit variance: 0.3 / √(1 − 0.95²)


def test_a_temporal_machine_learns_a_linear_process():
    train, test = [oscillation(400, 0), oscillation(150, 1)], oscillation(300, 2)
    model = TemporalRBM(Gaussian(2, learn_sigma=True), 4, n_lags=2, dtype=torch.float64)
    rule = ConditionalDivergence(1)
    options = {"epochs": 30, "batch_size": 20, "learning_rate": 0.02, "momentum": 0.5, "random_state": 0}
    before = conditional_log_likelihood(model, *model.windows(test)).mean()
    history = lamina.fit(model, model.windows(train), rule, validation=model.windows(test), **options)
    v, x = model.windows(test)
    after = conditional_log_likelihood(model, v, x).mean()
    noise = 0.3 / 0.96
    entropy = np.log(2 * np.pi * np.e * noise**2)  # of two innovations: the best that any machine reaches on average
    assert before < -2.5
    assert -entropy - 0.25 < after < -entropy + 0.2
    assert history["validation forecast error"][-1] == pytest.approx(float((v - forecast(model, x)).square().mean()))
    assert float((v - forecast(model, x)).square().mean()) < 1.25 * noise**2


def test_hidden_units_model_what_rows_share_beyond_their_condition():
    """Three bits that are one common bit, drawn with a probability that the condition sets: biases see three coins."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(300, 1))
    probability = 1 / (1 + np.exp(-2 * x))
    v = np.repeat((generator.random((300, 1)) < probability).astype(float), 3, axis=1)
    model = ConditionalRBM(3, 3, 1, dtype=torch.float64).initialise(0, scale=0.1)
    lamina.fit(model, (v, x), ConditionalDivergence(5), epochs=25, batch_size=20, learning_rate=0.5, random_state=0)
    coin = float((v[:, :1] * np.log(probability) + (1 - v[:, :1]) * np.log(1 - probability)).mean())
    found = float(conditional_log_likelihood(model, torch.from_numpy(v), torch.from_numpy(x)).mean())
    assert found > 2 * coin  # three coins give 3 · coin, the process itself 1 · coin


def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    sequence = oscillation(80, 0)

    def run(folder=None, callbacks=()):
        model = TemporalRBM(Gaussian(2, learn_sigma=True), 3, n_lags=2, random_state=1)
        options = {"epochs": 5, "batch_size": 16, "learning_rate": 0.01, "momentum": 0.5, "random_state": 3}
        options |= {"checkpoint": folder, "checkpoint_seconds": 0.0, "callbacks": callbacks}
        lamina.fit(model, model.windows(sequence), ConditionalDivergence(2), **options)
        return model

    class StoppedError(Exception):
        pass

    class AtEpoch2:
        def on_epoch(self, record, epochs):
            if record.epoch == 2:
                raise StoppedError

    whole = run()
    with pytest.raises(StoppedError):
        run(tmp_path, [AtEpoch2()])
    for a, b in zip(whole.parameters(), run(tmp_path).parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_cannot_be_trained_is_refused():
    v, x = np.zeros((6, 4)), np.zeros((6, 2))

    def fit(model, data, rule=None):
        lamina.fit(model, data, rule or ConditionalDivergence(), epochs=1)

    model = ConditionalRBM(4, 3, 2)
    with pytest.raises(SettingError, match="trains a ConditionalRBM or TemporalRBM; RBM given"):
        fit(lamina.RBM(4, 3), (v, x))
    with pytest.raises(DataError, match=r"1 array\(s\); expected two"):
        fit(model, v)
    with pytest.raises(DataError, match=r"rows to learn from have shape \(6, 3\); expected \(rows, 4\)"):
        fit(model, (v[:, 1:], x))
    with pytest.raises(DataError, match=r"conditions to learn from have shape \(6, 1\); expected \(rows, 2\)"):
        fit(model, (v, x[:, 1:]))
    with pytest.raises(DataError, match="values reach 255"):
        fit(model, (v + 255, x))
    with pytest.raises(SettingError, match="no variance of hidden units"):
        fit(ConditionalRBM(4, Gaussian(3, learn_sigma=True), 2), (v, x))
    with pytest.raises(SettingError, match="visible means have no variance"):
        fit(ConditionalRBM(Gaussian(4, learn_sigma=True), 3, 2), (v, x), ConditionalDivergence(sample_visible=False))
    with pytest.raises(SettingError, match="k is 0"):
        ConditionalDivergence(0)
