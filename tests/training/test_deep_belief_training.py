"""Greedy training of deep belief networks and the stages of up-down."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from deep_belief_oracle import exact, exact_bound
from lamina import Gaussian, Stack
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.energy import DBN, RBM
from lamina.training import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
    SamplingRule,
    Schedule,
    pretrain,
    pretrain_dbn,
    up_down,
)
from lamina.training.deep_belief import start_memory

GENERATOR = np.random.default_rng(0)
Y = GENERATOR.integers(0, 3, 60)
X = ((GENERATOR.random((3, 8)) < 0.5)[Y] ^ (GENERATOR.random((60, 8)) < 0.1)).astype(np.float64)
OPTIONS = {"batch_size": 10, "learning_rate": 0.1, "random_state": 0}


def network(n_classes: int = 3) -> DBN:
    return DBN([8, 6, 5, 7], n_classes, dtype=torch.float64)


class Spy(ContrastiveDivergence):
    """CD-1 that keeps the rows it was shown."""

    def __init__(self) -> None:
        super().__init__(1)
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def gradients(self, model, batch, step, random):
        self.seen.append((batch.rows.clone(), batch.values[0].clone()))
        return super().gradients(model, batch, step, random)


@pytest.mark.parametrize("pass_up", ["mean", "sample"])
def test_lower_layers_are_those_of_a_stack_and_the_memory_sees_codes_and_labels(pass_up):
    dbn, spies = network(), [Spy() for _ in range(3)]
    histories = pretrain_dbn(dbn, X, Y, lambda k: spies[k], epochs=(2, 2, 1), pass_up=pass_up, **OPTIONS)
    assert [len(history) for history in histories] == [2, 2, 1]
    stack = Stack([RBM(8, 6, dtype=torch.float64), RBM(6, 5, dtype=torch.float64)])
    pretrain(stack, X, lambda k: ContrastiveDivergence(1), epochs=2, pass_up=pass_up, **OPTIONS)
    for layer, machine in zip(dbn.directed, stack.layers, strict=True):
        for mine, given in ((layer.W, machine.W), (layer.R, machine.W), (layer.b, machine.b), (layer.c, machine.c)):
            assert torch.equal(mine, given)
    codes = stack.encode(torch.from_numpy(X)).detach()
    for rows, shown in spies[2].seen:
        assert torch.equal(shown[:, 5:].argmax(1), torch.from_numpy(Y)[rows])
        assert torch.equal(shown[:, 5:].sum(1), torch.ones(len(rows)).double())
        if pass_up == "mean":
            torch.testing.assert_close(shown[:, :5], codes[rows], rtol=1e-12, atol=0)
        else:
            assert set(shown[:, :5].unique().tolist()) <= {0.0, 1.0}


def test_greedy_training_and_up_down_learn_to_read():
    dbn = network()
    options = {**OPTIONS, "learning_rate": 0.2}
    pretrain_dbn(dbn, X, Y, epochs=40, **options)
    greedy = (dbn.classify(torch.from_numpy(X)).numpy() != Y).mean()
    histories = up_down(dbn, X, Y, k=(1, 2), epochs=(5, 10), **options)
    assert [len(history) for history in histories] == [5, 10]
    assert greedy < 0.2  # two of three are wrong by chance
    assert (dbn.classify(torch.from_numpy(X)).numpy() != Y).mean() < 0.2
    assert not torch.equal(dbn.directed[0].W, dbn.directed[0].R)  # untied


def test_a_transposed_start_gives_the_machine_below_and_learning_raises_the_bound():
    """Means over images of bars, by enumeration of all layers."""
    data = np.tile(oracles.bars(3), (4, 1))
    places = (data @ 2 ** np.arange(8, -1, -1)).astype(int)
    falling = Schedule(((0.0, 0.1), (60.0, 0.001)), linear=True)
    options = {"batch_size": 14, "random_state": 0, "memory_start": "transposed", "weight_decay": 0.0}
    bounds, truths = [], []
    for epochs in (0, 60):
        dbn = DBN([9, 4, 12], dtype=torch.float64)
        rates = [0.3, falling]
        pretrain_dbn(dbn, data, rule=cd_below_pcd, epochs=(100, epochs), learning_rate=rates, **options)
        bounds.append(exact_bound(dbn)[places].mean())
        truths.append(exact(dbn).log_p_v[places].mean())
        if not epochs:
            assert torch.equal(dbn.top.W[:, :9], dbn.directed[0].W.T)
    assert bounds[0] == pytest.approx(truths[0], abs=1e-4)  # but for three more units at N(0, 0.01²)
    assert bounds[0] + 0.01 < bounds[1] < truths[1]


def test_a_transposed_start_asks_for_equal_families():
    """Gaussian visible units turned upside down are no binary hidden ones: the bound would start elsewhere."""
    dbn = DBN([Gaussian(4), 3, 5])
    with pytest.raises(SettingError, match="visible units are Gaussian; expected"):
        start_memory(dbn, torch.rand(6, 3), None, "transposed", Random(0))


def cd_below_pcd(k: int) -> SamplingRule:
    return PersistentContrastiveDivergence(2, n_chains=56) if k else ContrastiveDivergence(1)


def test_a_random_start_takes_biases_from_codes_and_classes():
    dbn = network()
    codes = GENERATOR.random((60, 5))
    start_memory(dbn, codes, Y, "random", Random(0))
    mean = torch.sigmoid(dbn.top.b[:5])
    torch.testing.assert_close(mean, torch.from_numpy(codes.mean(0)), rtol=1e-10, atol=0)
    share = torch.softmax(dbn.top.b[5:], 0)
    torch.testing.assert_close(share, torch.from_numpy(np.bincount(Y) / 60), rtol=1e-10, atol=0)


def test_stopped_in_the_middle_it_goes_on_to_the_same_bits(tmp_path):
    class Stop:
        def on_epoch(self, record, epochs):
            if record.epoch == 2:
                raise KeyboardInterrupt

    def greedy(folder=None, callbacks=lambda k: ()):
        dbn = network()
        pretrain_dbn(dbn, X, Y, epochs=3, checkpoint=folder, callbacks=callbacks, **OPTIONS)
        return dbn

    def refined(dbn, folder=None, callbacks=lambda stage: ()):
        up_down(dbn, X, Y, k=(1, 2), epochs=3, checkpoint=folder, callbacks=callbacks, **OPTIONS)
        return dbn.state_dict()

    unbroken = refined(greedy())
    for layer in (1, 2):  # once in the second directed layer, once in the memory
        with pytest.raises(KeyboardInterrupt):
            greedy(tmp_path / "greedy", lambda k, stop=layer: [Stop()] if k == stop else [])
    with pytest.raises(KeyboardInterrupt):
        refined(greedy(tmp_path / "greedy"), tmp_path / "up-down", lambda stage: [Stop()] if stage == 1 else [])
    resumed = refined(greedy(tmp_path / "greedy"), tmp_path / "up-down")
    for key, value in unbroken.items():
        assert torch.equal(resumed[key], value), key


def test_without_labels_and_without_directed_layers():
    plain, alone = network(0), DBN([8, 4], 3, dtype=torch.float64)
    pretrain_dbn(plain, X, epochs=1, **OPTIONS)
    pretrain_dbn(alone, X, Y, epochs=1, **OPTIONS)
    up_down(plain, X, k=(1,), epochs=1, **OPTIONS)
    up_down(alone, X, Y, k=(1,), epochs=1, **OPTIONS)
    assert bool(torch.isfinite(plain.top.W).all() & torch.isfinite(alone.top.W).all())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((network(), X), LabelError, "pass class codes"),
        ((network(0), X, Y), LabelError, "leave y out"),
        ((network(), X, Y[:5]), LabelError, "one per row"),
        ((network(), X, Y - 1), LabelError, "unlabelled"),
        ((network(), X, Y + 0.5), LabelError, "whole numbers"),
        ((network(), [[0.0]], Y), DataError, "an array"),
        ((Stack([RBM(8, 4)]), X), SettingError, "lamina.pretrain"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        pretrain_dbn(*arguments, epochs=1)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match="2 entries for 3 layers"):
        pretrain_dbn(network(), X, Y, epochs=(1, 2))
    with pytest.raises(SettingError, match="3 entries for 2 stages"):
        up_down(network(), X, Y, k=(1, 2), epochs=(1, 2, 3))
    with pytest.raises(SettingError, match="memory_start"):
        pretrain_dbn(network(), X, Y, memory_start="upside down")
    narrow = DBN([8, 6, 5], dtype=torch.float64)
    with pytest.raises(SettingError, match="widen the memory"):
        pretrain_dbn(narrow, X, epochs=0, memory_start="transposed")


def test_real_valued_rows():
    dbn = DBN([Gaussian(8), 6, 5], dtype=torch.float64)
    rows = GENERATOR.normal(size=(40, 8))
    pretrain_dbn(dbn, rows, epochs=1, learning_rate=[0.002, 0.05], batch_size=10, random_state=0)
    before = dbn.directed[0].W.detach().clone()
    up_down(dbn, rows, k=(1,), epochs=1, learning_rate=0.001, batch_size=10, random_state=0)
    assert not torch.equal(dbn.directed[0].W, before)
