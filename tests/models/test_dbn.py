"""Deep belief networks: labels by free energy against enumeration, up and down, and what they turn into."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from deep_belief_oracle import exact, memory_states, random_dbn
from lamina import RBM, Gaussian, Stack
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.energy import DBN
from lamina.units import Softmax

V = torch.from_numpy((np.random.default_rng(0).random((9, 5)) < 0.5).astype(float))


def test_sizes_and_sides():
    dbn = DBN([784, 500, 400, 300], n_classes=10)
    assert (dbn.n_visible, dbn.n_penultimate, dbn.n_hidden, len(dbn.directed)) == (784, 400, 300, 2)
    assert dbn.top.W.shape == (410, 300)
    assert isinstance(dbn.top.visible.parts[1], Softmax)
    alone = DBN([6, 4])
    assert (alone.n_visible, alone.n_penultimate, alone.n_hidden, len(alone.directed)) == (6, 6, 4, 0)


@pytest.mark.parametrize(("layers", "n_classes"), [([5], 0), ([], 2), ([5, 4], 1), ([5, 4], -1), ([5, 4], 2.5)])
def test_impossible_networks_are_refused(layers, n_classes):
    with pytest.raises(SettingError):
        DBN(layers, n_classes)


def test_free_energies_of_labels_are_the_memorys():
    dbn = random_dbn([5, 4, 3], 3)
    h = torch.from_numpy(np.random.default_rng(1).random((7, 4)))
    for y in range(3):
        joined = dbn.with_labels(h, torch.full((7,), y))
        torch.testing.assert_close(
            dbn.class_free_energies(h)[:, y], dbn.top.free_energy(joined), rtol=1e-12, atol=1e-12
        )
    torch.testing.assert_close(dbn.class_free_energies(h[None])[0], dbn.class_free_energies(h), rtol=1e-13, atol=0)


def test_class_probabilities_and_free_energy_are_those_of_enumeration():
    dbn = random_dbn([5, 4, 3], 3)
    found = exact(dbn)
    joint = np.exp(found.log_p_memory).reshape(-1, 3)
    h = torch.from_numpy(oracles.states(4))
    expected = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(dbn.class_probabilities_from(h).detach().numpy(), expected, rtol=1e-10)
    log_p = -dbn.free_energy_top(h).detach().numpy() - found.log_z
    np.testing.assert_allclose(log_p, found.log_p_penultimate, rtol=1e-10)
    assert len(memory_states(dbn)) == 48


def test_the_topmost_means_sum_over_the_unknown_label():
    dbn = random_dbn([4, 3, 5], 3)
    h = dbn.encode(V[:, :4], 1)
    share = dbn.class_probabilities_from(h)
    codes = torch.eye(3).double()
    each = torch.stack([dbn.top.mean_h_from_v(torch.cat([h, codes[y].expand(9, 3)], 1)) for y in range(3)], 1)
    torch.testing.assert_close(dbn.encode(V[:, :4]), (share[..., None] * each).sum(1), rtol=1e-12, atol=1e-14)
    draws = torch.stack([dbn.sample_h_from_v(V[:1, :4].expand(4000, -1), Random(s)) for s in range(5)])
    top = torch.zeros(5).double()  # by enumeration of the penultimate layer
    for state in torch.from_numpy(oracles.states(3)):
        weight = dbn.directed[0].log_q_h_from_v(state, V[0, :4]).exp()
        top = top + weight * dbn._mean_top(state)
    assert bool(((draws.mean((0, 1)) - top).abs() < 5 * 0.5 / 20_000**0.5).all())


def test_classification_goes_up_by_means_or_by_draws():
    dbn = random_dbn([5, 4, 3], 3)
    h = torch.sigmoid(V @ dbn.directed[0].R + dbn.directed[0].c)
    assert torch.equal(dbn.classify(V), dbn.class_probabilities_from(h).argmax(-1))
    states = torch.from_numpy(oracles.states(4))
    weights = torch.stack([dbn.directed[0].log_q_h_from_v(s.expand(9, 4), V).exp() for s in states], 1)
    expected = weights @ dbn.class_probabilities_from(states)
    drawn = dbn.class_probabilities(V, n_samples=4000, random_state=0)
    assert bool(((drawn - expected).abs() < 5 * 0.5 / 4000**0.5).all())
    torch.testing.assert_close(drawn.sum(-1), torch.ones(9).double())


def test_it_is_a_layer():
    dbn = random_dbn([5, 4, 3])
    stack = dbn.stack()
    assert torch.equal(dbn.mean_h_from_v(V), stack.encode(V))
    h = dbn.sample_h_from_v(V, Random(0))
    assert h.shape == (9, 3)
    assert set(h.unique().tolist()) <= {0.0, 1.0}
    assert dbn.mean_v_from_h(h).shape == dbn.sample_v_from_h(h, Random(1)).shape == (9, 5)
    assert dbn.mean_h_from_v(V[None]).shape == (1, 9, 3)
    torch.testing.assert_close(dbn.encode(V, 1), dbn.directed[0].mean_h_from_v(V))
    assert torch.equal(dbn.encode(V, 2), dbn.encode(V))


def test_a_stack_becomes_a_network_and_comes_back():
    machines = [oracles.random_gaussian(5, 4), oracles.random_binary(4, 6, seed=1), oracles.random_binary(6, 3, seed=2)]
    stack = Stack(machines)
    dbn = stack.dbn()
    real = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 5)))
    torch.testing.assert_close(dbn.encode(real), stack.encode(real), rtol=1e-13, atol=0)
    torch.testing.assert_close(dbn.stack().encode(real), stack.encode(real), rtol=1e-13, atol=0)
    h = stack.encode(real)
    torch.testing.assert_close(dbn.decode(h), stack.decode(h), rtol=1e-13, atol=0)
    with torch.no_grad():
        dbn.directed[0].W.zero_()
    assert bool(stack.layers[0].W.any())  # copied, not shared


def test_label_units_are_added_and_folded_away_at_their_free_mean():
    stack = Stack([oracles.random_binary(5, 4), oracles.random_binary(4, 3, seed=1)])
    dbn = stack.dbn(n_classes=3)
    assert torch.equal(dbn.top.W[:4], stack.layers[1].W)
    assert not bool(dbn.top.b[4:].any())
    with torch.no_grad():
        dbn.top.W[4:] = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()
        dbn.top.b[4:] = torch.tensor([1.0, 0.0, -1.0])
    folded = dbn.stack().layers[1]
    mean = torch.softmax(dbn.top.b[4:], 0)
    h = stack.encode(V, 1)
    expected = dbn.top.mean_h_from_v(torch.cat([h, mean.expand(9, 3)], 1))
    torch.testing.assert_close(folded.mean_h_from_v(h), expected, rtol=1e-12, atol=1e-14)


def test_a_network_becomes_a_classifier_to_fine_tune():
    dbn = random_dbn([5, 4, 3], 2)
    network = dbn.stack().classifier(2)
    y = (V[:, 0] > 0).long().numpy()
    lamina.training.fine_tune(network, V.numpy(), y, epochs=60, learning_rate=0.05, random_state=0)
    assert (network(V).argmax(-1).numpy() == y).mean() == 1.0


def test_layers_that_are_no_machines_make_no_network():
    with pytest.raises(SettingError, match="only RBMs"):
        Stack([DBN([5, 4]), RBM(4, 3)]).dbn()


@pytest.mark.parametrize("n_classes", [0, 3])
def test_saved_and_loaded_it_is_the_same(tmp_path, n_classes):
    dbn = random_dbn([5, 4, 3], n_classes)
    lamina.save(dbn, tmp_path)
    found = lamina.load(tmp_path)
    assert found.spec() == dbn.spec()
    assert torch.equal(found.encode(V), dbn.encode(V))
    learnt = DBN([Gaussian(3, learn_sigma=True), 4, 2], n_classes, dtype=torch.float64)
    with torch.no_grad():
        learnt.directed[0].visible.log_variance.fill_(0.3)
    lamina.save(learnt, tmp_path / "gaussian")
    found = lamina.load(tmp_path / "gaussian")
    assert torch.equal(found.directed[0].visible.log_variance, learnt.directed[0].visible.log_variance)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.tensor([0, 1]), "one per row"),
        (torch.zeros(9), "whole numbers"),
        (torch.full((9,), 3), r"0 \.\. 2"),
        (torch.full((9,), -1), "unlabelled"),
    ],
)
def test_impossible_labels_are_refused(y, message):
    with pytest.raises(LabelError, match=message):
        random_dbn([5, 4, 3], 3).with_labels(torch.zeros(9, 4).double(), y)


def test_wrong_widths_and_missing_labels_are_refused():
    dbn = random_dbn([5, 4, 3])
    with pytest.raises(SettingError, match="no label units"):
        dbn.classify(V)
    with pytest.raises(DataError, match="expected"):
        dbn.encode(V[:, :4])
    with pytest.raises(DataError, match="penultimate"):
        random_dbn([5, 4, 3], 2).class_probabilities_from(V)
    with pytest.raises(SettingError, match="n_samples"):
        random_dbn([5, 4, 3], 2).class_probabilities(V, n_samples=-1)
