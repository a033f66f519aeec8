"""Learning with parallel tempering: the gradient it estimates, its state in checkpoints, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from lamina import RBM
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.training.distributed import World
from lamina.training.parallel_tempering import ParallelTempering
from lamina.training.rules import Setting
from lamina.training.sources import Batch
from lamina.units import Rectified, Spin

CPU = torch.device("cpu")


def started(rule: ParallelTempering, rbm: RBM, n_rows: int) -> ParallelTempering:
    for parameter in rbm.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rule.start(rbm, Setting(Random(1), World(), CPU, rbm.W.dtype, n_rows))
    return rule


def whole_batch(v: torch.Tensor) -> Batch:
    return Batch((v,), torch.arange(len(v)), len(v))


def test_the_gradient_is_that_of_the_likelihood():
    """Many chains, after enough sweeps, under fixed weights: each entry within its own sampling error."""
    n = 4_000
    rbm = oracles.random_binary(4, 3, scale=1.0, seed=2)
    data = (np.random.default_rng(0).random((30, 4)) < 0.4).astype(float)
    rule = started(ParallelTempering(k=4, n_chains=n, n_temperatures=4), rbm, 30)
    for step in range(5):
        measures = rule.gradients(rbm, whole_batch(torch.from_numpy(data)), step, Random(3))
    exact = oracles.binary_likelihood_gradient(rbm, data)
    for name in ("W", "b", "c"):
        found = -getattr(rbm, name).grad.numpy()
        assert np.abs(found - exact[name]).max() < 5 * 0.5 / np.sqrt(n), name
    assert 0.2 < float(measures["swap rate"]) / 30 < 1.0
    assert float(measures["reconstruction error"]) > 0


def test_chains_leave_their_mode_and_those_of_plain_persistence_do_not():
    """Two moods of ten spins; data of both; chains that all begin in one."""
    rbm = RBM(Spin(10), Spin(2), dtype=torch.float64)
    with torch.no_grad():
        rbm.W.fill_(0.9)
    data = torch.ones(10, 10, dtype=torch.float64)
    up = torch.ones(400, 10, dtype=torch.float64)
    share = {}
    for name, rule in {
        "tempering": ParallelTempering(k=5, n_chains=400),
        "persistence": lamina.PersistentContrastiveDivergence(5, n_chains=400),
    }.items():
        started(rule, rbm, 10)
        rule.chains = up.clone()
        for step in range(10):
            rule.gradients(rbm, whole_batch(data), step, Random(4))
        share[name] = float((rule.chains.sum(1) > 0).double().mean())
    assert share["persistence"] > 0.95
    assert abs(share["tempering"] - 0.5) < 5 * 0.5 / np.sqrt(400)


class StopAfter:
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch(self, record, epochs) -> None:
        if record.epoch == self.epochs:
            raise RuntimeError("crash")


def learn(**options) -> tuple[RBM, lamina.History]:
    data = (np.random.default_rng(1).random((60, 8)) < 0.3).astype(np.float32)
    rbm = RBM(8, 5, random_state=2).initialise(2, torch.from_numpy(data.mean(0)))
    rule = ParallelTempering(2, n_chains=7, n_temperatures=4, centred=True)
    return rbm, lamina.fit(rbm, data, rule, epochs=4, batch_size=13, learning_rate=0.1, random_state=3, **options)


def test_a_broken_run_goes_on_exactly(tmp_path):
    unbroken, history = learn()
    options = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        learn(callbacks=[StopAfter(2)], **options)
    resumed, again = learn(**options)
    for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert again["swap rate"] == history["swap rate"]
    assert all(0 < rate <= 1 for rate in history["swap rate"])


def test_chains_of_all_temperatures_and_the_base_are_part_of_the_state():
    rbm = RBM(6, 4)
    with torch.no_grad():
        rbm.b.fill_(0.7)
    rule = started(ParallelTempering(n_chains=5, n_temperatures=3), rbm, 10)
    state = {name: tensor.clone() for name, tensor in rule.state().items()}
    assert state["chains"].shape == (5, 6)
    assert state["hotter chains"].shape == (5, 2, 6)
    assert torch.equal(state["base"], torch.full((6,), 0.7))
    other = started(ParallelTempering(n_chains=5, n_temperatures=3), RBM(6, 4), 10)
    other.load_state(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.state().items())


def test_settings_are_described_and_checked():
    assert ParallelTempering(n_temperatures=3).describe()["betas"] == [0.0, 0.5, 1.0]
    assert ParallelTempering(betas=(0.0, 0.9, 1.0)).describe()["betas"] == [0.0, 0.9, 1.0]
    with pytest.raises(SettingError, match="n_temperatures"):
        ParallelTempering(n_temperatures=1)
    with pytest.raises(SettingError, match="expected each larger"):
        ParallelTempering(betas=(0.0, 0.9, 0.5, 1.0))
    with pytest.raises(SettingError, match="another distribution than its energy"):
        lamina.fit(RBM(3, Rectified(2, sampler="noisy")), np.ones((4, 3), np.float32), ParallelTempering(), epochs=1)
