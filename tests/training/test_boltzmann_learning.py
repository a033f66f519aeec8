"""Boltzmann learning: its gradient is that of the likelihood, and the one loop learns, resumes and refuses with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import boltzmann_oracle
import oracles
from lamina.core.errors import DataError, Interrupted, SettingError
from lamina.core.random import Random
from lamina.models.energy import RBM, BoltzmannMachine
from lamina.training import BoltzmannLearning, fit
from lamina.training.boltzmann_learning import write_gradients
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch


def data(n: int, columns: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, columns)) < 0.4).astype(float)


def grad(machine: BoltzmannMachine) -> dict[str, np.ndarray]:
    return {name: p.grad.numpy().copy() for name, p in machine.named_parameters()}


def begin(machine: BoltzmannMachine, rule: BoltzmannLearning, batch: int) -> Setting:
    for p in machine.parameters():
        p.grad = torch.zeros_like(p)
    setting = Setting(Random(3), World(), torch.device("cpu"), torch.float64, batch)
    rule.start(machine, setting)
    return setting


@pytest.mark.parametrize("shape", [(4, 0, "full"), (3, 2, "semi-restricted")])
def test_gradients_from_all_states_are_the_likelihoods(shape):
    """Both phases in exact proportion: rows with exact hidden means, every state weighted by its probability."""
    machine = boltzmann_oracle.random_machine(*shape, seed=1)
    table = boltzmann_oracle.exact(machine)
    rows = data(6, shape[0])
    rule = BoltzmannLearning()
    begin(machine, rule, 6)
    clamped = rule._clamped(machine, torch.from_numpy(rows), Random(0))
    weighted = torch.from_numpy(table.s * np.sqrt(table.p)[:, None])  # their products are the exact correlations
    write_gradients(machine, clamped.detach(), weighted, 6, 1)
    expected = boltzmann_oracle.likelihood_gradient(machine, rows)
    np.testing.assert_allclose(-machine.W.grad.numpy(), expected["W"], atol=1e-12)
    write_gradients(machine, clamped.detach(), torch.from_numpy(table.s * table.p[:, None]), 6, 1)
    np.testing.assert_allclose(-machine.b.grad.numpy(), expected["b"], atol=1e-12)


@pytest.mark.parametrize(("shape", "positive"), [((3, 3, "full"), "gibbs"), ((3, 2, "semi-restricted"), "mean-field")])
def test_the_rule_with_many_chains_reaches_the_likelihoods_gradient(shape, positive):
    """Exact draws as chains stay exact; each entry lies within 5 standard errors of the enumeration."""
    machine = boltzmann_oracle.random_machine(*shape, scale=0.7, seed=2)
    table = boltzmann_oracle.exact(machine)
    distinct, n = data(4, shape[0], seed=5), 40_000
    rows = np.tile(distinct, (n // 4, 1))
    rule = BoltzmannLearning(positive, positive_steps=30, n_chains=n)
    begin(machine, rule, n)
    picks = np.random.default_rng(0).choice(len(table.p), size=n, p=table.p)
    rule.chains = torch.from_numpy(table.s[picks])
    batch = Batch((torch.from_numpy(rows),), torch.arange(n), n)
    rule.gradients(machine, batch, 0, Random(4).child("steps"))
    expected, found = boltzmann_oracle.likelihood_gradient(machine, distinct), grad(machine)
    bound = 5 * np.sqrt(2 * 0.25 / n)  # products of bits have variances of at most 1/4, one from each phase
    assert np.abs(found["W"] + expected["W"]).max() < bound
    assert np.abs(found["b"] + expected["b"]).max() < bound
    np.testing.assert_array_equal(found["W"], found["W"].T)
    assert not (found["W"] * (1 - machine.mask.numpy())).any()


def test_mean_field_gradients_are_those_of_the_bound():
    """At the mean-field solution the bound's slope is that of the expected energy alone: −μμᵀ off the diagonal."""
    machine = boltzmann_oracle.random_machine(3, 3, scale=0.6, seed=3)
    rows = torch.from_numpy(data(5, 3, seed=1))
    rule = BoltzmannLearning(positive_steps=2000)
    begin(machine, rule, 5)
    clamped = rule._clamped(machine, rows, Random(0)).detach()
    table = boltzmann_oracle.exact(machine)
    write_gradients(machine, clamped, torch.from_numpy(table.s * np.sqrt(table.p)[:, None]), 5, 1)

    def bound(W: torch.Tensor) -> float:
        """Mean over rows of the best E_q[−E] + H(q), minus log Z."""
        from lamina.inference.mean_field import mean_field, variational_free_energy

        other = boltzmann_oracle.random_machine(3, 3, scale=0.6, seed=3)
        with torch.no_grad():
            other.W.copy_(W)
        mean = mean_field(other, rows, steps=5000, tolerance=1e-13).mean
        return -float(variational_free_energy(other, rows, mean).mean()) - other.exact_log_partition()

    step = 1e-4
    for i, j in ((0, 1), (1, 4), (3, 5)):
        up, down = machine.W.detach().clone(), machine.W.detach().clone()
        for W, change in ((up, step), (down, -step)):
            W[i, j] += change
            W[j, i] += change
        slope = (bound(up) - bound(down)) / (2 * step)
        assert -float(machine.W.grad[i, j]) == pytest.approx(slope, abs=2e-5)


