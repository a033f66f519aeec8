"""The recurrent autoencoder against an LSTM written out, and batches of uneven sequences against one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from convolutional_recurrent_models import random_values, small_models

from lamina.core.errors import DataError, SettingError
from lamina.models import registry
from lamina.models.autoencoders import RecurrentAutoencoder
from lamina.models.ragged import clear_padding, frame_mask, reverse

DOUBLE = {"dtype": torch.float64}
BOTH = {"heads": ("reconstruction", "forecasting"), "horizon": 2}
SMALL = {name: model for name, model in small_models().items() if name.startswith("recurrent")}
LENGTHS = [6, 3, 1, 5]


def sequences(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Four sequences of three values in room for seven frames; the padding holds numbers of its own."""
    X = np.random.default_rng(seed).normal(size=(4, 7, 3))
    return torch.from_numpy(X), torch.tensor(LENGTHS)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(lstm, x, h, c):
    """One LSTM step by its definition; PyTorch's order of the gates: input, forget, cell, output."""
    p = {name: value.detach().numpy() for name, value in lstm.named_parameters()}
    field = x @ p["weight_ih_l0"].T + h @ p["weight_hh_l0"].T + p["bias_ih_l0"] + p["bias_hh_l0"]
    i, f, g, o = np.split(field, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def code_of(model, x):
    h = c = np.zeros(model.n_hidden)
    for frame in x:
        h, c = step(model.encoder, frame, h, c)
    return h


def written(model, head, z, steps, told=None):
    """The frames that a decoder writes from the code z; ``told``: what a conditional one is fed, else its own."""
    decoder = model.decoders[head]
    V, b = decoder.V.detach().numpy(), decoder.b.detach().numpy()
    h, c = z, z @ decoder.M.detach().numpy() + decoder.m.detach().numpy()
    frames, before = [], np.zeros(model.n_visible)
    for t in range(steps):
        h, c = step(decoder.lstm, before if model.conditional else np.zeros(1), h, c)
        field = h @ V + b
        frames.append(sigmoid(field) if model.output == "sigmoid" else field)
        before = frames[-1] if told is None else told[t]
    return np.array(frames)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_codes_reconstructions_and_forecasts_by_definition(name):
    model = SMALL[name]
    X, lengths = sequences()
    codes = model.encode(X, lengths)
    for row, length, z in zip(X.numpy(), LENGTHS, codes, strict=True):
        np.testing.assert_allclose(z.detach().numpy(), code_of(model, row[:length]), atol=1e-12)
    if "reconstruction" in model.heads:
        found = model.reconstruct(X, lengths)
        assert found.shape == X.shape
        for row, length, z in zip(found.detach().numpy(), LENGTHS, codes.detach().numpy(), strict=True):
            np.testing.assert_allclose(row[:length], written(model, "reconstruction", z, length)[::-1], atol=1e-12)
            assert not row[length:].any()
    if "forecasting" in model.heads:
        assert model.forecast(X, lengths).shape == (4, model.horizon, 3)
        found = model.forecast(X, lengths, steps=4)
        for row, z in zip(found.detach().numpy(), codes.detach().numpy(), strict=True):
            np.testing.assert_allclose(row, written(model, "forecasting", z, 4), atol=1e-12)


def test_a_conditional_decoder_is_told_the_frame_before():
    model = SMALL["recurrent autoencoder, conditional"]
    z, given = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 4))), sequences()[0][:1, :5]
    found = model.frames(model.fields("reconstruction", z, 5, given))[0].detach().numpy()
    told = written(model, "reconstruction", z[0].numpy(), 5, told=given[0].numpy())
    np.testing.assert_allclose(found, told, atol=1e-12)
    free = model.frames(model.fields("reconstruction", z, 5))
    assert not np.allclose(free[0].detach().numpy(), found)
    again = model.frames(model.fields("reconstruction", z, 5, free))  # told its own frames it writes them again
    torch.testing.assert_close(again, free)
    blind = SMALL["recurrent autoencoder, two heads"]
    assert torch.equal(blind.fields("reconstruction", z, 5, given), blind.fields("reconstruction", z, 5))


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan"), float("inf")])
def test_nothing_leaks_from_the_padding(name, padding):
    model = SMALL[name]
    X, lengths = sequences()
    other = torch.where(frame_mask(lengths, 7).unsqueeze(2), X, padding)
    assert torch.equal(model.encode(X, lengths), model.encode(other, lengths))
    for head in model.heads:
        call = {"reconstruction": model.reconstruct, "forecasting": model.forecast}[head]
        assert torch.equal(call(X, lengths), call(other, lengths))
        assert torch.isfinite(call(other, lengths)).all()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_uneven_sequences_are_as_one_by_one(name):
    model = SMALL[name]
    X, lengths = sequences()
    alone = [X[i : i + 1, :length] for i, length in enumerate(LENGTHS)]
    codes = model.encode(X, lengths)
    for x, z in zip(alone, codes, strict=True):
        torch.testing.assert_close(model.encode(x)[0], z, rtol=0, atol=1e-12)
    if "reconstruction" in model.heads:
        found = model.reconstruct(X, lengths)
        for x, r, length in zip(alone, found, LENGTHS, strict=True):
            torch.testing.assert_close(model.reconstruct(x)[0], r[:length], rtol=0, atol=1e-12)
    if "forecasting" in model.heads:
        found = model.forecast(X, lengths)
        for x, f in zip(alone, found, strict=True):
            torch.testing.assert_close(model.forecast(x)[0], f, rtol=0, atol=1e-12)


