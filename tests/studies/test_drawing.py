"""Chains of every generative model draw from the model, given what is held: against enumeration."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lamina.core.errors import LabelError, SettingError
from lamina.core.random import Random
from lamina.inference import binary_states
from lamina.models import MLP
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.models.energy import DBM, DBN, RBM, ClassificationRBM, ConvolutionalRBM
from lamina.studies.drawing import Held, begin, generates

N, STEPS = 3000, 40
TOLERANCE = 4.5 * 0.5 / N**0.5  # of the mean of N independent values in [0, 1], whose deviation is 1/2 at most


def strengthen(model, scale: float = 0.8):
    """Random weights large enough for dependence to show."""
    random = Random(7)
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.copy_(scale * random.child(k).normal(parameter.shape, parameter.dtype))
    return model


def states(n: int) -> Tensor:
    return binary_states(n, torch.float64)


@torch.no_grad()
def mean_given(v: Tensor, log_p: Tensor, rows: Tensor | None) -> Tensor:
    """E[v] under exp(log_p) over the states ``v``, given the finite values of ``rows`` (n_visible,)."""
    if rows is not None:
        known = rows.isfinite()
        log_p = torch.where((v[:, known] == rows[known]).all(1), log_p, -torch.inf)
    return torch.softmax(log_p, 0) @ v


def machine():
    model = strengthen(RBM(5, 3, dtype=torch.float64))
    return model, (5,), lambda rows, y: mean_given(states(5), -model.free_energy(states(5)), rows)


def class_machine():
    model = strengthen(ClassificationRBM(4, 3, 3, dtype=torch.float64))
    v = states(4)

    def exact(rows, y):
        energies = model.free_energies(v)
        return mean_given(v, -model.free_energy(v) if y is None else -energies[:, y], rows)

    return model, (4,), exact


def deep_machine():
    model = strengthen(DBM(4, 3, 2, dtype=torch.float64))
    joint = states(6)  # (v, h_2)

    def exact(rows, y):
        known = None if rows is None else torch.cat([rows, torch.full((2,), torch.nan, dtype=rows.dtype)])
        return mean_given(joint, -model.as_rbm().free_energy(joint), known)[:4]

    return model, (4,), exact


def belief_network():
    model = strengthen(DBN([4, 3, 4], 2, dtype=torch.float64), 1.6)
    h = states(3)

    def exact(rows, y):
        energies = model.class_free_energies(h)
        log_p = -model.free_energy_top(h) if y is None else -energies[:, y]
        return (torch.softmax(log_p, 0) @ model.mean_down(h)).detach()

    return model, (4,), exact


def convolutional_machine():
    model = strengthen(ConvolutionalRBM(1, 2, 2, pooling=1, dtype=torch.float64))
    v = states(9)
    return model, (1, 3, 3), lambda rows, y: mean_given(v, -model.free_energy(v.view(-1, 1, 3, 3)), rows)


def variational():
    """p(v) by the trapezoidal rule over one latent unit."""
    model = strengthen(VariationalAutoencoder(4, 1, hidden=(3,), dtype=torch.float64))
    h = torch.linspace(-8, 8, 401, dtype=torch.float64).view(-1, 1, 1)
    log_p = torch.logsumexp(model.log_p_v_given_h(states(4), h) + model.log_p_h(h), 0).detach()
    return model, (4,), lambda rows, y: mean_given(states(4), log_p, rows)


MODELS = {
    "machine": machine,
    "class machine": class_machine,
    "deep machine": deep_machine,
    "belief network": belief_network,
    "convolutional machine": convolutional_machine,
    "variational": variational,
}
FILLS = [name for name in MODELS if name != "belief network"]
LABELLED = ["class machine", "belief network"]


def drawn_mean(model, shape, held=None, start=None) -> Tensor:
    chain = begin(model, N, Random(1), held=held, start=start, shape=shape)
    chain.run(STEPS)
    rows = chain.rows()
    assert rows.shape == (N, Tensor(shape).prod())
    return rows.mean(0)


@pytest.mark.parametrize("name", MODELS)
def test_free_chains_draw_from_the_model(name):
    model, shape, exact = MODELS[name]()
    torch.testing.assert_close(drawn_mean(model, shape), exact(None, None), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", FILLS)
def test_held_values_stay_and_the_rest_is_drawn_given_them(name):
    model, shape, exact = MODELS[name]()
    rows = torch.full((model.n_visible if name != "convolutional machine" else 9,), torch.nan, dtype=torch.float64)
    rows[0], rows[2] = 1.0, 0.0
    mean = drawn_mean(model, shape, Held(rows=rows.expand(N, -1)))
    assert mean[0] == 1.0
    assert mean[2] == 0.0
    torch.testing.assert_close(mean, exact(rows, None), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", LABELLED)
def test_held_classes_condition_the_rows(name):
    model, shape, exact = MODELS[name]()
    for y in range(2):
        mean = drawn_mean(model, shape, Held(labels=torch.full((N,), y)))
        torch.testing.assert_close(mean, exact(None, y), atol=TOLERANCE, rtol=0)
    assert (exact(None, 0) - exact(None, 1)).abs().max() > 2 * TOLERANCE  # else the test could not fail


def test_classes_and_values_can_be_held_together():
    model, shape, exact = class_machine()
    rows = torch.tensor([1.0, torch.nan, torch.nan, torch.nan], dtype=torch.float64)
    held = Held(torch.full((N,), 2), rows.expand(N, -1))
    torch.testing.assert_close(drawn_mean(model, shape, held), exact(rows, 2), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", FILLS)
def test_chains_begin_at_the_rows_that_are_given(name):
    model, shape, exact = MODELS[name]()
    start = (torch.arange(N)[:, None] % 2).double().expand(N, int(Tensor(shape).prod()))
    torch.testing.assert_close(drawn_mean(model, shape, start=start), exact(None, None), atol=TOLERANCE, rtol=0)
    if name != "deep machine":  # whose visible means are asked of the layer above
        assert torch.equal(begin(model, N, Random(1), start=start, shape=shape).rows(), start)


@pytest.mark.parametrize("name", MODELS)
def test_chains_in_parts_and_the_same_seed(name):
    model, shape, _ = MODELS[name]()
    one, same, other = (begin(model, 5, Random(seed), shape=shape) for seed in (3, 3, 4))
    for chain in (one, same, other):
        chain.run(3)
        chain.run(0)
        chain.run(2)
    assert torch.equal(one.rows(), same.rows())
    assert not torch.equal(one.rows(), other.rows())


@pytest.mark.parametrize("name", [name for name in MODELS if name not in LABELLED])
def test_classes_without_label_units_are_refused(name):
    model, shape, _ = MODELS[name]()
    with pytest.raises(SettingError, match="no label units"):
        begin(model, 2, Random(0), held=Held(labels=torch.tensor([0, 1])), shape=shape)


def test_a_belief_network_holds_no_values_of_rows():
    with pytest.raises(SettingError, match="goes downward only"):
        begin(belief_network()[0], 2, Random(0), held=Held(rows=torch.full((2, 4), torch.nan)))


@pytest.mark.parametrize("name", LABELLED)
def test_unknown_classes_are_refused(name):
    with pytest.raises(LabelError, match="the classes that the model knows"):
        begin(MODELS[name]()[0], 2, Random(0), held=Held(labels=torch.tensor([0, 9])))


@pytest.mark.parametrize("shape", [(), (9,), (3, 3), (2, 3, 3)])
def test_maps_of_an_unknown_size_are_refused(shape):
    with pytest.raises(SettingError, match="expected 1 channels and 2 axes"):
        begin(convolutional_machine()[0], 2, Random(0), shape=shape)


def test_models_that_draw_nothing_are_refused():
    network = MLP((3, 2))
    assert not generates(network)
    with pytest.raises(SettingError, match="a MLP draws no rows"):
        begin(network, 2, Random(0))
