"""The convolutional autoencoder: shapes for any size, adjoints, equivariance, slopes, and joined stacks."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from convolutional_recurrent_models import random_values, small_models

import lamina
from lamina.core.errors import DataError, ModelFileError, SettingError
from lamina.models import Stack, registry
from lamina.models.autoencoders import ConvolutionalAutoencoder

DOUBLE = {"dtype": torch.float64}
SMALL = {name: model for name, model in small_models().items() if name.startswith("convolutional")}


def rows(n: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, width)))


@pytest.mark.parametrize(
    ("size", "downsampling", "pooling"),
    [
        *product([(1, 1), (7, 5), (8, 8)], ["max", "switches", "stride"], [1, 2, 3]),
        ((9,), "max", 2),
        ((9,), "stride", 2),
    ],
)
def test_reconstructions_have_the_inputs_shape(size, downsampling, pooling):
    model = ConvolutionalAutoencoder((2, *size), (3, 2), 3, pooling, downsampling=downsampling, **DOUBLE)
    assert model.n_visible == 2 * int(np.prod(size))
    assert model.sizes[-1] == tuple(math.ceil(math.ceil(n / pooling) / pooling) for n in size)
    v = rows(6, model.n_visible).view(2, 3, -1)
    h = model.mean_h_from_v(v)
    assert h.shape == (2, 3, model.n_hidden)
    assert model.mean_v_from_h(h).shape == model.reconstruct(v).shape == v.shape
    assert torch.equal(model.maps_from_v(v).flatten(2), h)
    empty = model.mean_h_from_v(v[:, :0])
    assert empty.shape == (2, 0, model.n_hidden)
    assert model.mean_v_from_h(empty).shape == (2, 0, model.n_visible)
    one = model.reconstruct(v[1, 2])  # a single row
    torch.testing.assert_close(one, model.reconstruct(v)[1, 2])


def test_a_signal_worked_out_by_hand():
    """v = (1, 2, −1), a filter that adds a place and its right neighbour, blocks of two."""
    model = ConvolutionalAutoencoder((1, 3), 1, 3, 2, activation="identity", output="identity", **DOUBLE)
    with torch.no_grad():
        model.W[0].copy_(torch.tensor([[[0.0, 1.0, 1.0]]]))
        model.V[0].copy_(torch.tensor([[[1.0, 2.0, 0.0]]]))
        model.c[0].fill_(0.5)
        model.b[0].fill_(0.1)
    v = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    # detection 3.5, 1.5, -0.5; blocks (3.5, 1.5) and (-0.5)
    assert model.mean_h_from_v(v).tolist() == [3.5, -0.5]
    # spread over the blocks: 3.5, 3.5, -0.5; each place gets twice itself and its right neighbour
    np.testing.assert_allclose(model.reconstruct(v).tolist(), [7 + 3.5 + 0.1, 7 - 0.5 + 0.1, -1 + 0.1])
    model.downsampling = "switches"  # 3.5, 0, -0.5
    np.testing.assert_allclose(model.reconstruct(v).tolist(), [7 + 0.1, -0.5 + 0.1, -1 + 0.1])
    h = model.mean_h_from_v(v)  # without switches: 1.75, 1.75, -0.5
    np.testing.assert_allclose(model.mean_v_from_h(h).tolist(), [3.5 + 1.75 + 0.1, 3.5 - 0.5 + 0.1, -1 + 0.1])


@pytest.mark.parametrize("name", sorted(SMALL))
def test_slopes_against_finite_differences(name):
    model = SMALL[name]
    if model.activation == "relu":  # no kinks, and no ties where pooling changes its mind
        model = random_values(registry.build(model.spec() | {"activation": "tanh"}).to(torch.float64), seed=3)
    names = [n for n, _ in model.named_parameters()]
    v = rows(2, model.n_visible, seed=4).requires_grad_()

    def reconstruct(v, *values):
        with_values = _Bound(model, dict(zip(names, values, strict=True)))
        return torch.func.functional_call(with_values, with_values.values, (v,))

    values = [p.detach().clone().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(reconstruct, (v, *values), fast_mode=True)


class _Bound(torch.nn.Module):
    """``model.reconstruct`` as a module's forward, for given parameters."""

    def __init__(self, model, values):
        super().__init__()
        self.model = model
        self.values = {f"model.{name}": value for name, value in values.items()}

    def forward(self, v):
        return self.model.reconstruct(v)


