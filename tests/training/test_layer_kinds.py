"""Kinds of layers: what they build, that each learns rows of both units, and that greedy training takes any rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenarios import Moments, MomentsRule
from torch import nn

import lamina
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models import RBM, Stack
from lamina.models.autoencoders import Autoencoder
from lamina.training import (
    KINDS,
    CodeKL,
    Contraction,
    ContrastiveDivergence,
    GaussianNoise,
    LayerKind,
    Masking,
    Reconstruction,
    Schedule,
    layered,
    pretrain,
    pretrain_kind,
    warm_momentum,
)
from lamina.units import Bernoulli, Gaussian

GENERATOR = np.random.default_rng(0)
CENTRES = GENERATOR.random((4, 10)) < 0.5
UNIT = (CENTRES[GENERATOR.integers(4, size=120)] * 0.9 + 0.05).astype(np.float32)
REAL = ((UNIT - UNIT.mean(0)) / np.maximum(UNIT.std(0), 0.1)).astype(np.float32)
ROWS = {"bernoulli": UNIT, "gaussian": REAL}
LAYERED = ["rbm", "autoencoder", "denoising", "sparse", "contractive"]


def squares(stack: Stack, X: np.ndarray) -> float:
    v = torch.from_numpy(X)
    with torch.no_grad():
        return float((stack.decode(stack.encode(v)) - v).square().mean())


@pytest.mark.parametrize("units", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("name", list(KINDS))
def test_two_layers_of_every_kind_learn(name, units):
    X = ROWS[units]
    stack = layered(name, (10, 8, 6), units)
    assert (stack.n_visible, stack.sizes) == (10, (8, 6))
    histories = pretrain_kind(stack, X, name, epochs=(12, 3), batch_size=20, random_state=0)
    assert [len(history) for history in histories] == [12, 3]
    code = stack.encode(torch.from_numpy(X))
    assert code.shape == (120, 6)
    assert bool(torch.isfinite(code).all())
    known = ("training loss", "objective", "energy", "reconstruction error")
    measure = next(one for one in known if one in histories[0].names)
    assert histories[0][measure][-1] < histories[0][measure][0]


@pytest.mark.parametrize("name", LAYERED)
def test_lower_layers_see_the_rows_and_upper_ones_codes(name):
    stack = layered(name, (10, 8, 6), "gaussian")
    first, second = stack.layers
    if name == "rbm":
        assert isinstance(first.visible, Gaussian)
        assert isinstance(second.visible, Bernoulli)
    else:
        assert (first.output, second.output) == ("identity", "sigmoid")
    assert KINDS[name].code_units == "bernoulli"
    code = stack.encode(torch.from_numpy(REAL), 1).detach()
    assert 0 <= float(code.min()) <= float(code.max()) <= 1


def test_rules_are_the_variants():
    described = {name: KINDS[name].rule("bernoulli").describe() for name in LAYERED[1:]}
    assert described["autoencoder"]["corruption"] is None
    assert not described["autoencoder"]["penalties"]
    assert described["denoising"]["corruption"] == Masking(0.25).describe()
    assert KINDS["denoising"].rule("gaussian").describe()["corruption"] == GaussianNoise(0.5).describe()
    assert [p["penalty"] for p in described["sparse"]["penalties"]] == [CodeKL.__name__]
    assert described["contractive"]["penalties"] == [Contraction(0.1).describe()]
    assert isinstance(KINDS["rbm"].rule(), ContrastiveDivergence)
    assert KINDS["rbm"].rule() is not KINDS["rbm"].rule()


def test_rbm_is_learnt_as_the_main_job_learns_it():
    """The very weights of CD-1 with visible means, a rate that falls to a fifth, warm momentum and weight decay."""
    ours, theirs = layered("rbm", (10, 8, 6)), Stack([RBM(10, 8), RBM(8, 6)])
    pretrain_kind(ours, UNIT, "rbm", epochs=(4, 8), batch_size=20, random_state=5)
    pretrain(
        theirs,
        UNIT,
        lambda k: ContrastiveDivergence(sample_visible=False),
        epochs=(4, 8),
        batch_size=20,
        learning_rate=[Schedule(((0.0, 0.05), (0.75 * epochs, 0.01))) for epochs in (4, 8)],
        momentum=warm_momentum(4),
        weight_decay=2e-4,
        random_state=5,
    )
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key


@pytest.mark.parametrize("name", ["denoising", "rbm"])
def test_resumed_exactly(name, tmp_path):
    class Crash:
        def on_epoch(self, record, epochs) -> None:
            raise RuntimeError("crash")

    whole, broken = layered(name, (10, 8, 6)), layered(name, (10, 8, 6))
    options = {"epochs": 2, "batch_size": 20, "random_state": 1}
    pretrain_kind(whole, UNIT, name, **options)
    with pytest.raises(RuntimeError, match="crash"):  # at the end of the upper layer's first epoch
        pretrain_kind(
            broken, UNIT, name, checkpoint=tmp_path, callbacks=lambda k: [Crash()] if k == 1 else (), **options
        )
    resumed = layered(name, (10, 8, 6))
    pretrain_kind(resumed, UNIT, name, checkpoint=tmp_path, **options)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_a_kind_of_ones_own():
    own = LayerKind(
        "tanh",
        "tanh layer",
        lambda n, m, units: Autoencoder(n, m, activation="tanh", output="identity"),
        lambda units: Reconstruction(),
        code_units="gaussian",
    )
    stack = layered(own, (10, 6, 4), "gaussian")
    before = squares(stack, REAL)
    pretrain_kind(stack, REAL, own, epochs=20, batch_size=20, random_state=0)
    assert squares(stack, REAL) < before
    assert stack.classifier(3).activation == "tanh"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layered("denoise", (4, 3)), "layer is 'denoise'.*denoising"),
        (lambda: layered("rbm", (4,)), r"sizes are \(4,\)"),
        (lambda: layered("rbm", (4, 3), "binary"), "units is 'binary'"),
        (lambda: KINDS["sparse"].rule("real"), "units is 'real'"),
        (lambda: pretrain_kind(layered("rbm", (10, 3)), UNIT, "rbm", epochs=(1, 2)), "2 entries for 1 layers"),
    ],
)
def test_bad_settings(call, message):
    with pytest.raises(SettingError, match=message):
        call()


# greedy training itself -----------------------------------------------------------------------------------------------


class Averages(Moments):
    """A layer whose parameters are moments, so that a rule of sums can be part of a stack."""

    def __init__(self, n: int) -> None:
        super().__init__(n, torch.float32)
        self.n_visible = self.n_hidden = n

    def mean_h_from_v(self, v):
        return (v - self.mean) / self.variance.sqrt()

    def mean_v_from_h(self, h):
        return h * self.variance.sqrt() + self.mean


def test_layers_of_different_rules_and_optimisers():
    stack = Stack([Averages(10), Autoencoder(10, 4, output="identity")])
    rules = (MomentsRule(), Reconstruction())
    rows = GENERATOR.random((50, 10)).astype(np.float32)
    pretrain(stack, rows, lambda k: rules[k], epochs=3, learning_rate=0.01, optimiser="adam", random_state=0)
    torch.testing.assert_close(stack[0].mean.detach(), torch.from_numpy(rows.mean(0)), atol=1e-6, rtol=1e-5)
    alone = Autoencoder(10, 4, output="identity")
    X = stack.encode(torch.from_numpy(rows), 1).detach()
    stream = Random(0).child("layer", 1)
    alone.initialise(stream, X.mean(0))
    options = {"epochs": 3, "learning_rate": 0.01, "momentum": 0.5, "weight_decay": 2e-4, "optimiser": "adam"}
    lamina.fit(alone, X, Reconstruction(), random_state=stream, **options)
    torch.testing.assert_close(stack[1].W, alone.W)


def test_samples_need_a_stochastic_layer_and_a_gradient_rule():
    deterministic: nn.Module = Stack([Autoencoder(10, 4), RBM(4, 3)])
    cd = lambda k: ContrastiveDivergence() if k else Reconstruction()  # noqa: E731
    with pytest.raises(SettingError, match="Autoencoder has no units to sample"):
        pretrain(deterministic, UNIT, cd, epochs=1, pass_up="sample", random_state=0)
    sums = lambda k: MomentsRule() if k else ContrastiveDivergence()  # noqa: E731
    with pytest.raises(SettingError, match="MomentsRule cannot take; expected pass_up='mean'"):
        pretrain(Stack([RBM(10, 4), Averages(4)]), UNIT, sums, epochs=1, pass_up="sample", random_state=0)
