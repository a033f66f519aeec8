"""Layers of any kind: the usual ones learnt as ever, and what networks begin with where codes are searched for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.random import Random
from lamina.models import RBM, Stack
from lamina.models.autoencoders import Autoencoder
from lamina.models.sparse import SparseCoding
from lamina.studies import defaults, protocols
from lamina.studies.layers import Layers, directions, is_perceptron, is_stochastic, perceptron, rectified, title_of
from lamina.studies.preparation import open_data, prepare
from lamina.studies.recorder import Recorder
from lamina.studies.task import task_of
from lamina.training import ContrastiveDivergence, Schedule, pretrain, warm_momentum
from lamina.training.layer_kinds import KINDS
from small_studies import archive, rows, unit_rows


@pytest.fixture(params=["bernoulli", "gaussian"])
def prepared(request, tmp_path):
    X = (unit_rows if request.param == "bernoulli" else rows)(60)[0]
    X_test = (unit_rows if request.param == "bernoulli" else rows)(12, seed=5)[0]
    data = archive(tmp_path / "a.npz", 60, 12, X=X, X_test=X_test)
    found = prepare(open_data(str(data)))
    assert found.scaling.units == request.param
    return found


def test_machines_are_learnt_by_the_settings_they_always_had(prepared, tmp_path):
    """One-step divergence, visible means, a rate that falls to a fifth, momentum that warms up, decay 2e-4."""
    plan = defaults.plan(60, 6, 12, (5, 4), 4)
    learnt = Layers(prepared, plan, Recorder(None), tmp_path, None)("rbm", 7, checkpoint="layers")
    from lamina.units import Bernoulli, Gaussian

    first = Gaussian(6) if prepared.scaling.units == "gaussian" else Bernoulli(6)
    rate = 0.002 if prepared.scaling.units == "gaussian" else 0.05
    expected = Stack([RBM(first, 5), RBM(5, 4)])
    pretrain(
        expected,
        prepared.X,
        lambda k: ContrastiveDivergence(sample_visible=False),
        epochs=(4, 4),
        batch_size=100,
        learning_rate=[Schedule(((0.0, r), (3.0, r / 5))) for r in (rate, 0.05)],
        momentum=warm_momentum(4),
        weight_decay=2e-4,
        random_state=Random(7).child("pre-training"),
    )
    for one, other in zip(learnt.state_dict().values(), expected.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_layers_are_learnt_once_per_seed(prepared, tmp_path):
    plan = defaults.plan(60, 6, 12, (5,), 1)
    layers = Layers(prepared, plan, Recorder(None), tmp_path, None)
    one = layers("denoising", 0, checkpoint="a")
    assert layers("denoising", 0, checkpoint="a") is one
    assert layers("denoising", 1, checkpoint="b") is not one
    assert layers.names == ["layer 1: 6-5"]
    assert layers.seconds.keys() == layers.histories.keys() == {("denoising", 0), ("denoising", 1)}
    layers.forget("denoising", 0)
    again = layers("denoising", 0, checkpoint="a")  # from the checkpoint
    assert again is not one
    assert torch.equal(again[0].W, one[0].W)


def coder(n: int, m: int, seed: int = 0) -> SparseCoding:
    return SparseCoding(n, m, cost=0.05, random_state=seed)


@pytest.mark.parametrize(
    ("stack", "whole", "drawn"),
    [
        (Stack([RBM(6, 5), RBM(5, 4)]), True, True),
        (Stack([Autoencoder(6, 5)]), True, False),
        (Stack([coder(6, 5)]), False, False),
        (Stack([Autoencoder(6, 5), coder(5, 4)]), False, False),
    ],
)
def test_what_stacks_can_do(stack, whole, drawn):
    assert is_perceptron(stack) == whole
    assert is_stochastic(stack) == drawn


def test_units_look_for_their_weights_or_atoms():
    assert torch.equal(directions(RBM(6, 5)), RBM(6, 5).W)
    assert torch.equal(directions(coder(6, 5)), coder(6, 5).D)


def test_rectified_units_start_in_the_directions_of_the_atoms():
    stack = Stack([coder(6, 5), coder(5, 4, seed=1)])
    before = [value.clone() for value in stack.state_dict().values()]
    for network in (rectified(stack, 3, Random(0)), perceptron(stack, 3, Random(0))):
        assert network.activation == "relu"
        assert network.normalise
        assert network.sizes == (6, 5, 4, 3)
        for W, layer in zip(network.W, stack.layers, strict=False):
            assert torch.allclose(W.norm(dim=0), torch.full((W.shape[1],), 2**0.5))
            assert torch.allclose(W / W.norm(dim=0), layer.D / layer.D.norm(dim=0))
    assert all(torch.equal(one, other) for one, other in zip(before, stack.state_dict().values(), strict=True))


def test_stacks_of_perceptrons_become_themselves():
    stack = Stack([Autoencoder(6, 5), Autoencoder(5, 4, random_state=1)])
    v = torch.rand(3, 6)
    assert torch.allclose(perceptron(stack, 3, Random(0)).encode(v), stack.encode(v))


def test_a_frozen_sparse_code_is_what_its_head_sees(tmp_path, quick):
    prepared = prepare(open_data(str(archive(tmp_path / "a.npz"))))
    stack = Stack([coder(6, 5)])
    labelled = np.arange(12)
    task = task_of(prepared, labelled, stack, defaults.plan(90, 6, 12, (5,), 1), 0, None)
    model, detail = protocols.frozen_features(task)
    assert model.features is stack
    assert detail["weight_decay"] in protocols.HEAD_DECAYS
    x = torch.from_numpy(np.asarray(prepared.X[:20]))
    assert torch.allclose(model(x), stack.encode(x) @ model.head.W[0] + model.head.b[0], atol=1e-5)
    assert model.head.W[0].abs().sum() > 0


def test_every_kind_has_a_title():
    assert title_of("denoising") == "denoising autoencoder"
    assert all(title_of(kind) for kind in KINDS)


def test_searched_codes_get_one_layer_and_fewer_steps_unless_told():
    for kind in defaults.SEARCHED:
        assert kind in KINDS
        assert defaults.plan(60_000, 784, 100, kind=kind).hidden == (500,)
        passes = defaults.plan(60_000, 784, 100, (50, 20), kind=kind).pretrain_epochs
        assert sum(passes) < sum(defaults.plan(60_000, 784, 100, (50, 20)).pretrain_epochs) / 2
        assert defaults.plan(60_000, 784, 100, (50, 20), 9, kind).pretrain_epochs == (9, 9)
    assert defaults.plan(60_000, 784, 100, kind="denoising") == defaults.plan(60_000, 784, 100)
