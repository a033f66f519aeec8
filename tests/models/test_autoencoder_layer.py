"""The autoencoder layer against its formulas, finite differences, the RBM that it shares its maps with, and files."""

from __future__ import annotations

import math

import pytest
import torch
from autoencoder_layer_models import small_models

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models import RBM, Stack
from lamina.models.activations import ACTIVATIONS
from lamina.models.autoencoders import Autoencoder
from lamina.models.autoencoders.slopes import SLOPES
from lamina.models.convert import rectified_classifier
from lamina.models.registry import build

DOUBLE = torch.float64


def rows(n: int, width: int, seed: int = 0) -> torch.Tensor:
    return Random(seed).uniform((n, width), DOUBLE)


def set_biases(layer: Autoencoder, seed: int = 1) -> Autoencoder:
    with torch.no_grad():
        layer.b.copy_(Random(seed).normal((layer.n_visible,), DOUBLE))
        layer.c.copy_(Random(seed + 1).normal((layer.n_hidden,), DOUBLE))
    return layer


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_code_and_reconstruction_are_the_formulas(tied):
    layer = set_biases(Autoencoder(5, 3, activation="tanh", output="sigmoid", tied=tied, dtype=DOUBLE))
    v = rows(4, 5)
    for n in range(4):
        h = [math.tanh(layer.c[j] + sum(v[n, i] * layer.W[i, j] for i in range(5))) for j in range(3)]
        V = layer.W if tied else layer.V
        r = [1 / (1 + math.exp(-(layer.b[i] + sum(h[j] * V[i, j] for j in range(3))))) for i in range(5)]
        torch.testing.assert_close(layer.mean_h_from_v(v[n]), torch.tensor(h, dtype=DOUBLE))
        torch.testing.assert_close(layer.mean_v_from_h(layer.mean_h_from_v(v))[n], torch.tensor(r, dtype=DOUBLE))
    assert len(list(layer.parameters())) == (3 if tied else 4)


def test_any_leading_dimensions():
    layer = set_biases(Autoencoder(5, 3, dtype=DOUBLE))
    v = rows(12, 5)
    there = layer.mean_v_from_h(layer.mean_h_from_v(v))
    back = layer.mean_v_from_h(layer.mean_h_from_v(v.view(3, 2, 2, 5)))
    torch.testing.assert_close(back.view(12, 5), there)


def test_tied_sigmoids_are_the_mean_field_steps_of_an_rbm():
    layer, rbm = set_biases(Autoencoder(6, 4, dtype=DOUBLE)), RBM(6, 4, dtype=DOUBLE)
    rbm.load_state_dict(layer.state_dict())
    v = rows(7, 6)
    torch.testing.assert_close(layer.mean_h_from_v(v), rbm.mean_h_from_v(v))
    torch.testing.assert_close(layer.mean_v_from_h(v[:, :4]), rbm.mean_v_from_h(v[:, :4]))


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_slopes_are_derivatives(name):
    a = torch.tensor([-3.0, -0.7, 0.2, 1.9, 30.0, -30.0], dtype=DOUBLE, requires_grad=True)
    h = ACTIVATIONS[name](a)
    expected = torch.autograd.grad(h.sum(), a)[0]
    torch.testing.assert_close(SLOPES[name](a, h).detach(), expected, atol=1e-12, rtol=1e-9)
    assert set(SLOPES) == set(ACTIVATIONS)
    if name != "relu":  # its slope is constant almost everywhere
        inside = torch.tensor([-1.3, -0.2, 0.4, 2.0], dtype=DOUBLE, requires_grad=True)
        assert torch.autograd.gradcheck(lambda a: SLOPES[name](a, ACTIVATIONS[name](a)) + 0 * a, inside)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_code_jacobian_against_autograd(name):
    layer = set_biases(Autoencoder(5, 4, activation=name, dtype=DOUBLE))
    v = rows(3, 5)
    expected = torch.stack([torch.autograd.functional.jacobian(layer.mean_h_from_v, row) for row in v])
    torch.testing.assert_close(layer.code_jacobian(v), expected)


@pytest.mark.parametrize(("output", "mean"), [("sigmoid", 0.3), ("identity", -2.5), ("tanh", -0.6)])
def test_initial_bias_gives_the_mean_of_the_data(output, mean):
    layer = Autoencoder(4, 3, output=output, dtype=DOUBLE)
    layer.initialise(5, torch.full((4,), mean, dtype=DOUBLE))
    nothing = torch.zeros(3, dtype=DOUBLE)
    torch.testing.assert_close(layer.mean_v_from_h(nothing).detach(), torch.full((4,), mean, dtype=DOUBLE))


