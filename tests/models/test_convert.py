"""A stack becomes a network that computes exactly what the stack encodes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import oracles
from lamina import RBM, Bernoulli, Gaussian, Stack
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.units import Binomial, Rectified, Softmax, Spin

V = torch.from_numpy(oracles.states(6)[::3])


def test_hidden_layers_are_those_of_the_stack():
    stack = Stack([oracles.random_binary(6, 5, seed=1), oracles.random_binary(5, 4, seed=2)])
    network = stack.classifier(3)
    torch.testing.assert_close(network.encode(V), stack.encode(V), rtol=1e-13, atol=1e-13)
    first, second = network.hidden_means(V)
    torch.testing.assert_close(first, stack.encode(V, 1), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(second, stack.encode(V, 2), rtol=1e-13, atol=1e-13)


def test_the_variance_of_gaussian_units_is_folded_into_the_weights():
    stack = Stack([oracles.random_gaussian(6, 5), oracles.random_binary(5, 4)])
    network = stack.classifier(3)
    v = torch.randn(9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network.encode(v), stack.encode(v), rtol=1e-12, atol=1e-12)


def test_gaussian_hidden_units_are_linear():
    stack = Stack(
        [RBM(6, Gaussian(3, sigma=0.5), dtype=torch.float64), RBM(Gaussian(3, sigma=0.7), 2, dtype=torch.float64)]
    )
    with pytest.raises(SettingError, match="different activations"):
        stack.classifier(2)
    linear = Stack([stack[0]])
    network = linear.classifier(2)
    assert network.activation == "identity"
    torch.testing.assert_close(network.encode(V), linear.encode(V))


@pytest.mark.parametrize(
    ("hidden", "activation"), [(Spin(4), "tanh"), (Rectified(4, sampler="noisy"), "relu"), (Bernoulli(4), "sigmoid")]
)
def test_the_activation_is_the_mean_of_the_hidden_units(hidden, activation):
    stack = Stack([oracles.random_pair(Bernoulli(6), hidden, scale=1.0, seed=4)])
    network = stack.classifier(2)
    assert network.activation == activation
    torch.testing.assert_close(network.encode(V), stack.encode(V), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [Softmax(4), Rectified(4), Binomial(4, 3)])
def test_units_without_an_activation_are_refused(hidden):
    with pytest.raises(SettingError, match="have no activation"):
        Stack([RBM(6, hidden)]).classifier(2)


def test_the_head_starts_at_nought_and_the_stack_is_copied():
    stack = Stack([oracles.random_binary(6, 5)])
    before = stack[0].W.detach().clone()
    network = stack.classifier(3, dropout=0.5)
    assert torch.equal(network(V), torch.zeros(len(V), 3, dtype=torch.float64))
    with torch.no_grad():
        network.W[0].add_(1.0)
    assert torch.equal(stack[0].W, before)


def test_types_follow_the_stack():
    assert {p.dtype for p in Stack([RBM(4, 3)]).classifier(2).parameters()} == {torch.float32}
    assert {p.dtype for p in Stack([oracles.random_binary(4, 3)]).classifier(2).parameters()} == {torch.float64}


def test_layers_of_other_kinds_are_refused():
    class Other(nn.Module):
        n_visible, n_hidden = 3, 2
        W = nn.Parameter(torch.zeros(3, 2))

    with pytest.raises(SettingError, match="Other layer cannot become part"):
        Stack([Other()]).classifier(2)


def test_dropout_is_handed_on_and_is_off_without_a_stream():
    network = Stack([RBM(6, Bernoulli(50), dtype=torch.float64)]).classifier(2, dropout=0.5, input_dropout=0.2)
    assert (network.dropout, network.input_dropout) == (0.5, 0.2)
    assert torch.equal(network.encode(V), network.hidden_means(V)[-1])
    noisy = network.hidden_means(V, Random(0))[-1]
    assert 0.3 < float((noisy == 0).double().mean()) < 0.7