@pytest.mark.parametrize(("size", "pooling"), [((5, 6), (2, 3)), ((7,), (2,)), ((4, 4), (1, 1))])
def test_a_tied_linear_decoder_is_the_encoders_adjoint(size, pooling):
    options = {"activation": "identity", "output": "identity", "tied": True, **DOUBLE}
    model = ConvolutionalAutoencoder((2, *size), (3, 2), 3, pooling, downsampling="stride", code=4, **options)
    assert not hasattr(model, "V")
    assert not hasattr(model, "code_V")
    x, y = rows(3, model.n_visible), rows(3, 4, seed=1)
    up, down = model.mean_h_from_v(x), model.mean_v_from_h(y)  # biases are 0: linear maps
    torch.testing.assert_close((up * y).sum(), (x * down).sum())
    pooled = ConvolutionalAutoencoder((2, *size), (3, 2), 3, pooling, downsampling="switches", **options)
    up, switches = pooled.code_and_switches(x)
    y = rows(3, pooled.n_hidden, seed=2)
    torch.testing.assert_close((up * y).sum(), (x * pooled.field_v(y, switches)).sum())


@pytest.mark.parametrize("downsampling", ["max", "switches", "stride"])
def test_a_shifted_image_has_a_shifted_code_away_from_the_borders(downsampling):
    options = {"downsampling": downsampling, "output": "identity", **DOUBLE}
    model = random_values(ConvolutionalAutoencoder((1, 28, 40), (3, 2), 3, 2, **options), scale=0.5)
    image = rows(1, 28 * 40).view(1, 28, 40)
    shifted = image.roll((4, 8), (1, 2))  # whole blocks of both stages: 1 and 2 places of the code
    code, moved = (model.maps_from_v(x.reshape(1, -1))[0] for x in (image, shifted))
    assert code.shape == (2, 7, 10)
    torch.testing.assert_close(moved[:, 3:-2, 4:-2], code[:, 2:-3, 2:-4])
    assert not torch.allclose(moved, code)
    back, moved = (model.reconstruct(x.reshape(1, -1)).view(28, 40) for x in (image, shifted))
    torch.testing.assert_close(moved[13:19, 18:30], back[9:15, 10:22])


def test_a_signal_is_an_image_of_height_one():
    for downsampling in ("max", "switches", "stride"):
        options = {"downsampling": downsampling, "code": 3, **DOUBLE}
        signal = random_values(ConvolutionalAutoencoder((2, 9), (3, 2), 5, 2, **options))
        image = ConvolutionalAutoencoder((2, 1, 9), (3, 2), (3, 5), (1, 2), **options)
        state = signal.state_dict()
        for name in [n for n in state if n.startswith(("W.", "V."))]:
            flat = state[name]
            state[name] = torch.zeros(*flat.shape[:2], 3, 5, dtype=flat.dtype)
            state[name][:, :, 1] = flat  # the rows above and below see only zeros beyond the border
        image.load_state_dict(state)
        v = rows(4, 18)
        torch.testing.assert_close(image.mean_h_from_v(v), signal.mean_h_from_v(v))
        torch.testing.assert_close(image.reconstruct(v), signal.reconstruct(v))


