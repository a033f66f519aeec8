"""Convolutional contrastive divergence: autograd's gradient, enumeration's where chains are long, parts, resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from convolutional_oracle import enumerate_machine, random_machine
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.energy import ConvolutionalRBM
from lamina.training import ConvolutionalDivergence, SparsityTarget
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch
from lamina.units import Gaussian

MACHINES = {
    "2-D, border": lambda: (random_machine(1, 2, 2, 2, 2), (3, 4)),
    "2-D, colours": lambda: (random_machine(3, 2, (2, 1), (2, 3), 2), (3, 4)),
    "1-D": lambda: (random_machine(2, 3, 2, 3, 1), (5,)),
    "gaussian": lambda: (random_machine(Gaussian(2), 2, 2, 2, 2, scale=0.5), (3, 3)),
    "gaussian, sigma learnt": lambda: (random_machine(Gaussian(2, learn_sigma=True), 2, 2, 2, 1, scale=0.5), (6,)),
}
RULES = {
    "cd-1": lambda: ConvolutionalDivergence(1),
    "cd-2, visible means": lambda: ConvolutionalDivergence(2, sample_visible=False),
    "pcd": lambda: ConvolutionalDivergence(2, n_chains=6),
}


def maps_for(machine, size, n=9):
    generator = np.random.default_rng(5)
    shape = (n, machine.n_channels, *size)
    gaussian = isinstance(machine.visible, Gaussian)
    return torch.from_numpy(generator.normal(size=shape) if gaussian else (generator.random(shape) < 0.4) * 1.0)


class Watched(ConvolutionalDivergence):
    """Remembers the rows of its negative phase."""

    def _gibbs(self, model, mean_h, random):
        self.seen = super()._gibbs(model, mean_h, random)
        return self.seen


def start(rule, machine, world=None):
    for parameter in rule.parameters(machine):
        parameter.grad = torch.full_like(parameter, float("nan"))  # whatever is not written shows
    rule.start(machine, Setting(Random(1), world or World(), torch.device("cpu"), machine.W.dtype, 9))
    return rule


def gradients(rule, machine, v, rows=None, total=None):
    rows = torch.arange(len(v)) if rows is None else rows
    rule.gradients(machine, Batch((v,), rows, total or len(v)), 0, Random(2))
    return {name: p.grad.clone() for name, p in machine.named_parameters()}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", RULES)
def test_the_gradient_by_hand_is_autograds(machine, name):
    """∂/∂θ of (mean F(v⁺) − mean F(v⁻)) / n_places, the samples held fixed."""
    model, size = MACHINES[machine]()
    rule = RULES[name]()
    rule.__class__ = Watched
    v = maps_for(model, size)
    by_hand = gradients(start(rule, model), model, v)
    surrogate = (model.free_energy(v).mean() - model.free_energy(rule.seen[0]).mean()) / np.prod(model.places(size))
    for (key, _), slope in zip(
        model.named_parameters(), torch.autograd.grad(surrogate, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(by_hand[key], slope, rtol=1e-9, atol=1e-12, msg=key)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("n", [1, 9])
def test_the_gradient_of_a_batch_is_the_sum_of_its_parts(machine, name, n):
    """Two processes, each with its rows and its slice of the chains; of one row the first has none."""
    model, size = MACHINES[machine]()
    v, rows = maps_for(model, size, n), torch.arange(20, 20 + n)
    whole = gradients(start(RULES[name](), model), model, v, rows)
    parts = []
    for rank in (0, 1):
        world = World(rank, 2)
        mine = world.slice(n)
        parts.append(gradients(start(RULES[name](), model, world), model, v[mine], rows[mine], total=n))
    for key in whole:
        torch.testing.assert_close(parts[0][key] + parts[1][key], whole[key], rtol=1e-9, atol=1e-12, msg=key)


@pytest.mark.parametrize("persistent", [False, True])
def test_long_chains_give_the_gradient_of_the_exact_likelihood(persistent):
    """Within five standard errors of n chains of 25 steps, entry by entry."""
    model, size = random_machine(1, 2, 2, 2, 2, scale=0.4, seed=8), (3, 3)
    exact, n = enumerate_machine(model, size), 4000
    data = maps_for(model, size, 8)
    rule = ConvolutionalDivergence(25, n_chains=n if persistent else None)
    found = gradients(start(rule, model), model, data.repeat(n // 8, 1, 1, 1))

    every = torch.from_numpy(exact.v).reshape(-1, 1, *size)
    p_v = torch.from_numpy(exact.p_v)
    n_places = np.prod(model.places(size))
    objective = (model.free_energy(data).mean() - (model.free_energy(every) * p_v).sum()) / n_places
    expected = torch.autograd.grad(objective, list(model.parameters()))
    for (key, parameter), slope in zip(model.named_parameters(), expected, strict=True):
        each = (
            torch.func.jacrev(  # what one chain at each state adds, for its spread under the model
                lambda p, key=key: torch.func.functional_call(_FreeEnergy(model), {f"model.{key}": p}, (every,))
            )(parameter.detach())
            / n_places
        )
        weights = p_v.view(-1, *(1 for _ in slope.shape))
        spread = ((each - (each * weights).sum(0)).square() * weights).sum(0).sqrt()
        assert ((found[key] - slope).abs() < 5 * spread / np.sqrt(n)).all(), key


class _FreeEnergy(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, v):
        return self.model.free_energy(v)


def test_the_sparsity_target_pulls_on_hidden_biases_alone():
    """cost · (mean activity over rows and places − target) is added to the gradient of c, and nothing else changes."""
    model, size = MACHINES["2-D, border"]()
    v = maps_for(model, size)
    plain = gradients(start(ConvolutionalDivergence(1), model), model, v)
    rule = ConvolutionalDivergence(1, penalty=SparsityTarget(0.1, 3.0, biases_only=True))
    sparse = gradients(start(rule, model), model, v)
    activity = model.mean_h_from_v(v).mean((0, 2, 3)).detach()
    torch.testing.assert_close(sparse["c"] - plain["c"], 3.0 * (activity - 0.1))
    assert torch.equal(sparse["W"], plain["W"])
    assert torch.equal(sparse["b"], plain["b"])


def edges(n):
    """Images (n, 1, 6, 6) with one bar of length three somewhere, lying or standing."""
    generator = np.random.default_rng(0)
    images = np.zeros((n, 1, 6, 6))
    for image in images:
        i, j = generator.integers(6), generator.integers(4)
        bar = image[0] if generator.random() < 0.5 else image[0].T
        bar[i, j : j + 3] = 1.0
    return images


@pytest.mark.parametrize("n_chains", [None, 50], ids=["cd", "pcd"])
def test_filters_of_bars_are_learnt(n_chains):
    """Reconstruction error falls far below that of the mean image; the rule's activity target is met."""
    images = edges(100)
    model = ConvolutionalRBM(1, 6, 3, 2)
    model.initialise(0, torch.tensor([images.mean()]), scale=0.1)
    rule = ConvolutionalDivergence(1, n_chains, penalty=SparsityTarget(0.03, 1.0, biases_only=True))
    history = lamina.fit(
        model,
        images,
        rule,
        epochs=20,
        batch_size=10,
        learning_rate=10.0,
        momentum=0.5,
        random_state=0,
        validation=images,
    )
    measures = history.records[-1].measures
    before = np.square(images - images.mean()).mean()
    assert measures["validation reconstruction error"] < 0.6 * before
    activity = model.mean_h_from_v(torch.from_numpy(images).float()).mean()
    assert float(activity.detach()) == pytest.approx(0.03, abs=0.01)


