"""Up-down: delta rules against autograd, the memory's gradient, sums over processes, and what training achieves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import lamina
import oracles
from deep_belief_oracle import exact, random_dbn
from lamina import Gaussian
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.energy import DBN
from lamina.training import ContrastiveDivergence, PersistentContrastiveDivergence, UpDown, pretrain_dbn
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch
from lamina.training.wake_sleep import write_generative_gradients, write_recognition_gradients

CPU = torch.device("cpu")
V = torch.from_numpy((np.random.default_rng(5).random((9, 5)) < 0.4).astype(float))
Y = torch.from_numpy(np.random.default_rng(6).integers(0, 3, 9))
MEMORIES = {
    "cd-2": lambda: ContrastiveDivergence(2),
    "pcd": lambda: PersistentContrastiveDivergence(1, n_chains=6),
    "centred": lambda: ContrastiveDivergence(1, centred=True),
}


def start(rule: UpDown, dbn: DBN, world: World | None = None) -> UpDown:
    for parameter in rule.parameters(dbn):
        parameter.grad = torch.full_like(parameter, float("nan"))  # whatever is not written shows
    rule.start(dbn, Setting(Random(1), world or World(), CPU, torch.float64, 9))
    return rule


def gradients(rule: UpDown, dbn: DBN, v=V, y=Y, rows=None, total=9) -> dict[str, torch.Tensor]:
    rows = torch.arange(len(v)) if rows is None else rows
    rule.gradients(dbn, Batch((v, y) if dbn.n_classes else (v,), rows, total), 3, Random(2))
    return {name: p.grad.clone() for name, p in dbn.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("bottom", [5, Gaussian(5, sigma=0.6)], ids=["binary", "gaussian"])
def test_the_delta_rules_are_the_gradients_of_the_local_log_likelihoods(bottom):
    dbn = DBN([bottom, 4, 3], dtype=torch.float64, random_state=1)
    layer = dbn.directed[0]
    with torch.no_grad():
        for p, q in zip(layer.parameters(), random_dbn([5, 4, 3]).directed[0].parameters(), strict=True):
            p.copy_(q)
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    h = layer.sample_h_from_v(V, Random(0))
    with torch.no_grad():
        write_generative_gradients(layer, V, h, 9)
        write_recognition_gradients(layer, V, h, 9)
    wake = torch.autograd.grad(-layer.log_p_v_from_h(V, h).mean(), [layer.W, layer.b])
    sleep = torch.autograd.grad(-layer.log_q_h_from_v(h, V).mean(), [layer.R, layer.c])
    for parameter, expected in zip((layer.W, layer.b, layer.R, layer.c), (*wake, *sleep), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sample_visible", [True, False])
def test_a_step_writes_the_gradients_of_both_passes(sample_visible):
    """Wake states, memory rows and dreams are drawn again from the rule's own streams; autograd does the rest."""
    dbn = random_dbn([5, 4, 3, 4], 3, scale=0.6)
    rule = start(UpDown(ContrastiveDivergence(2), sample_visible=sample_visible), dbn)
    found = gradients(rule, dbn)
    streams = Setting(Random(1), World(), CPU, torch.float64, 9).random
    rows = torch.arange(9)
    states = dbn.sample_up(V, streams.child("wake").at(3, rows))
    positive = dbn.with_labels(states[-1], Y)
    phases = rule.memory.phases(dbn.top, 9, 9)
    negative = phases.v[phases.negative].clone()
    assert torch.equal(phases.v[phases.positive], positive)
    loss = dbn.top.free_energy(positive).mean() - dbn.top.free_energy(negative).mean()
    for layer, (x, y) in zip(dbn.directed, pairwise(states), strict=True):
        loss = loss - layer.log_p_v_from_h(x, y).mean()
    y, stream = negative[:, :3], streams.child("sleep").at(3, rows)
    for k, layer in reversed(list(enumerate(dbn.directed))):
        field = layer.field_v(y).detach()
        x = layer.visible.sample(field, stream) if k or sample_visible else layer.visible.mean(field)
        loss = loss - layer.log_q_h_from_v(y, x).mean()
        y = x
    names, parameters = zip(*dbn.named_parameters(), strict=True)
    for name, expected in zip(names, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", sorted(set(MEMORIES) - {"centred"}))
def test_the_gradient_of_a_batch_is_the_sum_of_its_parts(name):
    """Two processes hold 5 and 4 of 9 rows, and their slices of the chains."""
    dbn, rows = random_dbn([5, 4, 3], 3), torch.arange(20, 29)
    whole = gradients(start(UpDown(MEMORIES[name]()), dbn), dbn, rows=rows)
    parts = []
    for rank in (0, 1):
        world = World(rank, 2)
        mine = world.slice(9)
        parts.append(gradients(start(UpDown(MEMORIES[name]()), dbn, world), dbn, V[mine], Y[mine], rows[mine]))
    for key in whole:
        torch.testing.assert_close(parts[0][key] + parts[1][key], whole[key], rtol=1e-10, atol=1e-12, msg=key)


def test_training_raises_the_exact_likelihood_where_greedy_training_left_it():
    """Mean log p(v) of the images of bars, by enumeration; no network can give them more than −log 14."""
    data = oracles.bars(3)
    places = (data @ 2 ** np.arange(8, -1, -1)).astype(int)
    dbn = DBN([9, 7, 8], dtype=torch.float64, random_state=0)
    likelihoods = [exact(dbn).log_p_v[places].mean()]
    options = {"batch_size": 14, "random_state": 0}
    pretrain_dbn(dbn, np.tile(data, (4, 1)), epochs=100, learning_rate=0.1, weight_decay=0.0, **options)
    likelihoods.append(exact(dbn).log_p_v[places].mean())
    rule = UpDown(PersistentContrastiveDivergence(2, n_chains=50), sample_visible=True)
    lamina.fit(dbn, np.tile(data, (4, 1)), rule, epochs=150, learning_rate=0.1, **options)
    likelihoods.append(exact(dbn).log_p_v[places].mean())
    assert likelihoods[0] == pytest.approx(-9 * np.log(2), abs=0.02)
    assert likelihoods[0] + 0.7 < likelihoods[1]
    assert likelihoods[1] + 0.2 < likelihoods[2] < -np.log(14)


@pytest.mark.parametrize("name", sorted(MEMORIES))
def test_a_network_learns_to_read(name):
    generator = np.random.default_rng(0)
    prototypes = generator.random((3, 12)) < 0.5
    y = generator.integers(0, 3, 300)
    X = (prototypes[y] ^ (generator.random((300, 12)) < 0.05)).astype(np.float64)
    dbn = DBN([12, 8, 10], 3, dtype=torch.float64)
    options = {"batch_size": 10, "learning_rate": 0.2, "momentum": 0.5, "random_state": 0}
    pretrain_dbn(dbn, X[:200], y[:200], epochs=20, **options)
    history = lamina.fit(
        dbn, (X[:200], y[:200]), UpDown(MEMORIES[name]()), epochs=10, validation=(X[200:], y[200:]), **options
    )
    assert history["validation error"][-1] < 0.15  # two of three labels are wrong by chance
    wrong = dbn.classify(torch.from_numpy(X[200:])).numpy() != y[200:]
    assert wrong.mean() == history["validation error"][-1]


@pytest.mark.parametrize("name", sorted(MEMORIES))
def test_a_run_that_was_stopped_ends_with_the_same_bits(name, tmp_path):
    class Stop:
        def on_epoch(self, record, epochs):
            if record.epoch == 2:
                raise KeyboardInterrupt

    def run(folder=None, callbacks=()):
        dbn = random_dbn([5, 4, 3], 3, scale=0.1)
        options = {"epochs": 4, "batch_size": 4, "learning_rate": 0.05, "momentum": 0.9, "random_state": 0}
        rule = UpDown(MEMORIES[name]())
        lamina.fit(dbn, (V, Y), rule, checkpoint=folder, checkpoint_seconds=0.0, callbacks=callbacks, **options)
        return dbn.state_dict()

    unbroken = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [Stop()])
    resumed = run(tmp_path)
    for key, value in unbroken.items():
        assert torch.equal(resumed[key], value), key