@torch.no_grad()
def test_initial_weights_are_glorots_and_follow_the_seed():
    layer = Autoencoder(300, 100, tied=False, dtype=DOUBLE, random_state=3)
    limit = math.sqrt(6 / 400)
    for weights in (layer.W, layer.V):
        assert float(weights.abs().max()) <= limit
        # 30,000 uniform numbers: their variance is limit²/3 up to 4 standard errors, √(4/45/n) limit²
        error = 4 * math.sqrt(4 / 45 / weights.numel()) * limit**2
        assert float(weights.square().mean()) == pytest.approx(limit**2 / 3, abs=error)
    assert not torch.equal(layer.W, layer.V)
    assert torch.equal(layer.W, Autoencoder(300, 100, dtype=DOUBLE, random_state=3).W)
    assert not torch.equal(layer.W, Autoencoder(300, 100, dtype=DOUBLE, random_state=4).W)
    layer.initialise(0, torch.tensor([0.0, 1.0] * 150))  # means at the ends give no infinite bias
    assert bool(torch.isfinite(layer.b).all())
    assert float(layer.c.abs().sum()) == 0


@pytest.mark.parametrize("name", list(small_models()))
def test_built_again_from_spec_and_state(name):
    model = small_models()[name]
    again = build(model.spec(), {key: value.clone() for key, value in model.state_dict().items()})
    v = rows(3, model.n_visible)
    assert torch.equal(again.mean_h_from_v(v), model.mean_h_from_v(v))
    h = rows(3, model.n_hidden)
    assert torch.equal(again.mean_v_from_h(h), model.mean_v_from_h(h))


def test_bad_settings_and_widths():
    with pytest.raises(SettingError, match="n_hidden is 0"):
        Autoencoder(4, 0)
    with pytest.raises(SettingError, match="n_visible is '4'"):
        Autoencoder("4", 3)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"activation is 'sigmoit'.*sigmoid"):
        Autoencoder(4, 3, activation="sigmoit")
    with pytest.raises(SettingError, match="output is 'softmax'"):
        Autoencoder(4, 3, output="softmax")
    layer = Autoencoder(4, 3)
    with pytest.raises(DataError, match=r"\(2, 5\).*\(\.\.\., 4\)"):
        layer.mean_h_from_v(torch.zeros(2, 5))
    with pytest.raises(DataError, match=r"\(2, 4\).*\(\.\.\., 3\)"):
        layer.mean_v_from_h(torch.zeros(2, 4))


# what a stack of them becomes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sigmoid", "relu", "elu"])
def test_classifier_computes_what_the_stack_encodes(name):
    layers = [Autoencoder(6, 5, activation=name, dtype=DOUBLE), Autoencoder(5, 3, activation=name, dtype=DOUBLE)]
    stack = Stack([set_biases(layer, k) for k, layer in enumerate(layers)])
    network = stack.classifier(4)
    v = rows(5, 6)
    torch.testing.assert_close(network.encode(v), stack.encode(v))
    assert network(v).abs().max() == 0  # the head starts at 0
    assert network.activation == name


def test_classifier_of_mixed_layers_and_what_cannot_be_mixed():
    stack = Stack([RBM(6, 5, dtype=DOUBLE), set_biases(Autoencoder(5, 3, dtype=DOUBLE))])
    v = rows(5, 6)
    torch.testing.assert_close(stack.classifier(2).encode(v), stack.encode(v))
    mixed = Stack([RBM(6, 5), Autoencoder(5, 3, activation="tanh")])
    with pytest.raises(SettingError, match="different activations"):
        mixed.classifier(2)
    with pytest.raises(SettingError, match="only RBMs and Autoencoders"):
        Stack([Stack([Autoencoder(6, 5)])]).classifier(2)


def test_rectified_classifier_keeps_directions():
    stack = Stack([set_biases(Autoencoder(6, 5, dtype=DOUBLE))])
    W = rectified_classifier(stack, 3).W[0]
    cosine = torch.nn.functional.cosine_similarity(W, stack[0].W, dim=0)
    torch.testing.assert_close(cosine, torch.ones(5, dtype=DOUBLE))
    torch.testing.assert_close(W.norm(dim=0), torch.full((5,), math.sqrt(2), dtype=DOUBLE))