@pytest.mark.parametrize("n_chains", [None, 7], ids=["cd", "pcd"])
def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path, n_chains):
    images = edges(40)

    def run(folder, stop_after=None):
        class Stop:
            def on_epoch(self, record, epochs):
                if record.epoch == stop_after:
                    raise KeyboardInterrupt

        model = ConvolutionalRBM(1, 3, 3, 2)
        rule = ConvolutionalDivergence(1, n_chains)
        lamina.fit(
            model, images, rule, epochs=4, batch_size=15, learning_rate=0.3, momentum=0.5, random_state=1,
            checkpoint=folder, checkpoint_seconds=0.0, callbacks=[Stop()],
        )  # fmt: skip
        return model

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", stop_after=2)
    resumed = run(tmp_path / "broken")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_chains_persist_over_batches():
    model, size = MACHINES["2-D, border"]()
    rule = start(ConvolutionalDivergence(1, n_chains=5), model)
    gradients(rule, model, maps_for(model, size))
    before = rule.chains.clone()
    stream = Random(2).at(1, torch.arange(5))
    h = model.sample_h_from_v(before, stream)
    expected = model.sample_v_from_h(h, stream)
    rule.gradients(model, Batch((maps_for(model, size),), torch.arange(9), 9), 1, Random(2))
    assert torch.equal(rule.chains, expected)
    assert torch.equal(rule.state()["chains"], expected)


def test_what_cannot_be_trained_is_refused():
    images = np.zeros((4, 1, 5, 5))
    with pytest.raises(DataError, match="values reach 255"):
        lamina.fit(ConvolutionalRBM(1, 2, 3), images + 255, ConvolutionalDivergence(), epochs=1)
    raw = np.random.default_rng(0).normal(100, 30, (20, 1, 5, 5))
    with pytest.raises(DataError, match="not standardised"):
        lamina.fit(ConvolutionalRBM(Gaussian(1), 2, 3), raw, ConvolutionalDivergence(), epochs=1)
    with pytest.raises(DataError, match=r"shape \(4, 25\); expected \(n, 1, height, width\)"):
        lamina.fit(ConvolutionalRBM(1, 2, 3), images.reshape(4, 25), ConvolutionalDivergence(), epochs=1)
    images[2, 0, 1, 1] = np.nan
    with pytest.raises(DataError, match="NaN"):
        lamina.fit(ConvolutionalRBM(1, 2, 3), images, ConvolutionalDivergence(), epochs=1)
    with pytest.raises(SettingError, match="trains a ConvolutionalRBM; RBM given"):
        lamina.fit(lamina.RBM(3, 2), np.zeros((4, 3)), ConvolutionalDivergence(), epochs=1)
    for wrong in ({"k": 0}, {"n_chains": 0}, {"penalty": SparsityTarget(0.1, 1.0)}, {"penalty": 0.1}):
        with pytest.raises(SettingError):
            ConvolutionalDivergence(**wrong)


def test_oracle_and_library_share_no_sums():
    """The oracle's dense weights give the library's correlation: both are right or both of us are wrong twice."""
    model, size = MACHINES["1-D"]()
    exact = enumerate_machine(model, size)
    assert np.isclose(exact.joint.sum(), 1.0)
    assert np.isclose(oracles.log_sum(-exact.energies), exact.log_z)
