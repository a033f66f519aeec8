"""Unrolled stacks give the stacks' reconstructions; the network's formula, starts, files and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deep_autoencoder_models import small_models

import lamina
import oracles
from lamina import RBM, Gaussian, Stack
from lamina.core.errors import DataError, SettingError
from lamina.models import MLP, convert
from lamina.models.autoencoders import Autoencoder, DeepAutoencoder
from lamina.units import Bernoulli, Binomial, Rectified, Softmax, Spin

FLOAT = torch.float64


def randomly(module, seed: int = 0, scale: float = 0.7):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return module


def rbm(visible, hidden, seed: int = 0) -> RBM:
    return randomly(RBM(visible, hidden, dtype=FLOAT), seed)


def rows(n: int, seed: int = 5) -> torch.Tensor:
    return torch.rand(9, n, dtype=FLOAT, generator=torch.Generator().manual_seed(seed))


STACKS = {
    "binary": lambda: Stack([rbm(7, 6), rbm(6, 5, 1), rbm(5, 3, 2)]),
    "one machine": lambda: Stack([rbm(7, 6)]),
    "the paper's": lambda: Stack([rbm(7, 6), rbm(6, Gaussian(2), 1)]),
    "sigma on every side": lambda: Stack(
        [rbm(Gaussian(7, sigma=0.6), 6), rbm(6, Gaussian(4, sigma=1.7), 1), rbm(Gaussian(4, sigma=0.4), Spin(3), 2)]
    ),
    "sides that differ": lambda: Stack([rbm(7, Spin(6)), rbm(6, 5, 1), rbm(Gaussian(5), 4, 2), rbm(Spin(4), 2, 3)]),
    "noisy rectified": lambda: Stack([rbm(7, Rectified(6, sampler="noisy"))]),
    "autoencoders": lambda: Stack(
        [
            randomly(Autoencoder(7, 6, dtype=FLOAT)),
            randomly(Autoencoder(6, 4, activation="elu", output="identity", tied=False, dtype=FLOAT), 1),
        ]
    ),
    "autoencoder on a machine": lambda: Stack(
        [rbm(7, 6), randomly(Autoencoder(6, 3, activation="tanh", dtype=FLOAT), 1)]
    ),
    "nested": lambda: Stack(
        [
            Stack([rbm(7, 6), rbm(6, 5, 1)]),
            randomly(DeepAutoencoder((5, 4, 3), activation="silu", tied=True, dtype=FLOAT), 2),
            randomly(DeepAutoencoder((3, 2, 2), code="tanh", dtype=FLOAT), 3),
        ]
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_an_unrolled_stack_gives_the_stacks_reconstruction(name):
    stack, v = STACKS[name](), rows(7)
    network = stack.autoencoder()
    assert isinstance(network, DeepAutoencoder)
    assert (network.n_visible, network.n_hidden) == (stack.n_visible, stack.n_hidden)
    torch.testing.assert_close(network.encode(v), stack.encode(v), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(network.decode(stack.encode(v)), stack.decode(stack.encode(v)), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(network.reconstruct(v), stack.decode(stack.encode(v)), rtol=1e-12, atol=1e-13)


def test_the_way_down_has_weights_of_its_own():
    stack = STACKS["binary"]()
    network, v = stack.autoencoder(), rows(7)
    before, code = stack.decode(stack.encode(v)), network.encode(v)
    with torch.no_grad():
        for weights in network.V:
            weights.zero_()
    assert torch.equal(network.encode(v), code)
    assert torch.equal(stack.decode(stack.encode(v)), before)
    assert float((network.decode(code) - before).detach().abs().max()) > 0.01


def test_float32_stays_float32():
    network = Stack([RBM(5, 4), RBM(4, Gaussian(2))]).autoencoder()
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        (lambda: RBM(6, Softmax(3)), "hidden units cannot be unrolled"),
        (lambda: RBM(Binomial(6, trials=3), 3), "visible units cannot be unrolled"),
        (lambda: RBM(6, Rectified(3)), r"expected Bernoulli, Gaussian, Spin or Rectified\(sampler='noisy'\)"),
        (lambda: lamina.models.energy.ClassificationRBM(6, 3, 2), "ClassificationRBM layer cannot be unrolled"),
    ],
)
def test_what_cannot_be_unrolled_is_refused(layer, match):
    with pytest.raises(SettingError, match=match):
        convert.autoencoder(Stack([layer()]))


def test_the_formula_layer_by_layer():
    network = randomly(
        DeepAutoencoder((5, 4, 3, 2), activation=("relu", "tanh"), down=("sigmoid", "identity"), dtype=FLOAT)
    )
    v = rows(5).numpy()
    W, V, b, c = ([p.detach().numpy() for p in one] for one in (network.W, network.V, network.b, network.c))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    code = np.tanh(np.maximum(v @ W[0] + c[0], 0) @ W[1] + c[1]) @ W[2] + c[2]
    np.testing.assert_allclose(network.encode(torch.from_numpy(v)).detach().numpy(), code, rtol=1e-12)
    field = code @ V[2].T + b[2]
    field = sigmoid(field @ V[1].T + b[1]) @ V[0].T + b[0]
    np.testing.assert_allclose(network.field_v(torch.from_numpy(code)).detach().numpy(), field, rtol=1e-12)
    np.testing.assert_allclose(network.decode(torch.from_numpy(code)).detach().numpy(), sigmoid(field), rtol=1e-12)


def test_tied_weights_serve_both_ways():
    tied = randomly(DeepAutoencoder((5, 4, 2), tied=True, dtype=FLOAT))
    free = DeepAutoencoder((5, 4, 2), dtype=FLOAT)
    with torch.no_grad():
        for mine, given in zip([*free.W, *free.V, *free.b, *free.c], [*tied.W, *tied.W, *tied.b, *tied.c], strict=True):
            mine.copy_(given)
    torch.testing.assert_close(tied.reconstruct(rows(5)), free.reconstruct(rows(5)))
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in tied.parameters()) == 5 * 4 + 4 * 2


@pytest.mark.parametrize("name", small_models())
def test_gradients_are_those_of_finite_differences(name):
    network, v = small_models()[name], rows(small_models()[name].n_visible)[:3]
    parameters = dict(network.named_parameters())

    def reconstruct(*values):
        return torch.func.functional_call(_Reconstruct(network), dict(zip(names, values, strict=True)), (v,))

    names = [f"network.{key}" for key in parameters]
    values = [p.detach().clone().requires_grad_() for p in parameters.values()]
    assert torch.autograd.gradcheck(reconstruct, values)


class _Reconstruct(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, v):
        return self.network.reconstruct(v)


@pytest.mark.parametrize("name", small_models())
def test_a_saved_network_comes_back(name, tmp_path):
    network = small_models()[name]
    lamina.save(network, tmp_path)
    again, v = lamina.load(tmp_path), rows(network.n_visible)
    assert again.spec() == network.spec()
    assert torch.equal(again.reconstruct(v), network.reconstruct(v))


def test_weights_start_by_fan_in_where_units_are_half_linear():
    network = DeepAutoencoder((400, 300, 200), activation="relu", code="identity", output="sigmoid", dtype=FLOAT)
    deviation = lambda W: float(W.detach().std())  # noqa: E731
    assert deviation(network.W[0]) == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert deviation(network.V[1]) == pytest.approx((2 / 200) ** 0.5, rel=0.02)  # up to relu units again
    for W in (network.W[1], network.V[0]):  # Glorot: a uniform distribution has its limit / √3
        assert deviation(W) == pytest.approx((2 / sum(W.shape)) ** 0.5, rel=0.02)
        assert float(W.detach().abs().max()) <= (6 / sum(W.shape)) ** 0.5
    assert not any(bool(bias.detach().any()) for bias in (*network.b, *network.c))
    same = DeepAutoencoder((400, 300, 200), activation="relu", dtype=FLOAT)
    assert torch.equal(same.W[0], network.W[0])
    assert not torch.equal(DeepAutoencoder((400, 300, 200), random_state=1, dtype=FLOAT).V[0], network.V[0])


@pytest.mark.parametrize(("output", "code"), [("sigmoid", "identity"), ("identity", "relu"), ("tanh", "silu")])
def test_output_biases_alone_give_the_datas_mean(output, code):
    mean = torch.tensor([0.2, 0.5, 0.9], dtype=FLOAT)
    network = DeepAutoencoder((3, 2), code=code, output=output, dtype=FLOAT).initialise(0, mean)
    torch.testing.assert_close(network.decode(torch.zeros(2, dtype=FLOAT)), mean)


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        (((5,),), {}, "expected at least"),
        ((5,), {}, "expected at least"),
        (("54",), {}, "expected at least"),
        (((5, 0),), {}, "each of sizes is 0"),
        (((5, 2.5),), {}, r"each of sizes is 2\.5"),
        (((5, 4, 3),), {"activation": "sigmod"}, "sigmoid"),
        (((5, 4, 3),), {"code": "linear"}, "code is 'linear'"),
        (((5, 4, 3),), {"output": "sigmoyd"}, "sigmoid"),
        (((5, 4, 3),), {"activation": ("relu", "relu")}, r"activation has 2 names for 1 level"),
        (((5, 4, 3, 2),), {"down": ["relu"]}, r"down has 1 names for 2 level"),
        (((5, 2),), {"activation": "nothing"}, "activation is 'nothing'"),
    ],
)
def test_bad_settings(arguments, options, match):
    with pytest.raises(SettingError, match=match):
        DeepAutoencoder(*arguments, **options)


def test_rows_of_another_width_are_refused():
    network = DeepAutoencoder((5, 3, 2))
    with pytest.raises(DataError, match=r"inputs have shape \(4, 6\); expected \(..., 5\)"):
        network.encode(torch.zeros(4, 6))
    with pytest.raises(DataError, match=r"codes have shape \(3,\); expected \(..., 2\)"):
        network.decode(torch.zeros(3))


def test_it_is_a_layer_of_a_stack():
    stack = Stack([randomly(DeepAutoencoder((5, 4, 3), dtype=FLOAT)), oracles.random_binary(3, 2)])
    v = rows(5)
    assert stack.encode(v).shape == (9, 2)
    assert stack.decode(stack.encode(v)).shape == (9, 5)
    assert isinstance(Stack([rbm(5, Bernoulli(3))]).classifier(2), MLP)
