"""Recurrent networks: cells by hand, ragged sequences, both directions, slopes, going on, files, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recurrent_network_models import random_values, small_models
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.networks import RecurrentNetwork
from lamina.models.networks.recurrent_layer import orthogonal
from lamina.models.registry import build

MODELS = small_models()
NAMES = sorted(MODELS)
DOUBLE = {"dtype": torch.float64}
LENGTHS = torch.tensor([5, 2, 7, 1])


def sequences(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(4, 7, 3)))


def by_hand(cells, x, kind):
    """Values (L, n) of one sequence (L, d), gate by gate."""
    A, R, a = (w.detach() for w in (cells.weight_ih_l0, cells.weight_hh_l0, cells.bias_ih_l0))
    h = c = torch.zeros(R.shape[1], dtype=x.dtype)
    found = []
    for frame in x:
        z = A @ frame + R @ h + a
        if kind == "lstm":
            i, f, g, o = z.chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        else:
            h = torch.tanh(z)
        found.append(h)
    return torch.stack(found)


def answer_by_hand(model, x):
    """What ``model`` says to one sequence (L, d), by loops."""
    if model.cell == "fully-recurrent":
        fields = fully_recurrent_by_hand(model.layers[0].ahead, x, model.n_out)
        back = model.layers[0].directions[1:]
        backward = [fully_recurrent_by_hand(cells, x.flip(0), model.n_out).flip(0) for cells in back]
        if model.answer == "last":
            return fields[-1] + sum(one[0] for one in backward)
        fields = fields + sum(backward)
        return fields if model.answer == "each" else fields.mean(0)
    for layer in model.layers:
        values = [by_hand(layer.ahead, x, model.cell)]
        if model.bidirectional:
            values.append(by_hand(layer.back, x.flip(0), model.cell).flip(0))
        x = torch.cat(values, 1)
    read = {
        "each": x,
        "mean": x.mean(0),
        "last": torch.cat([v[0 if k else -1] for k, v in enumerate(values)]),
    }[model.answer]
    return read @ model.head_W + model.head_b


def fully_recurrent_by_hand(cells, x, n_out):
    """Unit by unit, as Williams and Zipser write it: s_k = Σ w_kl y_l + Σ w_ki x_i + a_k, y_k = tanh s_k."""
    A, R, a = (w.detach() for w in (cells.weight_ih_l0, cells.weight_hh_l0, cells.bias_ih_l0))
    y, found = [0.0] * len(a), []
    for frame in x:
        s = [
            sum(R[k, u] * y[u] for u in range(len(a))) + sum(A[k, i] * frame[i] for i in range(len(frame))) + a[k]
            for k in range(len(a))
        ]
        y = [torch.tanh(value) for value in s]
        found.append(torch.stack(s[-n_out:]))
    return torch.stack(found)


@pytest.mark.parametrize("name", NAMES)
def test_every_sequence_of_a_ragged_batch_gets_what_loops_over_it_alone_give(name):
    model, x = MODELS[name], sequences()
    together = model(x, lengths=LENGTHS).detach()
    for row, length in enumerate(LENGTHS.tolist()):
        expected = answer_by_hand(model, x[row, :length]).detach()
        alone = model(x[row : row + 1, :length])[0].detach()
        torch.testing.assert_close(alone, expected, rtol=0, atol=1e-13)
        found = together[row, :length] if model.answer == "each" else together[row]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
        if model.answer == "each":
            assert not together[row, length:].any()


@pytest.mark.parametrize("padding", [9.0, float("nan")])
def test_the_padding_never_matters(padding):
    for name, model in MODELS.items():
        x = sequences()
        other = torch.where((torch.arange(7) < LENGTHS[:, None])[:, :, None], x, padding)
        assert torch.equal(model(x, lengths=LENGTHS), model(other, lengths=LENGTHS)), name
        assert torch.equal(model.encode(x, LENGTHS), model.encode((other, LENGTHS))), name
        slopes = []
        for values in (x, other):
            total = model(values, lengths=LENGTHS).square().sum()
            slopes.append(torch.autograd.grad(total, [p for layer in model.layer_parameters() for p in layer]))
        assert all(torch.equal(a, b) for a, b in zip(*slopes, strict=True)), name


@pytest.mark.parametrize("kind", ["elman", "lstm"])
def test_a_bidirectional_layer_is_pytorchs_on_packed_sequences(kind):
    model = random_values(RecurrentNetwork(3, 4, 2, cell=kind, bidirectional=True, **DOUBLE))
    theirs = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM}[kind](3, 4, batch_first=True, bidirectional=True, **DOUBLE)
    layer = model.layers[0]
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(theirs, name).copy_(getattr(layer.ahead, name))
            getattr(theirs, f"{name}_reverse").copy_(getattr(layer.back, name))
    x = sequences()
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=7)[0]
    torch.testing.assert_close(model.hidden_means(x, lengths=LENGTHS)[0], expected, rtol=0, atol=1e-13)


def test_both_directions_of_the_same_weights_make_reading_backwards_the_mirror():
    for kind in ("elman", "lstm", "fully-recurrent"):
        model = random_values(RecurrentNetwork(3, 4, 2, cell=kind, bidirectional=True, answer="each", **DOUBLE))
        with torch.no_grad():
            for ahead, back in zip(model.layers[0].ahead.parameters(), model.layers[0].back.parameters(), strict=True):
                back.copy_(ahead)
            if kind != "fully-recurrent":
                model.head_W[4:] = model.head_W[:4]
        x = sequences()
        torch.testing.assert_close(model(x.flip(1)), model(x).flip(1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_against_finite_differences(name):
    model, x = MODELS[name], sequences()[:2, :4].clone().requires_grad_()
    learnt = [p for layer in model.layer_parameters() for p in layer]

    def outputs(x, *_):
        return model(x, lengths=torch.tensor([4, 2]))

    assert torch.autograd.gradcheck(outputs, (x, *learnt), fast_mode=True)


@pytest.mark.parametrize("kind", ["elman", "lstm", "fully-recurrent"])
def test_truncation_changes_slopes_not_values(kind):
    model = random_values(RecurrentNetwork(3, 3, 2, cell=kind, answer="each", **DOUBLE))
    x = sequences().requires_grad_()
    assert torch.allclose(model(x, truncate=3), model(x), rtol=0, atol=1e-13)
    whole, cut = (torch.autograd.grad(model(x, truncate=t)[:, 4].sum(), x)[0].abs().sum((0, 2)) for t in (None, 3))
    assert (whole[:5] > 0).all()
    assert not cut[:3].any()  # frames 0 … 2 are one stretch, 3 … 5 the next
    assert (cut[3:5] > 0).all()
    assert not cut[5:].any()


def test_dropout_only_on_the_way_up_and_only_with_random_numbers():
    model = RecurrentNetwork(3, (50, 50), 2, dropout=0.5, answer="each", **DOUBLE)
    x = sequences()
    assert torch.equal(model(x), model(x))
    one, two = (model.hidden_means(x, Random(0).at(step)) for step in (0, 1))
    assert torch.equal(one[0], two[0])  # the first layer is read from x, where nothing is dropped
    assert not torch.equal(one[1], two[1])
    plain = RecurrentNetwork(3, 50, 2, dropout=0.5, answer="each", **DOUBLE)
    rows = x[:1, :3].expand(2000, -1, -1)
    drawn, kept = plain(rows, Random(1).at(0)), plain(rows)
    error = drawn.std(0) / 2000**0.5
    assert (error > 0).all()
    assert ((drawn.mean(0) - kept[0]).abs() < 5 * error).all()  # one linear map above: no bias


def test_initial_values():
    model = RecurrentNetwork(3, (6, 5), 2, cell="lstm", **DOUBLE)
    for layer, n in zip(model.layers, (6, 5), strict=True):
        for R in layer.ahead.weight_hh_l0.chunk(4):
            torch.testing.assert_close(R @ R.T, torch.eye(n, **DOUBLE), rtol=0, atol=1e-12)
        i, f, g, o = layer.ahead.bias_ih_l0.chunk(4)
        assert (f == 1).all()
        assert not torch.cat([i, g, o]).any()
        assert not layer.ahead.bias_hh_l0.any()
        assert layer.ahead.weight_ih_l0.abs().max() <= (6 / (layer.n_in + n)) ** 0.5
    again = RecurrentNetwork(3, (6, 5), 2, cell="lstm", random_state=1, **DOUBLE)
    assert not torch.equal(again.head_W, model.head_W)
    assert torch.equal(again.initialise(0).head_W, model.head_W)
    determinants = [float(torch.linalg.det(orthogonal(3, torch.zeros(1, **DOUBLE), Random(k)))) for k in range(20)]
    assert {round(d) for d in determinants} == {-1, 1}  # rotations and reflections


def test_layers_and_codes():
    model = MODELS["elman, two layers, both directions, each"]
    assert [len(layer) for layer in model.layer_parameters()] == [6, 6, 2]
    assert [h.shape for h in model.hidden_means(sequences())] == [(4, 7, 8), (4, 7, 4)]
    assert model.encode(sequences()).shape == (4, 7, model.n_hidden)
    lstm = MODELS["lstm"]
    x = sequences()
    torch.testing.assert_close(lstm.encode(x, LENGTHS) @ lstm.head_W + lstm.head_b, lstm(x, lengths=LENGTHS))
    full = MODELS["fully recurrent"]
    assert full.encode(x).shape == (4, 7, 4 + 2)
    assert len(full.layer_parameters()) == 1
    for one in MODELS.values():
        learnt = {id(p) for layer in one.layer_parameters() for p in layer}
        assert learnt == {id(p) for p in one.parameters() if p.requires_grad}
        assert one(x[:0]).shape == ((0, 7, 2) if one.answer == "each" else (0, 2))
        assert [h.shape[0] for h in one.hidden_means(x[:0])] == [0] * len(one.layers)


@pytest.mark.parametrize(("kind", "hidden"), [("elman", (4, 3)), ("lstm", (4, 3)), ("fully-recurrent", 4)])
def test_going_on_is_reading_what_was_foretold(kind, hidden):
    model = random_values(RecurrentNetwork(3, hidden, 3, cell=kind, answer="each", **DOUBLE))
    for frames in (None, torch.sigmoid):
        found = model.forecast(sequences(), 3, LENGTHS, frames)
        for row, length in enumerate(LENGTHS.tolist()):
            x = sequences()[row : row + 1, :length]
            for step in range(3):
                following = model(x)[:, -1:].detach()
                following = following if frames is None else frames(following)
                torch.testing.assert_close(found[row, step], following[0, 0], rtol=0, atol=1e-12)
                x = torch.cat([x, following], 1)
    assert model.forecast(sequences()[:0], 2).shape == (0, 2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_files(name, tmp_path):
    model = MODELS[name]
    assert build(model.spec(), model.state_dict()).spec() == model.spec()
    found = lamina.load(lamina.save(model, tmp_path / "model"))
    assert torch.equal(found(sequences(), lengths=LENGTHS), model(sequences(), lengths=LENGTHS))


def test_bad_settings():
    for wrong, message in (
        ({"n_visible": 0}, "n_visible is 0"),
        ({"hidden": ()}, "hidden is empty"),
        ({"hidden": (4, 2.5)}, "hidden is 2.5"),
        ({"n_out": -1}, "n_out is -1"),
        ({"cell": "lstn"}, "did you mean 'lstm'"),
        ({"answer": "first"}, "answer is 'first'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"cell": "fully-recurrent", "hidden": (3, 3)}, "no layer above"),
        ({"cell": "fully-recurrent", "dropout": 0.5}, "no layer above"),
    ):
        with pytest.raises(SettingError, match=message):
            RecurrentNetwork(**{"n_visible": 3, "hidden": 4, "n_out": 2, **wrong})
    for options in ({}, {"bidirectional": True}):
        with pytest.raises(SettingError, match="cannot go on"):
            RecurrentNetwork(3, 4, 3, **options).forecast(sequences().float(), 2)
    with pytest.raises(SettingError, match="steps is 0"):
        RecurrentNetwork(3, 4, 3, answer="each").forecast(sequences().float(), 0)


def test_bad_sequences():
    model, x = MODELS["elman"], sequences()
    holed = x.clone()
    holed[2, 3, 1] = float("nan")
    for values, lengths, message in (
        (x[:, :, :2], None, r"expected \(n, frames, 3\)"),
        (x[:, 0], None, "pad_sequences"),
        (x[:, :0], None, "pad_sequences"),
        (x, LENGTHS - 1, r"lie in \[0, 6\]"),
        (x, LENGTHS + 1, "expected 1 to 7"),
        (x, LENGTHS[:3], r"expected \(4,\) integers"),
        (x, LENGTHS.double(), "integers"),
        (holed, None, r"1 frame\(s\) hold NaN .* first sequence 2, frame 3"),
    ):
        with pytest.raises(DataError, match=message):
            model(values, lengths=lengths)