def test_no_sequences_at_all():
    for model in SMALL.values():
        X, lengths = torch.zeros(0, 7, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
        assert model.encode(X, lengths).shape == (0, 4)
        if "reconstruction" in model.heads:
            assert model.reconstruct(X, lengths).shape == (0, 7, 3)
        if "forecasting" in model.heads:
            assert model.forecast(X, lengths, 2).shape == (0, 2, 3)


def test_padding_masks_and_turning_round():
    X = torch.arange(12.0).view(2, 3, 2)
    lengths = torch.tensor([3, 2])
    assert frame_mask(lengths, 3).tolist() == [[True, True, True], [True, True, False]]
    assert clear_padding(X, lengths)[1].tolist() == [[6, 7], [8, 9], [0, 0]]
    turned = reverse(X, lengths)
    assert turned[0].tolist() == [[4, 5], [2, 3], [0, 1]]
    assert turned[1, :2].tolist() == [[8, 9], [6, 7]]


def test_initial_values_come_from_the_given_stream_alone():
    before = torch.get_rng_state()
    one, two, other = (RecurrentAutoencoder(3, 5, **BOTH, random_state=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.encoder.weight_hh_l0, other.encoder.weight_hh_l0)
    assert not torch.equal(one.decoders["reconstruction"].V, one.decoders["forecasting"].V)
    for lstm in (one.encoder, one.decoders["forecasting"].lstm):
        assert lstm.bias_ih_l0[5:10].tolist() == [1.0] * 5
        assert not lstm.bias_ih_l0[:5].any()
        assert not lstm.bias_hh_l0.any()
    weights = one.encoder.weight_hh_l0.detach().abs()
    assert 0.4 < float(weights.max()) <= 1 / np.sqrt(5)
    mean = torch.tensor([0.2, 0.5, 0.9])
    for output in ("identity", "sigmoid"):
        model = RecurrentAutoencoder(3, 5, output=output).initialise(0, mean)
        with torch.no_grad():
            model.decoders["reconstruction"].V.zero_()
        frames = model.decode(torch.zeros(1, 5), torch.tensor([2]))
        torch.testing.assert_close(frames[0], mean.expand(2, 3))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_descriptions_make_the_same_model(name):
    model = SMALL[name]
    again = registry.build(model.spec(), model.state_dict())
    X, lengths = sequences()
    assert again.spec() == model.spec()
    assert torch.equal(again.encode(X, lengths), model.encode(X, lengths))
    for head in model.heads:
        z = torch.ones(2, 4, dtype=torch.float64)
        assert torch.equal(again.fields(head, z, 3), model.fields(head, z, 3))
    learnt = [name for name, p in model.named_parameters() if p.requires_grad]
    assert [name for name, p in again.named_parameters() if p.requires_grad] == learnt


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_visible": 0}, "n_visible is 0"),
        ({"n_hidden": 2.5}, "n_hidden is 2.5"),
        ({"heads": ()}, "one or both"),
        ({"heads": ("reconstruction", "reconstruction")}, "each once"),
        ({"heads": ("forcasting",)}, "did you mean 'forecasting'"),
        ({"heads": "forecasting"}, "needs horizon="),
        ({"heads": "forecasting", "horizon": 0}, "horizon is 0"),
        ({"horizon": 3}, "no forecasting head"),
        ({"output": "sigmod"}, "did you mean 'sigmoid'"),
    ],
)
def test_settings(settings, message):
    with pytest.raises(SettingError, match=message):
        RecurrentAutoencoder(**{"n_visible": 3, "n_hidden": 4, **settings})


def test_heads_that_are_not_there():
    X, lengths = sequences()
    with pytest.raises(SettingError, match="no forecasting head"):
        SMALL["recurrent autoencoder"].forecast(X, lengths)
    with pytest.raises(SettingError, match="no reconstruction head"):
        SMALL["recurrent autoencoder, forecasting"].reconstruct(X, lengths)
    with pytest.raises(SettingError, match="steps is 0"):
        SMALL["recurrent autoencoder, forecasting"].forecast(X, lengths, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, n: (X[:, :, :2], n), r"shape \(4, 7, 2\); expected \(n, frames, 3\)"),
        (lambda X, n: (X[0], n), "pad_sequences"),
        (lambda X, n: (X[:, :0], n), "expected"),
        (lambda X, n: (X, n.double()), "integers"),
        (lambda X, n: (X, n[:3]), r"expected \(4,\) integers"),
        (lambda X, n: (X, n - 1), r"lie in \[0, 5\]; expected 1 to 7"),
        (lambda X, n: (X, n + 2), r"lie in \[3, 8\]; expected 1 to 7"),
    ],
)
def test_sequences_that_cannot_be_read(change, message):
    model = random_values(RecurrentAutoencoder(3, 4, **DOUBLE))
    with pytest.raises(DataError, match=message):
        model.encode(*change(*sequences()))


def test_nan_in_a_frame_that_counts_is_refused_and_behind_the_end_is_not():
    model = random_values(RecurrentAutoencoder(3, 4, **DOUBLE))
    X, lengths = sequences()
    X[1, 3:] = float("nan")  # its length is 3
    assert torch.isfinite(model.encode(X, lengths)).all()
    X[1, 2, 1] = float("nan")
    with pytest.raises(DataError, match=r"1 frame\(s\) hold NaN or infinite values, first sequence 1, frame 2"):
        model.encode(X, lengths)
