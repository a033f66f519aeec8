"""The vision transformer: patches, places, attention against the formula, tokens as a set, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.models.networks import VisionTransformer
from lamina.models.networks.transformer import Block, grid_positions, patches_of, rows_of
from lamina.storage import load, save

SHAPE = (2, 4, 6)


def images(n: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 48)))


def network(**options) -> VisionTransformer:
    chosen = {"width": 8, "depth": 2, "heads": 2, "hidden": 6, "dtype": torch.float64} | options
    return VisionTransformer(SHAPE, 2, **chosen)


def test_patches_are_squares_of_the_image_and_can_be_put_back():
    v = images()
    patches = patches_of(v, SHAPE, 2)
    assert patches.shape == (5, 6, 8)
    square = v.view(5, 2, 4, 6)[:, :, 2:4, 2:4]  # second row of patches, second in it: number 4
    assert torch.equal(patches[:, 4], square.reshape(5, 8))
    assert torch.equal(rows_of(patches, SHAPE, 2), v)


def test_places_are_sines_and_cosines_of_row_and_column():
    places = grid_positions(2, 3, 8)
    assert places.shape == (6, 8)
    row, column = 1, 2  # place 5; frequencies 1 and 1/100
    expected = [f(x * w) for x in (row, column) for f in (np.sin, np.cos) for w in (1, 0.01)]
    np.testing.assert_allclose(places[5], expected, atol=1e-6)
    assert len({tuple(place.tolist()) for place in places}) == 6


def test_a_block_is_the_formula_written_out_in_numpy():
    block = Block(8, 2, 6, torch.float64)
    generator = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        parameter.data.normal_(generator=generator)
    z = torch.randn(3, 4, 8, dtype=torch.float64, generator=generator)
    W = {name: value.detach().numpy() for name, value in block.named_parameters()}

    def norm(x, k):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * W[f"norm_{k}.weight"] + W[f"norm_{k}.bias"]

    from scipy.special import erf, softmax

    x = z.numpy()
    qkv = norm(x, 1) @ W["W.qkv"] + W["b.qkv"]
    read = np.empty_like(x)
    for head in range(2):
        q, k, value = (qkv[..., 8 * part + 4 * head : 8 * part + 4 * head + 4] for part in range(3))
        read[..., 4 * head : 4 * head + 4] = softmax(q @ k.transpose(0, 2, 1) / 2, axis=-1) @ value
    x = x + read @ W["W.o"] + W["b.o"]
    inner = norm(x, 2) @ W["W.1"] + W["b.1"]
    x = x + (inner * (1 + erf(inner / np.sqrt(2))) / 2) @ W["W.2"] + W["b.2"]
    np.testing.assert_allclose(block(z).detach().numpy(), x, atol=1e-10)


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_tokens_are_a_set_with_places(pooling):
    model = network(pooling=pooling)
    patches = model.patches(images())
    whole = model.encode_patches(patches)
    order = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(k)) for k in range(5)])
    mixed = model.encode_patches(patches.gather(1, order[..., None].expand_as(patches)), order)
    extra = 1 if pooling == "class" else 0
    back = whole[:, extra:].gather(1, order[..., None].expand(-1, -1, 8))
    torch.testing.assert_close(mixed[:, extra:], back, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(mixed[:, :extra], whole[:, :extra], rtol=1e-10, atol=1e-12)
    moved = model.encode_patches(patches, order)  # the same patches elsewhere are another image
    assert not torch.allclose(moved, whole)


def test_encoding_a_subset_does_not_read_the_rest():
    """What a masked autoencoder's encoder does equals attention in which nobody may look at the others."""
    model = network(depth=1)
    patches = model.patches(images())
    places = torch.tensor([[0, 3, 4]]).expand(5, -1)
    subset = model.encode_patches(patches[:, [0, 3, 4]], places)
    block = model.blocks[0]
    z = patches @ model.E + model.e + model.positions
    qkv = (block.norm_1(z) @ block.W["qkv"] + block.b["qkv"]).view(5, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
    hidden = torch.zeros(6, 6, dtype=torch.float64)
    hidden[:, [1, 2, 5]] = -torch.inf
    weights = torch.softmax(qkv[0] @ qkv[1].transpose(2, 3) / 2 + hidden, -1)
    z = z + (weights @ qkv[2]).transpose(1, 2).reshape(5, 6, 8) @ block.W["o"] + block.b["o"]
    inner = torch.nn.functional.gelu(block.norm_2(z) @ block.W["1"] + block.b["1"])
    full = model.norm(z + inner @ block.W["2"] + block.b["2"])
    torch.testing.assert_close(subset, full[:, [0, 3, 4]], rtol=1e-10, atol=1e-12)


def test_pooling_and_leading_dimensions():
    v = images(6)
    mean, token = network(), network(pooling="class")
    torch.testing.assert_close(mean.mean_h_from_v(v), mean.encode_patches(mean.patches(v)).mean(1))
    torch.testing.assert_close(token.mean_h_from_v(v), token.encode_patches(token.patches(v))[:, 0])
    torch.testing.assert_close(mean.mean_h_from_v(v.view(2, 3, 48)), mean.mean_h_from_v(v).view(2, 3, 8))
    one = mean.mean_h_from_v(v[0])
    assert one.shape == (8,)
    assert mean(v).shape == (6, 8)  # without a head: features


def test_the_gradient_by_differences():
    model = network(depth=1, pooling="class", n_classes=2)
    model.head_W.data.normal_(generator=torch.Generator().manual_seed(1))
    v = images(2)
    names = ["E", "token", "blocks.0.W.qkv", "blocks.0.norm_1.weight", "norm.bias", "head_W"]
    parameters = dict(model.named_parameters())

    def outputs(*values):
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (v,))

    given = tuple(parameters[name].detach().clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(outputs, given, fast_mode=True)


def test_a_classifier_copies_the_weights_and_starts_even():
    model = network()
    head = model.classifier(3)
    v = images()
    assert torch.equal(head(v), torch.zeros(5, 3, dtype=torch.float64))
    assert torch.equal(head.mean_h_from_v(v), model.mean_h_from_v(v))
    with torch.no_grad():
        head.E.add_(1)
    assert not torch.equal(head.E, model.E)
    assert head.classifier(4).n_out == 4


def test_seeds_and_files(tmp_path):
    model = network(pooling="class", n_classes=3, random_state=5)
    again = network(pooling="class", n_classes=3, random_state=5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.E, network(random_state=6).E)
    save(model, tmp_path)
    found = load(tmp_path)
    assert found.spec() == model.spec()
    assert torch.equal(found(images()), model(images()))


def test_what_cannot_be_built_or_read_is_refused():
    for options in ({"width": 6}, {"width": 8, "heads": 3}, {"pooling": "max"}, {"depth": -1}, {"n_classes": 1.5}):
        with pytest.raises(SettingError):
            network(**options)
    for shape, patch in (((1, 5, 6), 2), ((4, 6), 2), ("abc", 2), ((0, 4, 6), 2), ((1, 4, 6), 0)):
        with pytest.raises(SettingError):
            VisionTransformer(shape, patch, width=8)
    with pytest.raises(DataError, match="expected \\(n, 48\\)"):
        network().mean_h_from_v(torch.zeros(2, 47))