def test_initial_values():
    mean = torch.linspace(0.1, 0.9, 18, dtype=torch.float64)
    model = ConvolutionalAutoencoder((2, 9), 3, 3, code=2, **DOUBLE).initialise(5, mean)
    with torch.no_grad():
        for filters in model.V:
            filters.zero_()
    found = model.mean_v_from_h(torch.zeros(2, dtype=torch.float64)).view(2, 9)
    torch.testing.assert_close(found, mean.view(2, 9).mean(1, keepdim=True).expand(2, 9))
    one, two, other = (ConvolutionalAutoencoder((2, 9), 3, 3, code=2, random_state=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.W[0], other.W[0])
    assert not torch.equal(one.W[0], one.V[0])
    large = ConvolutionalAutoencoder((8, 40), 64, 5, activation="relu", **DOUBLE)
    assert float(large.W[0].detach().var()) == pytest.approx(2 / 40, rel=0.1)
    assert float(large.V[0].detach().abs().max()) <= np.sqrt(6 / (64 * 5 + 8 * 5))  # before a sigmoid


def test_a_stack_joined_is_one_deep_autoencoder():
    for downsampling, tied in (("max", False), ("stride", True)):
        options = {"activation": "tanh", "downsampling": downsampling, "tied": tied, **DOUBLE}
        first = random_values(ConvolutionalAutoencoder((1, 9, 7), 3, 3, **options))
        second = ConvolutionalAutoencoder(first.map_shape, (2,), 3, output="tanh", code=5, **options)
        stack = Stack([first, random_values(second, 1)])
        whole = ConvolutionalAutoencoder.joined(stack.layers)
        assert whole.n_maps == (3, 2)
        v = rows(4, 63)
        h = stack.encode(v)
        torch.testing.assert_close(whole.mean_h_from_v(v), h)
        torch.testing.assert_close(whole.mean_v_from_h(h), stack.decode(h))
        with torch.no_grad():
            whole.W[0].zero_()
        assert first.W[0].any()  # copies


def test_layers_that_cannot_be_joined():
    first = ConvolutionalAutoencoder((1, 8, 8), 3, 3)
    fitting = ConvolutionalAutoencoder((3, 4, 4), 2, 3, output="relu")
    ConvolutionalAutoencoder.joined([first, fitting])
    for layers, message in (
        ([], "at least one"),
        ([first, lamina.RBM(48, 2)], "all of them"),
        ([first, first], r"shape \(1, 8, 8\) follows"),
        ([ConvolutionalAutoencoder((1, 8, 8), 3, 3, code=48), fitting], "no dense code"),
        ([first, ConvolutionalAutoencoder((3, 4, 4), 2, 5, output="relu")], "kernel"),
        ([first, ConvolutionalAutoencoder((3, 4, 4), 2, 3, output="sigmoid")], "gives back"),
    ):
        with pytest.raises(SettingError, match=message):
            ConvolutionalAutoencoder.joined(layers)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_descriptions_make_the_same_model(name):
    model = SMALL[name]
    again = registry.build(model.spec(), model.state_dict())
    v = rows(3, model.n_visible)
    assert torch.equal(again.reconstruct(v), model.reconstruct(v))
    assert again.spec() == model.spec()
    with pytest.raises(ModelFileError):
        registry.build(model.spec() | {"n_maps": [0]})


def test_the_codes_activation_is_that_of_its_units():
    assert ConvolutionalAutoencoder((1, 8), 2, 3, activation="sigmoid").code_activation == "sigmoid"
    assert ConvolutionalAutoencoder((1, 8), 2, 3, activation="sigmoid", code=2).code_activation == "identity"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (8, 8)}, None),  # two channels of a signal: fine
        ({"shape": 64}, r"shape is 64; expected \(channels"),
        ({"shape": (1, 2, 3, 4)}, "shape"),
        ({"shape": (1, 0, 8)}, "shape is 0"),
        ({"n_maps": ()}, "at least one number"),
        ({"n_maps": (4, 0)}, "n_maps is 0"),
        ({"kernel": 4}, "odd"),
        ({"kernel": (3, 3, 3)}, "one for each of 2"),
        ({"kernel": 3.0}, "integer"),
        ({"pooling": 0}, "pooling is 0"),
        ({"downsampling": "strides"}, "did you mean 'stride'"),
        ({"downsampling": "stride", "kernel": 3, "pooling": 4}, "skip places"),
        ({"code": 0}, "code is 0"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"output": "none"}, "output is 'none'"),
    ],
)
def test_settings(settings, message):
    settings = {"shape": (1, 8, 8), **settings}
    if message is None:
        ConvolutionalAutoencoder(**settings)
        return
    with pytest.raises(SettingError, match=message):
        ConvolutionalAutoencoder(**settings)


def test_rows_and_codes_of_another_width():
    model = ConvolutionalAutoencoder((1, 8, 8), 2, 3)
    with pytest.raises(DataError, match=r"rows have shape \(3, 63\); expected \(..., 64\), flattened maps"):
        model.mean_h_from_v(torch.zeros(3, 63))
    with pytest.raises(DataError, match=r"codes have shape \(3, 5\)"):
        model.mean_v_from_h(torch.zeros(3, 5))
    with pytest.raises(DataError, match="rows"):
        model.maps_from_v(torch.zeros(()))
