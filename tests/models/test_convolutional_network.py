"""The convolutional network: every layer against loops, slopes, invariances, initial values, and what is refused."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from convolutional_network_models import drawn, small_models

import lamina
from lamina.core.errors import DataError, ModelFileError, SettingError
from lamina.core.random import Random
from lamina.models import registry
from lamina.models.activations import ACTIVATIONS
from lamina.models.networks import (
    Convolution,
    ConvolutionalNetwork,
    Dense,
    Dropout,
    GlobalMeanPooling,
    MaxPooling,
    MeanPooling,
    Subsampling,
)
from lamina.models.networks.layers import from_document, to_document

DOUBLE = {"dtype": torch.float64}


def rows(n: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, width)))


# against loops ------------------------------------------------------------------------------------------------------


def convolved(x, W, b, layer, axes):
    """One image (channels, *size) by loops: ``W`` (filters, channels, *kernel), ``b`` flat."""
    stride = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,) * axes
    padding = layer.padding if isinstance(layer.padding, tuple) else (layer.padding,) * axes
    padded = np.pad(x, [(0, 0), *((p, p) for p in padding)], constant_values=layer.background)
    kernel = W.shape[2:]
    size = [(n - k) // s + 1 for n, k, s in zip(padded.shape[1:], kernel, stride, strict=True)]
    out = np.zeros((len(W), *size))
    for f in range(len(W)):
        for place in np.ndindex(*size):
            total = 0.0
            for c in range(len(padded)):
                for within in np.ndindex(*kernel):
                    at = tuple(p * s + i for p, s, i in zip(place, stride, within, strict=True))
                    total += padded[(c, *at)] * W[(f, c, *within)]
            out[(f, *place)] = total
    return out + (b.reshape(out.shape) if layer.biases == "unit" else b.reshape(-1, *[1] * axes))


def pooled(x, size, stride, gather):
    """One image (channels, *size) by loops."""
    out = np.zeros((len(x), *((n - k) // s + 1 for n, k, s in zip(x.shape[1:], size, stride, strict=True))))
    for place in np.ndindex(*out.shape):
        block = [range(p * s, p * s + k) for p, s, k in zip(place[1:], stride, size, strict=True)]
        out[place] = gather([x[(place[0], *at)] for at in itertools.product(*block)])
    return out


@pytest.mark.parametrize(
    ("shape", "layer"),
    [
        ((1, 5, 6), Convolution(2, 3)),
        ((2, 6, 5), Convolution(3, (3, 2), stride=(2, 1), padding=(1, 0), background=-1.0)),
        ((2, 4, 4), Convolution(2, 2, stride=3, padding=2, background=0.5, biases="unit")),
        ((3, 4, 5), Convolution(3, 3, padding=1, table=((0, 2), (1,), (0, 1, 2)), biases="unit")),
        ((2, 7), Convolution(3, 3, stride=2, padding=1, background=2.0)),
        ((2, 6), Convolution(2, 4, table=((1,), (0,)), biases="unit")),
    ],
)
def test_a_convolution_is_what_loops_compute(shape, layer):
    model = drawn(ConvolutionalNetwork(shape, [layer], 2, activation="identity", **DOUBLE))
    x = rows(2, model.n_visible)
    W, b = model.W[0].detach().numpy(), model.b[0].detach().numpy()
    if layer.table is not None:
        full = np.zeros((layer.filters, shape[0], *W.shape[1:]))
        pairs = [(f, c) for f, row in enumerate(layer.table) for c in row]
        for kernel, (f, c) in zip(W, pairs, strict=True):
            full[f, c] = kernel
        W = full
    for image, found in zip(x.numpy(), model.maps(x)[0].detach().numpy(), strict=True):
        np.testing.assert_allclose(found, convolved(image.reshape(shape), W, b, layer, len(shape) - 1), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "size", "stride"), [((2, 5, 6), 2, None), ((1, 5, 5), (3, 2), (1, 2)), ((2, 7), 3, 2), ((3, 4), 2, None)]
)
@pytest.mark.parametrize(("kind", "gather"), [(MaxPooling, max), (MeanPooling, np.mean), (Subsampling, sum)])
def test_poolings_are_what_loops_compute(shape, size, stride, kind, gather):
    model = drawn(ConvolutionalNetwork(shape, [kind(size, stride)], 2, activation="identity", **DOUBLE))
    x = rows(2, model.n_visible)
    axes = len(shape) - 1
    sizes, strides = (one if isinstance(one, tuple) else (one,) * axes for one in (size, stride or size))
    for image, found in zip(x.numpy(), model.maps(x)[0].detach().numpy(), strict=True):
        expected = pooled(image.reshape(shape), sizes, strides, gather)
        if kind is Subsampling:
            over = (-1, *[1] * axes)
            expected = expected * model.W[0].detach().numpy().reshape(over) + model.b[0].detach().numpy().reshape(over)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_whole_network_is_its_layers_one_after_another():
    model = small_models()["ConvolutionalNetwork of all layers"]
    x = rows(3, model.n_visible)
    maps = model.maps(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(2, 5, 9), (2, 5, 4), (3, 4, 3), (3, 2, 1), (3, 2, 1), (4,)]
    assert (maps[0] >= 0).all()
    fields = maps[3].flatten(1) @ model.W[3] + model.b[3]
    units = torch.stack([fields[:, 2 * j : 2 * j + 2].amax(1) for j in range(4)], 1)
    torch.testing.assert_close(maps[5], units)
    torch.testing.assert_close(model(x), units @ model.W[4] + model.b[4])
    hidden = model.hidden_means(x)
    for found, place in zip(hidden, (1, 2, 4, 5), strict=True):  # pooling and dropout belong to the layer below them
        torch.testing.assert_close(found, maps[place].flatten(1))
    torch.testing.assert_close(model.encode(x), hidden[-1])
    torch.testing.assert_close(model(x.view(3, 1, -1)), model(x).view(3, 1, -1))


def test_learnt_slopes_hold_for_a_whole_map():
    model = ConvolutionalNetwork((1, 3, 3), [Convolution(2, 2, activation="prelu")], 2, **DOUBLE)
    assert model.a["0"].tolist() == [0.25, 0.25]
    with torch.no_grad():
        model.a["0"].copy_(torch.tensor([0.5, -1.0]))
    plain = ConvolutionalNetwork((1, 3, 3), [Convolution(2, 2, activation="identity")], 2, **DOUBLE)
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("a")})
    x = rows(4, 9)
    below = plain.maps(x)[0]
    slopes = torch.tensor([0.5, -1.0], **DOUBLE).view(2, 1, 1)
    torch.testing.assert_close(model.maps(x)[0], torch.where(below > 0, below, below * slopes))


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "prelu", "maxout"])
def test_pooling_before_or_after_the_activation_is_the_same(activation):
    """What rises changes places with the maximum; silu and gelu, which also fall, must not."""
    layers = [Convolution(3, 2), MaxPooling(2), Dense(3)]
    model = drawn(ConvolutionalNetwork((2, 5, 5), layers, 2, activation=activation, **DOUBLE), seed=1)
    x = rows(20, 50, seed=1) * 3
    torch.testing.assert_close(model.hidden_means(x)[0], model.maps(x)[1].flatten(1))
    torch.testing.assert_close(model.encode(x), model.maps(x)[-1])


def test_single_precision_agrees_with_double():
    """Its maps lie otherwise in memory, and other kernels convolve them."""
    layers = [Convolution(6, 5, padding=2), MaxPooling(2), Convolution(8, 3, stride=2), MeanPooling(2), Dense(10)]
    double = ConvolutionalNetwork((1, 16, 16), layers, 4, **DOUBLE)
    single = registry.build(double.spec(), {k: v.float() for k, v in double.state_dict().items()})
    x = rows(7, 256)
    np.testing.assert_allclose(single(x.float()).detach().numpy(), double(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    found = torch.autograd.grad(single(x.float()).square().sum(), list(single.parameters()))
    expected = torch.autograd.grad(double(x).square().sum(), list(double.parameters()))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-3)


# slopes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(small_models()))
def test_slopes_of_outputs_with_respect_to_every_parameter_and_the_input(name):
    model = small_models()[name]
    names = [name for name, _ in model.named_parameters()]
    x = rows(2, model.n_visible).requires_grad_()

    def outputs(x, *parameters):
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(outputs, (x, *model.parameters()))


def test_every_parameter_is_listed_once_with_its_layer():
    for model in small_models().values():
        listed = [p for layer in model.layer_parameters() for p in layer]
        assert len({id(p) for p in listed}) == len(listed) == len(list(model.parameters()))
        assert [layer[0] is W for layer, W in zip(model.layer_parameters(), model.W, strict=True)]
        assert len(model.layer_parameters()) == len(model.hidden_means(rows(1, model.n_visible))) + 1


# invariances --------------------------------------------------------------------------------------------------------


def test_max_pooling_sees_no_difference_within_a_block():
    model = ConvolutionalNetwork((1, 4, 4), [MaxPooling(2), Dense(3)], 2, **DOUBLE)
    spots = torch.zeros(4, 1, 4, 4, **DOUBLE)
    for k, (i, j) in enumerate(itertools.product((2, 3), (0, 1))):
        spots[k, 0, i, j] = 1.0  # the same spot in the four places of one block
    found = model(spots.flatten(1))
    torch.testing.assert_close(found, found[:1].expand(4, -1))
    spots[1, 0, 2, 0] = 0.9  # and something smaller beside it
    torch.testing.assert_close(model(spots.flatten(1)), found)
    spots[0, 0, 2, 2] = 1.0  # a neighbouring block is another matter
    assert not torch.allclose(model(spots.flatten(1)), found)


def test_maps_move_with_the_image():
    """A shift by as much as all strides below make one step shifts the maps by one place."""
    layers = [Convolution(3, 3, stride=2), MaxPooling(2)]
    model = drawn(ConvolutionalNetwork((1, 15, 15), layers, 2, **DOUBLE))
    image = rows(1, 225).view(1, 15, 15)
    moved = torch.roll(image, 4, dims=2)
    there, here = model.maps(moved.view(1, -1))[-1], model.maps(image.view(1, -1))[-1]
    torch.testing.assert_close(there[..., 1:], here[..., :-1])
    assert not torch.allclose(there[..., :-1], here[..., :-1])


def test_global_mean_pooling_forgets_places():
    model = ConvolutionalNetwork((3, 4, 5), [Convolution(2, 1), GlobalMeanPooling()], 2, activation="tanh", **DOUBLE)
    x = rows(2, 60).view(2, 3, 20)
    order = torch.from_numpy(np.random.default_rng(0).permutation(20))
    torch.testing.assert_close(model(x[:, :, order].flatten(1)), model(x.flatten(1)))
    torch.testing.assert_close(model.maps(x.flatten(1))[1], model.maps(x.flatten(1))[0].mean((2, 3)))


# dropout ------------------------------------------------------------------------------------------------------------


def test_dropout_is_on_with_a_stream_only_and_keeps_the_mean():
    model = ConvolutionalNetwork((1, 2, 5), [Dropout(0.25)], 1, **DOUBLE)
    x = torch.ones(4000, 10, **DOUBLE)
    with torch.no_grad():
        model.W[0].fill_(1.0)
        assert torch.equal(model(x), torch.full((4000, 1), 10.0, **DOUBLE))
        found = model(x, Random(0)).squeeze(1)
    kept = found.mul(0.75).round()
    torch.testing.assert_close(found * 0.75, kept)
    assert abs(float(found.mean()) - 10) < 5 * math.sqrt(10 * 0.25 / 0.75 / 4000)
    assert abs(float(kept.var()) - 10 * 0.25 * 0.75) < 0.2
    again = model(x, Random(0)).squeeze(1)
    assert torch.equal(found, again)


# initial values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initial", "activation", "deviation"),
    [
        ("auto", "relu", math.sqrt(2 / 75)),
        ("auto", "tanh", math.sqrt(2 / (75 + 1000))),
        ("he", "tanh", math.sqrt(2 / 75)),
        ("glorot", "relu", math.sqrt(2 / (75 + 1000))),
        ("lecun", "relu", 2.4 / 75 / math.sqrt(3)),
        (0.05, "tanh", 0.05),
    ],
)
def test_initial_weights_have_the_deviation_that_is_asked_for(initial, activation, deviation):
    options = {"initial": initial, "activation": activation, **DOUBLE}
    model = ConvolutionalNetwork((3, 6, 6), [Convolution(40, 5)], 2, random_state=4, **options)
    W = model.W[0].detach()
    assert abs(float(W.std()) / deviation - 1) < 5 / math.sqrt(2 * W.numel())
    assert abs(float(W.mean())) < 5 * deviation / math.sqrt(W.numel())
    assert not model.b[0].any()
    again = ConvolutionalNetwork((3, 6, 6), [Convolution(40, 5)], 2, random_state=4, **options)
    assert torch.equal(model.W[0], again.W[0])
    assert not torch.equal(model.W[0], again.initialise(5).W[0])


def test_a_table_counts_the_inputs_that_a_filter_sees():
    """He's deviation of a filter that sees 2 of 4 maps is √2 times that of one that sees all."""
    table = tuple((f % 4, (f + 1) % 4) for f in range(60))
    model = ConvolutionalNetwork((4, 5, 5), [Convolution(60, 5, table=table)], 2, **DOUBLE)
    assert model.W[0].shape == (120, 5, 5)
    assert abs(float(model.W[0].detach().std()) / math.sqrt(2 / 50) - 1) < 0.06


