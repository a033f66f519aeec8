"""The perceptron: its function, its initial scales, its dropout."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models import MLP
from lamina.models.activations import maxout, prelu
from lamina.models.networks.initial import mean_square
from lamina.models.registry import build


def activations(name: str, x: np.ndarray) -> np.ndarray:
    return {
        "sigmoid": 1 / (1 + np.exp(-x)),
        "tanh": np.tanh(x),
        "relu": np.maximum(x, 0),
        "identity": x,
        "leaky_relu": np.where(x > 0, x, 0.01 * x),
        "scaled_tanh": 1.7159 * np.tanh(2 * x / 3),
        "prelu": np.where(x > 0, x, 0.25 * x),
        "maxout": np.maximum(x[:, 0:-1:2], x[:, 1::2]),
    }[name]


@pytest.mark.parametrize(
    "activation", ["sigmoid", "tanh", "relu", "identity", "leaky_relu", "scaled_tanh", "prelu", "maxout"]
)
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


@pytest.mark.parametrize(("pieces", "of_relu"), [([1.0, 0.0], True), ([1.0, -1.0], False)])
def test_maxout_contains_relu_and_the_absolute_value(pieces, of_relu):
    """Pieces w x and 0 are ReLU, w x and −w x are |w x|: the same network, whatever lies above."""
    plain = MLP([4, 6, 5, 3], activation="relu", dtype=torch.float64, random_state=1)
    network = MLP([4, 6, 5, 3], activation="maxout", dtype=torch.float64)
    signs = torch.tensor(pieces, dtype=torch.float64)
    with torch.no_grad():
        for k in range(2):
            plain.b[k].copy_(torch.linspace(-1, 1, len(plain.b[k])))
            network.W[k].copy_((plain.W[k][:, :, None] * signs).flatten(1))
            network.b[k].copy_((plain.b[k][:, None] * signs).flatten())
        network.W[2].copy_(plain.W[2])
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 4)))
    if of_relu:
        expected = plain(x)
    else:
        hidden = x
        for W, b in zip(plain.W[:2], plain.b[:2], strict=True):
            hidden = (hidden @ W + b).abs()
        expected = hidden @ plain.W[2]
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pieces", [1, 3, 5])
def test_maxout_takes_the_largest_of_each_group_and_is_convex(pieces):
    network = MLP([2, 4, 1], activation="maxout", pieces=pieces, dtype=torch.float64, random_state=2)
    generator = np.random.default_rng(1)
    x, z = (torch.from_numpy(generator.normal(size=(40, 2))) for _ in range(2))
    W = network.W[0].detach().numpy()
    expected = np.stack([(x.numpy() @ W[:, j * pieces : (j + 1) * pieces]).max(1) for j in range(4)], 1)
    np.testing.assert_allclose(network.encode(x).detach().numpy(), expected, rtol=1e-13)
    middle, ends = network.encode((x + z) / 2), (network.encode(x) + network.encode(z)) / 2
    assert bool((middle <= ends + 1e-12).all())
    assert network.sizes == (2, 4, 1)
    assert network.W[0].shape == (2, 4 * pieces)


def test_slopes_of_maxout_and_prelu_by_differences():
    generator = np.random.default_rng(3)
    z = torch.from_numpy(generator.normal(size=(7, 6))).requires_grad_()
    a = torch.from_numpy(generator.normal(size=6)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: maxout(z, 3), (z,))
    assert torch.autograd.gradcheck(prelu, (z, a))
    prelu(z, a).sum().backward()
    torch.testing.assert_close(a.grad, z.detach().clamp(max=0).sum(0))


def test_of_equal_pieces_one_takes_the_slope():
    z = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    maxout(z, 3).backward()
    assert sorted(z.grad[0].tolist()) == [0.0, 0.0, 1.0]


def test_the_weights_of_a_seed_stay_what_they_were():
    """Drawn by the version before maxout: files, checkpoints and recorded numbers rest on it."""
    found = {name: MLP([3, 4, 2], activation=name, dtype=torch.float64, random_state=7) for name in ("relu", "tanh")}
    first = {name: network.W[0].detach().flatten()[:3].tolist() for name, network in found.items()}
    assert first["relu"] == pytest.approx([-0.009506565181, 0.255700998447, -0.995259972967], abs=1e-11)
    assert first["tanh"] == pytest.approx([-0.047061503175, 0.06126127997, -0.063250660703], abs=1e-11)
    head = [0.643896110589, -0.85839999537, -0.588524179766]
    assert found["relu"].W[1].detach().flatten()[:3].tolist() == pytest.approx(head, abs=1e-11)
    spec = {"class": "MLP", "sizes": [3, 4, 2], "activation": "relu", "dropout": 0.0, "input_dropout": 0.0}
    assert found["relu"].spec() == {**spec, "normalise": False}
    assert set(found["relu"].state_dict()) == {"W.0", "W.1", "b.0", "b.1"}
    again = build({**spec, "normalise": False}, found["relu"].state_dict())
    assert (again.pieces, again.initial) == (2, "auto")


def test_mean_squares_of_the_largest_of_normal_numbers():
    """Order statistics in closed form (Jones 1948): 1, 1, 1 + √3/2π, 1 + √3/π."""
    known = {1: 1.0, 2: 1.0, 3: 1 + np.sqrt(3) / (2 * np.pi), 4: 1 + np.sqrt(3) / np.pi}
    for pieces, value in known.items():
        assert mean_square("maxout", pieces) == pytest.approx(value, rel=1e-9)
    assert mean_square("relu") == 0.5
    assert mean_square("prelu") == (1 + 0.25**2) / 2
    assert mean_square("tanh") is None


@pytest.mark.parametrize(
    ("activation", "pieces"), [("relu", 2), ("leaky_relu", 2), ("prelu", 2), ("maxout", 2), ("maxout", 5)]
)
def test_values_keep_their_mean_square_through_the_layers(activation, pieces):
    """With a third of that variance, or three times it, the last layer would be off by a factor of 81."""
    sizes = [400] * 5 + [2]
    network = MLP(sizes, activation=activation, pieces=pieces, dtype=torch.float64, random_state=4)
    hidden = network.hidden_means(Random(5).normal((60, 400), torch.float64))
    m = mean_square(activation, pieces)
    for layer in hidden:
        assert float(layer.square().mean().detach()) == pytest.approx(1.0, abs=0.25)
    n_in, columns = network.W[1].shape
    assert float(network.W[1].detach().var()) == pytest.approx(1 / (m * n_in), rel=5 * np.sqrt(2 / (n_in * columns)))


def test_initial_weights_that_are_asked_for():
    sizes = [400, 300, 10]
    he = MLP(sizes, activation="tanh", initial="he", dtype=torch.float64)
    glorot = MLP(sizes, activation="relu", initial="glorot", dtype=torch.float64)
    number = MLP(sizes, activation="maxout", initial=0.01, dtype=torch.float64)
    assert float(he.W[0].detach().var()) == pytest.approx(2 / 400, rel=0.03)
    assert float(glorot.W[0].detach().abs().max()) <= np.sqrt(6 / 700)
    assert float(glorot.W[0].detach().var()) == pytest.approx(2 / 700, rel=0.03)
    for W in number.W:
        assert float(W.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not bool(torch.equal(number.W[0], number.initialise(1).W[0].clone().zero_()))
    for network in (he, glorot, number):
        assert build(network.spec(), network.state_dict()).initial == network.initial


@pytest.mark.parametrize("activation", ["relu", "prelu", "maxout"])
def test_layers_list_every_parameter_once(activation):
    network = MLP([4, 6, 5, 3], activation=activation, normalise=True)
    layers = network.layer_parameters()
    assert len(layers) == 3
    listed = [id(p) for layer in layers for p in layer]
    assert sorted(listed) == sorted(map(id, network.parameters()))
    assert [p.shape[0] for p in layers[0][:1]] == [4]


def test_redrawing_puts_slopes_and_biases_back():
    network = MLP([3, 4, 2], activation="prelu", random_state=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    network.initialise(1)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_normalisation_sees_every_piece():
    network = MLP([3, 4, 2], activation="maxout", pieces=3, normalise=True, dtype=torch.float64)
    x = Random(0).normal((20, 3), torch.float64)
    z = x @ network.W[0]
    z = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
    found = network.hidden_means(x, Random(1))[0]
    torch.testing.assert_close(found, z.unflatten(1, (4, 3)).max(2).values)


def test_what_is_no_network_is_refused():
    for options, message in [
        ({"sizes": [4]}, "sizes"),
        ({"sizes": [4, 2], "activation": "sigmoide"}, "did you mean 'sigmoid'"),
        ({"sizes": [4, 2], "dropout": 1.0}, "dropout"),
        ({"sizes": [4, 2], "input_dropout": -0.1}, "input_dropout"),
        ({"sizes": [4, 2], "activation": "maxou"}, "did you mean 'maxout'"),
        ({"sizes": [4, 2], "pieces": 0}, "pieces is 0"),
        ({"sizes": [4, 2], "initial": "hee"}, "initial is 'hee'"),
        ({"sizes": [4, 2], "initial": -1.0}, "initial is -1.0"),
        ({"sizes": [4, 2], "initial": float("nan")}, "initial is nan"),
    ]:
        with pytest.raises(SettingError, match=message):
            MLP(options.pop("sizes"), **options)
    with pytest.raises(DataError, match=r"shape \(2, 3\); expected \(..., 4\)"):
        MLP([4, 2])(torch.zeros(2, 3))