@pytest.mark.parametrize("shape", [(9, 0, "full"), (9, 3, "full"), (9, 4, "semi-restricted")])
def test_the_loop_raises_the_likelihood(shape):
    bars = oracles.bars(3)
    machine = BoltzmannMachine(*shape, dtype=torch.float64, random_state=1)
    v = torch.from_numpy(bars)

    @torch.no_grad()
    def log_likelihood() -> float:
        return float(-machine.free_energy(v).mean()) - machine.exact_log_partition()

    before = log_likelihood()
    rule = BoltzmannLearning(k=2, n_chains=40)
    history = fit(machine, bars, rule, epochs=80, batch_size=14, learning_rate=0.2, random_state=0)
    assert log_likelihood() > before + 0.5
    W = machine.W.detach()
    assert torch.equal(W, W.T)
    assert torch.equal(W * machine.mask, W)
    assert history.records[-1].measures["reconstruction error"] < history.records[0].measures["reconstruction error"]


class KillAt:
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, record, epochs):
        if record.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("positive", ["mean-field", "gibbs"])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, positive):
    rows = data(40, 6)

    def run(folder, callbacks=()):
        machine = BoltzmannMachine(6, 3, random_state=2)
        rule = BoltzmannLearning(positive, positive_steps=4, n_chains=7)
        fit(
            machine,
            rows,
            rule,
            epochs=5,
            batch_size=16,
            random_state=1,
            checkpoint=folder,
            checkpoint_seconds=0,
            callbacks=callbacks,
        )
        return machine

    whole = run(tmp_path / "whole")
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        run(tmp_path / "cut", callbacks=[KillAt(3)])
    again = run(tmp_path / "cut")
    assert torch.equal(whole.W, again.W)
    assert torch.equal(whole.b, again.b)


def test_validation_measures_are_finite_and_watched():
    machine = BoltzmannMachine(6, 3, random_state=2)
    rule = BoltzmannLearning(n_chains=10)
    history = fit(
        machine, data(40, 6), rule, epochs=4, batch_size=20, validation=data(20, 6, 1), patience=2, random_state=0
    )
    measures = history.records[-1].measures
    assert np.isfinite([measures["validation reconstruction error"], measures["free-energy gap"]]).all()
    assert history.best_epoch is not None


def test_what_cannot_be_learnt_is_refused():
    machine = BoltzmannMachine(4, 2)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        fit(machine, data(5, 4) * 3, BoltzmannLearning(), epochs=1)
    with pytest.raises(DataError, match="4 visible units"):
        fit(machine, data(5, 3), BoltzmannLearning(), epochs=1)
    with pytest.raises(SettingError, match="RBM given"):
        fit(RBM(4, 2), data(5, 4), BoltzmannLearning(), epochs=1)
    for options in ({"positive": "exact"}, {"k": 0}, {"n_chains": 0}, {"damping": 1.0}, {"positive_steps": 0}):
        with pytest.raises(SettingError, match=next(iter(options))):
            BoltzmannLearning(**options)
