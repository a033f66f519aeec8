"""Rules of learnt encoders and convolutional dictionaries: gradients, running means, energies, exact resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.sparse import (
    ConvolutionalSparseCoding,
    DeconvolutionalNetwork,
    PredictiveSparseCoding,
    SparseCoding,
    SparseEncoderDecoder,
)
from lamina.models.stack import Stack
from lamina.training import ConvolutionalDictionary, PredictiveSparse, SparseEnergy, pretrain, pretrain_deconvolutional
from lamina.training.dictionary import OnlineDictionary
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch

DOUBLE = {"dtype": torch.float64}
GENERATOR = np.random.default_rng(0)
SOURCES = GENERATOR.laplace(size=(41, 8)) * (GENERATOR.random((41, 8)) < 0.3)
ROWS = SOURCES @ GENERATOR.normal(size=(8, 6)) + 0.01 * GENERATOR.normal(size=(41, 6))
IMAGES = GENERATOR.normal(size=(13, 1, 7, 8)).cumsum(-1)


def predictive(encoder: str = "tanh", **options) -> PredictiveSparseCoding:
    return PredictiveSparseCoding(6, 9, cost=0.2, encoder=encoder, **{"tolerance": 1e-2, **DOUBLE, **options})


def encoder_decoder(**options) -> SparseEncoderDecoder:
    return SparseEncoderDecoder(6, 9, eta=0.1, iterations=8, **{**DOUBLE, **options})


def convolutional(channels: int = 1, **options) -> ConvolutionalSparseCoding:
    return ConvolutionalSparseCoding(channels, 3, 3, cost=0.3, **{"tolerance": 0.05, **DOUBLE, **options})


CASES = {
    "predictive": (predictive, PredictiveSparse, ROWS, 0.02),
    "predictive, soft threshold": (lambda **o: predictive("shrink", **o), PredictiveSparse, ROWS, 0.02),
    "encoder and decoder": (encoder_decoder, SparseEnergy, ROWS, 0.05),
    "convolutional": (convolutional, ConvolutionalDictionary, IMAGES, 0.05),
}


def begun(rule, model, rows: int, world: World | None = None):
    """A rule ready for one batch of ``rows``, and its parameters with places for gradients."""
    rule.start(model, Setting(Random(0), world or World(), torch.device("cpu"), torch.float64, rows))
    for parameter in rule.parameters(model):
        parameter.grad = torch.zeros_like(parameter)
    return rule


def batch_of(data: np.ndarray, rows: slice = slice(None), total: int | None = None) -> Batch:
    number = torch.arange(len(data))[rows]
    return Batch((torch.from_numpy(data[rows]),), number, len(data) if total is None else total)


def least_energy(model, v: torch.Tensor) -> float:
    """Mean over rows of the least energy over codes: what the rules descend."""
    if isinstance(model, ConvolutionalSparseCoding):
        return float(model.energy(v, model.mean_h_from_v(v)).mean().detach()) / v[0].numel()
    if isinstance(model, PredictiveSparseCoding):
        return float(model.energy(v, model.codes(v, tolerance=1e-12, iterations=5000).h).mean().detach())
    return float(model.energy(v, model.codes(v, 3000).z).mean().detach())


@pytest.mark.parametrize("name", ["predictive", "predictive, soft threshold", "convolutional"])
def test_gradients_are_the_slope_of_the_least_energy(name):
    """By finite differences of min over codes, along a random direction of each parameter."""
    make, rule, data, _ = CASES[name]
    model = make(iterations=1500, tolerance=1e-7)
    rule = begun(rule(), model, len(data))
    rule.gradients(model, batch_of(data), 0, Random(0))
    v = torch.from_numpy(data)
    for parameter in rule.parameters(model):
        direction = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(parameter.shape)))
        values = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                parameter.add_(direction, alpha=step)
                values.append(least_energy(model, v))
                parameter.sub_(direction, alpha=step)
        assert float((parameter.grad * direction).sum()) == pytest.approx((values[0] - values[1]) / 2e-4, rel=2e-3)


def test_the_encoder_and_decoder_follow_the_codes_that_were_found():
    """The codes are held fixed: the slope is that of E(v, z*), not of the search."""
    model = encoder_decoder()
    rule = begun(SparseEnergy(), model, len(ROWS))
    v = torch.from_numpy(ROWS)
    z = model.codes(v).z
    expected = torch.autograd.grad(model.energy(v, z).mean(), [model.W, model.D])
    measures = rule.gradients(model, batch_of(ROWS), 0, Random(0))
    for parameter, slope in zip((model.W, model.D), expected, strict=True):
        np.testing.assert_allclose(parameter.grad, slope, rtol=1e-8, atol=1e-12)
    apart, error = float(measures["encoder error"]), float(measures["reconstruction error"])
    assert float(measures["energy"]) == pytest.approx(model.tie / 2 * apart + error / 2)
    assert float(measures["energy"]) < float(measures["guessed energy"])


def test_running_means_are_those_of_rows_that_come_one_by_one():
    model = encoder_decoder()
    rule = begun(SparseEnergy(), model, 1)
    zeta, eta = np.ones(9), model.eta
    for row in ROWS[:6]:
        z = model.codes(torch.from_numpy(row[None])).z.numpy()[0]
        rule.gradients(model, batch_of(row[None]), 0, Random(0))
        zeta = (1 - eta) * zeta + eta * np.exp(model.beta * z)
        np.testing.assert_allclose(model.log_zeta.exp(), zeta, rtol=1e-10)


def test_running_means_of_a_batch_and_of_huge_codes():
    model = encoder_decoder()
    rule = begun(SparseEnergy(), model, 4)
    z = torch.from_numpy(GENERATOR.normal(size=(4, 9))) * 3
    kept = 0.9**4
    rule.follow(model, z, 4)
    np.testing.assert_allclose(model.log_zeta.exp(), kept + (1 - kept) * z.exp().mean(0), rtol=1e-10)
    rule.follow(model, z + 2000, 4)
    expected = 2000 + np.log((1 - kept) * z.exp().mean(0).numpy())
    np.testing.assert_allclose(model.log_zeta, expected, rtol=1e-10)


class TwoProcesses(World):
    """Stands for a process beside another whose sums are known."""

    def __init__(self, others: list) -> None:
        super().__init__(rank=0, size=2)
        object.__setattr__(self, "others", others)  # the class is frozen

    def sum_(self, tensors) -> None:
        for tensor, other in zip(tensors, self.others, strict=True):
            tensor += other


def test_units_are_active_on_a_share_of_rows_near_eta():
    model = encoder_decoder()
    lamina.fit(model, ROWS, SparseEnergy(), epochs=30, batch_size=10, learning_rate=0.1, random_state=0)
    active = model.code(torch.from_numpy(ROWS)).mean(0)
    assert float(active.max()) < 3 * model.eta
    assert float(active.min()) > 0


@pytest.mark.parametrize("name", CASES)
def test_energy_falls(name):
    make, rule, data, rate = CASES[name]
    model = make()
    before = least_energy(model, torch.from_numpy(data))
    history = lamina.fit(
        model, data, rule(), epochs=6, batch_size=10, learning_rate=2 * rate, optimiser="adam", random_state=0
    )
    assert history["energy"][-1] < 0.9 * history["energy"][0]
    assert least_energy(model, torch.from_numpy(data)) < 0.9 * before


@pytest.mark.parametrize("encoder", ["tanh", "shrink"])
def test_the_encoder_learns_to_guess_the_codes(encoder):
    model = predictive(encoder)
    history = lamina.fit(
        model, ROWS, PredictiveSparse(), epochs=25, batch_size=10, learning_rate=0.03, optimiser="adam", random_state=0
    )
    assert history["prediction error"][-1] < 0.3 * history["prediction error"][0]
    h = model.code(torch.from_numpy(ROWS))
    guess = model.mean_h_from_v(torch.from_numpy(ROWS)).detach()
    assert float((h - guess).square().sum() / h.square().sum()) < 0.15


def test_without_a_tie_the_encoder_follows_and_the_codes_do_not():
    model = predictive(tie=0.0)
    rule = begun(PredictiveSparse(), model, len(ROWS))
    measures = rule.gradients(model, batch_of(ROWS), 0, Random(0))
    assert float(model.W.grad.abs().max()) > 0
    v = torch.from_numpy(ROWS)
    expected = model.energy(v, model.code(v)).sum().detach()
    assert float(measures["energy"]) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_gradient_of_one(name):
    make, rule, data, _ = CASES[name]
    model = make()
    alone = begun(rule(), model, len(data))
    alone.gradients(model, batch_of(data), 0, Random(0))
    expected = [p.grad.clone() for p in alone.parameters(model)]
    zeta = model.log_zeta.clone() if hasattr(model, "log_zeta") else None
    totals = [torch.zeros_like(g) for g in expected]
    raised = torch.zeros(9, **DOUBLE)
    if zeta is not None:
        model.log_zeta.zero_()
        raised = (model.beta * model.codes(torch.from_numpy(data[:5])).z).exp().sum(0)
    for rows, world in ((slice(0, 5), World()), (slice(5, None), TwoProcesses([raised]))):
        if zeta is not None:
            model.log_zeta.zero_()
        part = begun(rule(), model, len(data), world)
        part.gradients(model, batch_of(data, rows, len(data)), 0, Random(0))
        for total, parameter in zip(totals, part.parameters(model), strict=True):
            total += parameter.grad
    for total, gradient in zip(totals, expected, strict=True):
        np.testing.assert_allclose(total, gradient, rtol=1e-6, atol=1e-10)
    if zeta is not None:
        np.testing.assert_allclose(model.log_zeta, zeta, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_a_process_without_rows_adds_nothing(name):
    make, rule, data, _ = CASES[name]
    model = make()
    rule = begun(rule(), model, 1)
    for parameter in rule.parameters(model):
        parameter.grad.fill_(7.0)
    world = TwoProcesses([torch.ones(9, **DOUBLE)])
    if isinstance(rule, SparseEnergy):
        rule.world = world
    assert dict(rule.gradients(model, batch_of(data, slice(0, 0), 1), 0, Random(0))) == {}
    assert all(float(parameter.grad.abs().max()) == 0 for parameter in rule.parameters(model))
    if isinstance(rule, SparseEnergy):  # the other process's row moves the running means here too
        np.testing.assert_allclose(model.log_zeta.exp(), 1.0)
        rule.world = TwoProcesses([torch.full((9,), 3.0, **DOUBLE)])
        rule.gradients(model, batch_of(data, slice(0, 0), 1), 0, Random(0))
        np.testing.assert_allclose(model.log_zeta.exp(), 0.9 + 0.1 * 3.0)


class StopAfter:
    """Ends a run by an exception in the middle of an epoch's end, as a crash would."""

    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_was_killed_goes_on_bit_for_bit(name, tmp_path):
    make, rule, data, rate = CASES[name]
    options = {"epochs": 4, "batch_size": 6, "learning_rate": rate, "momentum": 0.5, "random_state": 1}
    unbroken, resumed = make(dtype=torch.float32), make(dtype=torch.float32)
    history = lamina.fit(unbroken, data, rule(), **options)
    saved = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        lamina.fit(resumed, data, rule(), callbacks=[StopAfter()], **options, **saved)
    fresh = make(dtype=torch.float32)
    again = lamina.fit(fresh, data, rule(), **options, **saved)
    assert again["energy"] == history["energy"]
    for key, value in unbroken.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value), key


