"""The perceptron: its function, its initial scales, its dropout."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models import MLP


def activations(name: str, x: np.ndarray) -> np.ndarray:
    return {"sigmoid": 1 / (1 + np.exp(-x)), "tanh": np.tanh(x), "relu": np.maximum(x, 0), "identity": x}[name]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "identity"])
def test_the_function_is_the_formula(activation):
    network = MLP([4, 6, 5, 3], activation=activation, dtype=torch.float64, random_state=1)
    with torch.no_grad():
        for k, b in enumerate(network.b):
            b.copy_(torch.linspace(-1, 1, len(b)) + k)
    x = np.random.default_rng(0).normal(size=(7, 4))
    W = [w.detach().numpy() for w in network.W]
    b = [v.detach().numpy() for v in network.b]
    one = activations(activation, x @ W[0] + b[0])
    two = activations(activation, one @ W[1] + b[1])
    given = torch.from_numpy(x)
    np.testing.assert_allclose(network(given).detach().numpy(), two @ W[2] + b[2], rtol=1e-12)
    np.testing.assert_allclose(network.encode(given).detach().numpy(), two, rtol=1e-12)
    np.testing.assert_allclose(network.hidden_means(given)[0].detach().numpy(), one, rtol=1e-12)


def test_initial_scales_are_those_of_he_and_of_glorot():
    relu = MLP([400, 300, 10], activation="relu", dtype=torch.float64)
    n = 400 * 300
    assert abs(float(relu.W[0].detach().std()) - np.sqrt(2 / 400)) < 5 * np.sqrt(2 / 400) / np.sqrt(2 * n)
    sigmoid = MLP([400, 300, 10], activation="sigmoid", dtype=torch.float64)
    limit = np.sqrt(6 / 700)
    W = sigmoid.W[0].detach()
    assert float(W.abs().max()) <= limit
    assert abs(float(W.std()) - limit / np.sqrt(3)) < 5 * limit / np.sqrt(n)
    for network in (relu, sigmoid):
        assert float(network.W[1].detach().abs().max()) <= np.sqrt(6 / 310)
        assert all((b == 0).all() for b in network.b)
    assert not torch.equal(relu.W[0][:10, :10], MLP([400, 300, 10], dtype=torch.float64, random_state=1).W[0][:10, :10])


def test_layers_of_equal_shape_start_differently():
    network = MLP([5, 5, 5, 5])
    assert not torch.equal(network.W[0], network.W[1])


def test_dropout_keeps_the_mean_and_is_off_without_a_stream():
    network = MLP([50, 400, 2], activation="identity", dropout=0.3, input_dropout=0.2, dtype=torch.float64)
    x = torch.ones(200, 50, dtype=torch.float64)
    assert torch.equal(network(x), network(x))
    hidden = network.hidden_means(x, Random(0))[0]
    n = hidden.numel()
    dropped = float((hidden == 0).double().mean())
    assert abs(dropped - 0.3) < 5 * np.sqrt(0.3 * 0.7 / n)
    clean = network.encode(x)[0].detach()
    ratio = float((hidden.mean(0).detach() @ clean) / (clean @ clean))
    # relative noise of one value: inputs scaled by 0 or 1/0.8, outputs by 0 or 1/0.7
    assert abs(ratio - 1) < 0.05


def test_dropout_belongs_to_the_row_not_to_its_place():
    network = MLP([5, 40, 2], dropout=0.5, input_dropout=0.5, dtype=torch.float64)
    x = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(6)
    whole = network(x, Random(1).at(3, rows))
    part = network(x[4:], Random(1).at(3, rows[4:]))
    torch.testing.assert_close(whole[4:], part, rtol=1e-13, atol=1e-13)


def test_a_network_without_hidden_layers_drops_inputs_once():
    network = MLP([1000, 1], input_dropout=0.5, dtype=torch.float64)
    with torch.no_grad():
        network.W[0].fill_(1.0)
    total = float(network(torch.ones(1, 1000, dtype=torch.float64), Random(0)).detach())
    assert abs(total - 1000) < 5 * np.sqrt(1000)  # each input is 0 or 2: variance 1


def test_what_is_no_network_is_refused():
    for options, message in [
        ({"sizes": [4]}, "sizes"),
        ({"sizes": [4, 2], "activation": "sigmoide"}, "did you mean 'sigmoid'"),
        ({"sizes": [4, 2], "dropout": 1.0}, "dropout"),
        ({"sizes": [4, 2], "input_dropout": -0.1}, "input_dropout"),
    ]:
        with pytest.raises(SettingError, match=message):
            MLP(options.pop("sizes"), **options)
    with pytest.raises(DataError, match=r"shape \(2, 3\); expected \(..., 4\)"):
        MLP([4, 2])(torch.zeros(2, 3))
