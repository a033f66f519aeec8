"""Joined layers: encode and decode are the layers' own functions, one after another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import oracles
from lamina import RBM, Gaussian, Stack
from lamina.core.errors import SettingError
from lamina.models import MLP


def three() -> Stack:
    layers = [oracles.random_binary(*shape, scale=0.6, seed=k) for k, shape in enumerate([(6, 5), (5, 4), (4, 3)])]
    return Stack(layers)


def test_encode_and_decode_go_through_the_layers():
    stack = three()
    v = torch.from_numpy(oracles.states(6)[::7])
    a, b, c = stack.layers
    h = c.mean_h_from_v(b.mean_h_from_v(a.mean_h_from_v(v)))
    assert torch.equal(stack.encode(v), h)
    assert torch.equal(stack.mean_h_from_v(v), h)
    assert torch.equal(stack.encode(v, 1), a.mean_h_from_v(v))
    assert torch.equal(stack.encode(v, 0), v)
    down = a.mean_v_from_h(b.mean_v_from_h(c.mean_v_from_h(h)))
    assert torch.equal(stack.decode(h), down)
    assert torch.equal(stack.decode(a.mean_h_from_v(v), 1), a.mean_v_from_h(a.mean_h_from_v(v)))
    assert (stack.n_visible, stack.n_hidden, len(stack)) == (6, 3, 3)


def test_a_stack_is_a_layer():
    whole = Stack([Stack(list(three().layers)[:2]), three()[2]])
    v = torch.from_numpy(oracles.states(6)[::5])
    assert torch.equal(whole.encode(v), three().encode(v))


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match=r"layer 1 has 5 hidden units but layer 2 expects 6"):
        Stack([RBM(6, 5), RBM(6, 5)])
    with pytest.raises(SettingError, match="at least one layer"):
        Stack([])


def test_samples_of_one_layer_follow_the_machine():
    rbm = oracles.random_binary(4, 3, scale=0.7, seed=3)
    exact = oracles.binary(rbm)
    n = 20_000
    means = Stack([rbm]).sample(n, steps=30, random_state=1)  # E[v | h] of the last step
    expected = exact.p_v @ exact.v
    deviation = np.sqrt((exact.p_h @ exact.mean_v() ** 2) - expected**2)
    assert (np.abs(means.numpy().mean(0) - expected) < 5 * deviation / np.sqrt(n)).all()


def test_samples_of_a_stack_come_from_its_top():
    """The lower layers only decode: with W = 0 there, samples do not depend on the top at all."""
    stack = three()
    v = stack.sample(50, steps=5, random_state=3)
    assert v.shape == (50, 6)
    assert torch.equal(v, stack.sample(50, steps=5, random_state=3))
    assert not torch.equal(v, stack.sample(50, steps=5, random_state=4))
    with torch.no_grad():
        stack[0].W.zero_()
    torch.testing.assert_close(
        stack.sample(2, steps=5, random_state=3), torch.sigmoid(stack[0].b).detach().expand(2, -1)
    )


def test_a_chain_may_start_at_data():
    stack = three()
    with torch.no_grad():
        stack[2].W.mul_(40)  # sticky: one step stays where the data put it
    v = torch.from_numpy(oracles.states(6)[[3, 60]])
    near = stack.sample(2, steps=1, random_state=0, start=v)
    assert near.shape == (2, 6)
    far = stack.sample(2, steps=1, random_state=0)
    assert not torch.equal(near, far)


def test_the_start_of_a_chain_is_independent_of_its_first_step():
    """With the same random numbers for both, hidden units would follow visible ones without any weight."""
    rbm = RBM(1, 1, dtype=torch.float64)
    with torch.no_grad():
        rbm.W.zero_()
    seen = []
    rbm.mean_v_from_h = lambda h: seen.append(h) or h
    original = rbm.sample_h_from_v
    rbm.sample_h_from_v = lambda v, random: seen.append(v) or original(v, random)
    Stack([rbm]).sample(20_000, steps=1, random_state=0)
    v, h = (t.detach().numpy().ravel() for t in seen)
    assert abs(stats.pearsonr(v, h).statistic) < 5 / np.sqrt(20_000)


def test_layers_that_only_encode_do_not_sample():
    class Fixed(torch.nn.Module):
        n_visible = n_hidden = 3

    with pytest.raises(SettingError, match="cannot sample"):
        Stack([Fixed()]).sample(2)


def test_a_classifier_is_one_call_away():
    network = three().classifier(4)
    assert isinstance(network, MLP)
    assert network.sizes == (6, 5, 4, 3, 4)


def test_gaussian_visible_units_below_binary_ones():
    stack = Stack([oracles.random_gaussian(3, 4), oracles.random_binary(4, 2)])
    assert isinstance(stack[0].visible, Gaussian)
    v = torch.zeros(5, 3, dtype=torch.float64)
    assert stack.decode(stack.encode(v)).shape == (5, 3)