def test_subsampling_starts_as_mean_pooling():
    learnt = ConvolutionalNetwork((2, 6, 4), [Subsampling(2)], 3, activation="identity", **DOUBLE)
    fixed = ConvolutionalNetwork((2, 6, 4), [MeanPooling(2)], 3, **DOUBLE)
    x = rows(3, 48)
    torch.testing.assert_close(learnt.maps(x)[0], fixed.maps(x)[0])


# what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "layers", "options", "message"),
    [
        ((1, 8, 8), [Convolution(2, 5), MaxPooling(2), Convolution(2, 3)], {}, r"maps of 2 x 2 places reach the layer"),
        ((1, 8, 8), [Dense(4), Convolution(2, 3)], {}, r"4 units without places reach the layer"),
        ((1, 8, 8), [GlobalMeanPooling(), MaxPooling(2)], {}, r"1 units without places"),
        ((1, 8), [Convolution(2, (3, 3))], {}, r"size has 2 numbers, but the maps .* have 1 axis"),
        ((2, 8, 8), [Convolution(1, 3, table=((2,),))], {}, r"the table names map 2, but 2 maps reach the layer"),
        ((1, 8, 8), [Convolution(2, 3), 7], {}, r"layers holds 7; expected records such as"),
        ((1, 8, 8), [Subsampling(2)], {"activation": "maxout"}, r"which Subsampling has not"),
        ((8, 8, 8, 8), [], {}, r"shape is \(8, 8, 8, 8\); expected \(channels, height, width\)"),
        ((1, 0, 8), [], {}, r"shape is 0"),
        ((1, 8, 8), [], {"activation": "rleu"}, r"did you mean 'relu'"),
        ((1, 8, 8), [], {"output": "maxout"}, r"output is 'maxout'"),
        ((1, 8, 8), [], {"initial": "lecunn"}, r"did you mean 'lecun'"),
        ((1, 8, 8), [], {"initial": -1.0}, r"initial is -1.0"),
        ((1, 8, 8), [], {"pieces": 0}, r"pieces is 0"),
    ],
)
def test_networks_that_cannot_be(shape, layers, options, message):
    with pytest.raises(SettingError, match=message):
        ConvolutionalNetwork(shape, layers, 2, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution(0, 3), r"filters is 0"),
        (lambda: Convolution(2, 3.5), r"size is 3.5; expected an integer"),
        (lambda: Convolution(2, (1, 2, 3)), r"size is \(1, 2, 3\); expected one number, or one per axis"),
        (lambda: Convolution(2, 3, stride=0), r"stride is 0"),
        (lambda: Convolution(2, 3, padding=-1), r"padding is -1"),
        (lambda: Convolution(2, 3, background=math.nan), r"background is nan"),
        (lambda: Convolution(2, 3, biases="units"), r"did you mean 'unit'"),
        (lambda: Convolution(2, 3, table=((0,),)), r"one tuple of map numbers for each of the 2 filters"),
        (lambda: Convolution(2, 3, table=((0,), ())), r"the row \(\); expected at least one map number"),
        (lambda: Convolution(1, 3, table=((1, 1),)), r"each at most once"),
        (lambda: Convolution(1, 3, table=((-1,),)), r"a map number of table is -1"),
        (lambda: Convolution(1, 3, activation="tan"), r"did you mean 'tanh'"),
        (lambda: Dense(0), r"units is 0"),
        (lambda: Dropout(1.0), r"rate is 1.0"),
        (lambda: MaxPooling(0), r"size is 0"),
        (lambda: Subsampling(2, activation="maxout"), r"expected one with a single field per unit"),
        (lambda: from_document({"kind": "Convolutions", "filters": 1}), r"did you mean 'Convolution'"),
        (lambda: from_document({"kind": "Dense", "n": 1}), r"a layer of kind Dense has settings \{'n': 1\}"),
    ],
)
def test_layers_that_cannot_be(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_rows_of_another_width_are_refused():
    model = ConvolutionalNetwork((1, 4, 4), [Convolution(2, 3)], 2)
    with pytest.raises(DataError, match=r"inputs have shape \(3, 15\); expected \(\.\.\., 16\), flattened maps"):
        model(torch.zeros(3, 15))


# files --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(small_models()))
def test_networks_come_back_from_files(name, tmp_path):
    model = small_models()[name]
    lamina.save(model, tmp_path / "model")
    again = lamina.load(tmp_path / "model")
    assert again.spec() == model.spec()
    x = rows(3, model.n_visible)
    assert torch.equal(again(x), model(x))
    assert again.layers == model.layers


def test_layers_come_back_from_documents():
    for layer in (
        Convolution(2, (3, 1), table=((0,), (0, 1)), activation="elu"),
        MeanPooling(3, stride=2),
        Dropout(0.1),
    ):
        assert from_document(to_document(layer)) == layer


def test_altered_files_are_refused():
    spec = ConvolutionalNetwork((1, 8, 8), [Convolution(2, 3), MaxPooling(2)], 2).spec()
    spec["layers"][0]["size"] = 9
    with pytest.raises(ModelFileError, match=r"describes no possible model .*needs at least 9 x 9"):
        registry.build(spec)