@pytest.mark.parametrize("name", CASES)
def test_validation_measures_rows_kept_aside(name):
    make, rule, data, rate = CASES[name]
    model = make()
    history = lamina.fit(
        model, data[:-4], rule(), epochs=3, batch_size=10, learning_rate=rate, validation=data[-4:], random_state=0
    )
    v = torch.from_numpy(data[-4:])
    if isinstance(model, SparseEncoderDecoder):
        expected = float(model.codes(v).energy.mean())
    else:
        energy = model.energy(v, model.code(v) if isinstance(model, PredictiveSparseCoding) else model.mean_h_from_v(v))
        expected = float(energy.mean().detach()) / (v[0].numel() if name == "convolutional" else 1)
    assert history["validation energy"][-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_other_models_and_rows_are_refused(name):
    make, rule, data, _ = CASES[name]
    with pytest.raises(SettingError, match=r"trains a .*; RBM given"):
        lamina.fit(lamina.RBM(6, 3), ROWS, rule(), epochs=1)
    with pytest.raises(DataError):
        lamina.fit(make(), data[:, :-1] if name != "convolutional" else data[:, 0], rule(), epochs=1)


# stacks -------------------------------------------------------------------------------------------------------------


def test_a_second_sparse_layer_learns_on_the_codes_of_the_first():
    first = SparseCoding(6, 9, cost=0.1, positive=True, **DOUBLE)
    second = PredictiveSparseCoding(9, 4, cost=0.1, **DOUBLE)
    stack = Stack([first, second])
    rules = [OnlineDictionary(), PredictiveSparse()]
    histories = pretrain(
        stack,
        ROWS,
        lambda k: rules[k],
        epochs=[4, 15],
        batch_size=10,
        learning_rate=0.05,
        weight_decay=0.0,
        random_state=0,
    )
    codes = first.mean_h_from_v(torch.from_numpy(ROWS))
    assert (codes == 0).any()
    np.testing.assert_allclose(second.b.detach(), codes.mean(0), rtol=1e-6, atol=1e-9)
    assert histories[1]["energy"][-1] < 0.95 * histories[1]["energy"][0]
    assert torch.equal(stack.encode(torch.from_numpy(ROWS)), second.mean_h_from_v(codes))
    untrained = PredictiveSparseCoding(9, 4, cost=0.1, **DOUBLE).initialise(5, codes.mean(0))
    assert least_energy(second, codes) < 0.95 * least_energy(untrained, codes)


def test_a_deconvolutional_network_learns_layer_by_layer(tmp_path):
    def network() -> DeconvolutionalNetwork:
        return DeconvolutionalNetwork([convolutional(), convolutional(3)], (2, 1))

    net = network()
    x = torch.from_numpy(IMAGES)
    options = {"epochs": (3, 3), "batch_size": 5, "random_state": 0, "learning_rate": 0.05}
    histories = pretrain_deconvolutional(net, IMAGES, **options)
    for history in histories:
        assert history["energy"][-1] < history["energy"][0]
    below = net.encode(x, 1)
    fresh = network()
    assert least_energy(net[1], below) < least_energy(fresh[1], below)
    one, two = (float((x - net.reconstruct(x, depth)).square().mean().detach()) for depth in (1, 2))
    assert one < two < float(x.square().mean())
    resumed = network()
    pretrain_deconvolutional(resumed, IMAGES, checkpoint=tmp_path, **options)
    assert {folder.name for folder in tmp_path.iterdir()} == {"layer-1", "layer-2"}
    for key, value in net.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value)
    with pytest.raises(SettingError, match="epochs has 1 entries for 2 layers"):
        pretrain_deconvolutional(net, IMAGES, epochs=(1,))