def test_without_directed_layers_it_is_the_memorys_own_rule():
    y = random_dbn([5, 4], 3, scale=0.1)
    lamina.fit(y, (V, Y), UpDown(ContrastiveDivergence(1)), epochs=2, batch_size=9, learning_rate=0.1, random_state=0)
    assert not torch.equal(y.top.W, random_dbn([5, 4], 3, scale=0.1).top.W)


def test_settings_of_the_memory_are_part_of_the_description():
    described = UpDown(PersistentContrastiveDivergence(2, n_chains=7), sample_visible=True).describe()
    assert described["memory"]["n_chains"] == 7
    assert described["sample_visible"] is True
    assert UpDown().describe()["memory"]["k"] == 3


@pytest.mark.parametrize(
    "memory", [3, "cd", ContrastiveDivergence(1, sample_visible=False), ContrastiveDivergence(mean_last=True)]
)
def test_rules_that_cannot_dream_are_refused(memory):
    with pytest.raises(SettingError):
        UpDown(memory)


def test_what_cannot_be_learnt_from_is_refused():
    labelled, plain = random_dbn([5, 4, 3], 3), random_dbn([5, 4, 3])
    options = {"epochs": 1, "learning_rate": 0.1}
    with pytest.raises(SettingError, match="trains a DBN"):
        lamina.fit(lamina.RBM(5, 4), V, UpDown(), **options)
    with pytest.raises(DataError, match="class codes"):
        lamina.fit(labelled, V, UpDown(), **options)
    with pytest.raises(DataError, match="rows alone"):
        lamina.fit(plain, (V, Y), UpDown(), **options)
    with pytest.raises(DataError, match="4 features"):
        lamina.fit(plain, V[:, :4], UpDown(), **options)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        lamina.fit(plain, 3 * V, UpDown(), **options)
    with pytest.raises(LabelError, match="unlabelled"):
        lamina.fit(labelled, (V, Y - 2), UpDown(), **options)
