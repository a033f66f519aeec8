"""The networks of LeCun et al.: counts as printed in the papers, tables, borders, and that they learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from convolutional_network_models import lenets

from lamina.models.networks import lenet5, lenet1989
from lamina.models.networks.lenet import TABLE_1989, TABLE_1998


def n_parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


def test_lenet_1989_has_the_papers_numbers():
    model = lenet1989()
    first, second, third, outputs = model.layer_sizes()
    assert (first.units, first.connections, first.parameters) == (768, 19_968, 1_068)
    assert (second.units, second.connections, second.parameters) == (192, 38_592, 2_592)
    assert (third.units, third.connections, third.parameters) == (30, 5_790, 5_790)
    assert (outputs.units, outputs.connections, outputs.parameters) == (10, 310, 310)
    sizes = model.layer_sizes()
    assert 256 + sum(one.units for one in sizes) == 1_256
    assert sum(one.connections for one in sizes) == 64_660
    assert sum(one.parameters for one in sizes) == n_parameters(model) == 9_760


def test_lenet_5_has_the_papers_numbers():
    model = lenet5()
    sizes = model.layer_sizes()
    assert [one.parameters for one in sizes] == [156, 12, 1_516, 32, 48_120, 10_164, 850]
    assert [one.connections for one in sizes[:5]] == [122_304, 5_880, 151_600, 2_000, 48_120]
    assert [one.shape for one in sizes] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
        (84,),
        (10,),
    ]
    assert n_parameters(model) == 60_850
    assert n_parameters(lenet5(26)) == 60_000 + 26 * 85


def test_every_map_of_the_second_layer_sees_its_eight_and_no_other():
    """A change in a map below reaches exactly the maps of whose row in the table it is."""
    model = lenets()["1989"]
    layer, W, b = model._stages[1].layer, model._weights(model._stages[1]), model.b[1]
    below = torch.zeros(12, 12, 8, 8, dtype=torch.float64)
    for c in range(12):
        below[c, c] = 1.0
    base = layer.fields_of(torch.zeros(1, 12, 8, 8, dtype=torch.float64), W, b)
    moved = (layer.fields_of(below, W, b) - base).abs().flatten(2).amax(2) > 0  # (map below, map above)
    assert moved.sum(0).tolist() == [8] * 12
    assert [tuple(np.flatnonzero(moved[:, f]).tolist()) for f in range(12)] == list(TABLE_1989)
    assert moved.sum(1).tolist() == [8] * 12  # each map below is seen equally often


def test_the_table_of_1998_is_the_papers():
    """Rows of table I, map of S2 by map of S2: which maps of C3 see it."""
    printed = [
        "X   XXX  XXXX XX",
        "XX   XXX  XXXX X",
        "XXX   XXX  X XXX",
        " XXX  XXXX  X XX",
        "  XXX  XXXX XX X",
        "   XXX  XXXX XXX",
    ]
    for below, row in enumerate(printed):
        assert [f for f, seen in enumerate(TABLE_1998) if below in seen] == [
            f for f, mark in enumerate(row) if mark == "X"
        ]


def test_the_border_of_1989_is_white():
    """An all-white image looks the same at the border as in the middle: fields differ by their biases alone."""
    model = lenets()["1989"]
    maps = model.maps(torch.full((1, 256), -1.0, dtype=torch.float64))[0]
    torch.testing.assert_close(maps, maps[:, :, 4:5, 4:5].expand_as(maps))
    white = lenet5(background=-0.1, dtype=torch.float64)
    maps = white.maps(torch.full((1, 784), -0.1, dtype=torch.float64))[0]
    torch.testing.assert_close(maps, maps[:, :, 4:5, 4:5].expand_as(maps))


def test_outputs_of_1989_lie_within_the_squashing_functions_range():
    found = lenets()["1989"](torch.from_numpy(np.random.default_rng(0).normal(size=(5, 256))) * 100)
    assert found.shape == (5, 10)
    assert float(found.detach().abs().max()) <= 1.7159


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_dropout_of_lenet_5_adds_nothing_to_learn(dropout):
    model = lenet5(dropout=dropout)
    assert n_parameters(model) == 60_850
    assert len(model.layers) == (6 if dropout == 0 else 9)
