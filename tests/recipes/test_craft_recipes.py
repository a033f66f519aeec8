"""The recipes about the craft of training: small versions run and go on from memory; measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models import MLP
from lamina.recipes import digits
from lamina.recipes.activations import recipe as activations
from lamina.recipes.context import Context
from lamina.recipes.folding import recipe as folding
from lamina.recipes.optimisers import recipe as optimisers
from lamina.recipes.parity import recipe as parity
from lamina.recipes.parity.constructions import CONSTRUCTIONS, all_rows, n_hidden, network, wrong
from lamina.recipes.vanishing_gradient import recipe as vanishing


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())


def values_of(outcome) -> dict[str, float]:
    return {row.what: row.ours for row in outcome.results}


def quick_twice(recipe, folder, **options):
    """The quick version, and that a second call with the same folder gives the same from memory."""
    outcome = recipe.run(Context(folder, quick=True, seed=1, **options))
    assert outcome.deviations[0].startswith("QUICK")
    assert all(note and note == note.strip() for note in outcome.notes)
    again = recipe.run(Context(folder, quick=True, seed=1, **options))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]
    return outcome


# parity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3, 4, 5, 7, 8, 10])
@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_constructions_are_exact_on_all_rows(name, d):
    assert wrong(CONSTRUCTIONS[name](d), d) == 0


def test_a_wrong_weight_would_be_seen():
    made = CONSTRUCTIONS["one layer, counting"](4)
    with torch.no_grad():
        made.W[1][2, 0] += 1
    assert wrong(made, 4) == 5  # the rows with three or four bits


@pytest.mark.parametrize(
    ("name", "units", "layers"),
    [
        ("one layer, a unit per odd pattern", 128, 1),
        ("one layer, counting", 8, 1),
        ("tree of XORs", 14, 3),
        ("folding", 6, 3),
    ],
)
def test_constructions_for_eight_bits_have_the_units_that_the_table_says(name, units, layers):
    made = CONSTRUCTIONS[name](8)
    assert (n_hidden(made), len(made.sizes) - 2) == (units, layers)


def test_parity_of_one_bit_is_refused():
    with pytest.raises(SettingError, match="at least 2 bits"):
        network([(torch.ones(1, 1), torch.zeros(1))])


def test_deep_networks_have_no_more_parameters_than_shallow_ones():
    for d in (4, 8, 12):
        made = {shape: MLP(parity.sizes(d, shape)) for shape in parity.SHAPES}
        counts = {shape: sum(p.numel() for p in one.parameters()) for shape, one in made.items()}
        assert counts["shallow"] == parity.n_parameters(parity.sizes(d, "shallow"))
        assert 0.85 * counts["shallow"] < counts["deep"] <= counts["shallow"]


def test_halves_of_parity_share_no_row():
    data = parity.parts(6, 0, half=True)
    rows = np.concatenate([part.X for part in data.values()])
    assert len(data["train"]) == 32
    assert len(np.unique(rows, axis=0)) == len(rows) == 64
    assert np.array_equal(data["test"].y, ((data["test"].X > 0).sum(1)) % 2)
    assert set(all_rows(3).sum(1)) == {0, 1, 2, 3}


def test_parity_quick_version(monkeypatch, tmp_path):
    monkeypatch.setattr(parity, "QUICK_FITTED", (3,))
    monkeypatch.setattr(parity, "QUICK_HALVED", (4,))
    monkeypatch.setattr(parity, "RATES", (0.01,))
    monkeypatch.setattr(parity, "QUICK_STEPS", 100)
    outcome = quick_twice(parity, tmp_path)
    values = values_of(outcome)
    assert values["rows wrong, all networks built by hand"] == 0
    assert values["hidden units for 5 bits, folding"] == 6
    assert values["rows wrong after learning from all of them, 3 bits, shallow"] == 0
    assert len(outcome.figures) == 3


# races ----------------------------------------------------------------------------------------------------------------


def test_optimisers_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(optimisers, "GRIDS", {"sgd": (0.1, 1e30), "adam": (0.001, 0.01)})
    monkeypatch.setattr(optimisers, "N_HIDDEN", 10)
    monkeypatch.setattr(optimisers, "BATCH", 20)
    outcome = quick_twice(optimisers, tmp_path)
    values = values_of(outcome)
    assert [name for name in values if name.startswith("test error")] == [
        "test error, sgd",
        "test error, adam",
        "test error, lbfgs",
    ]
    notes = {row.what: row.note for row in outcome.results}
    assert notes["validation loss, sgd"].startswith("rate 0.1, at an end")  # the other one diverges
    loss, _, _, rates = outcome.figures
    passes, _, _ = loss.series["lbfgs"]
    assert passes[-1] >= optimisers.QUICK_ITERATIONS
    assert loss.series["adam"][1][-1] == pytest.approx(values["training loss of the last pass, adam"])
    assert not np.isfinite(rates.series["sgd"][1][1])


def test_activations_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(activations, "NAMES", ("identity", "maxout", "relu", "sigmoid", "tanh"))
    monkeypatch.setattr(activations, "RATES", (0.003,))
    outcome = quick_twice(activations, tmp_path)
    gradients = outcome.figures[2].series
    assert gradients["sigmoid"][1][0] < 0.05 * gradients["sigmoid"][1][-2]
    assert gradients["relu"][1][0] > 0.5 * gradients["relu"][1][-2]
    assert len(outcome.results) == 15


def test_maxout_networks_have_as_many_weights():
    counts = {
        name: sum(W.numel() for W in MLP(activations.sizes(name), activation=name).W) for name in ("relu", "maxout")
    }
    assert counts["maxout"] == pytest.approx(counts["relu"], rel=0.02)


# gradients ------------------------------------------------------------------------------------------------------------


def test_vanishing_gradient_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(vanishing, "WIDTH", 20)
    monkeypatch.setattr(vanishing, "QUICK_DEPTHS", (1, 4))
    monkeypatch.setattr(vanishing, "RATES", (0.1, 1e9))
    outcome = quick_twice(vanishing, tmp_path)
    values = values_of(outcome)
    start = "gradient of the lowest of 4 layers as a share of the highest's, at the start, {}"
    assert values[start.format("sigmoid")] < 0.1 < values[start.format("relu")]
    assert len(values) == 4 + 2 * 4 * 2
    first, after, lowest, shares, train, _ = outcome.figures
    assert first.series["relu"][1][0] / first.series["relu"][1][3] == pytest.approx(values[start.format("relu")])
    assert lowest.series["tanh"][1][0] == pytest.approx(first.series["tanh"][1][0])
    assert lowest.series["tanh"][1][-1] == pytest.approx(after.series["tanh"][1][0])
    assert shares.series["relu"][0] == [4]
    assert train.series["relu"][1][1] == values["training error, relu, 4 hidden layers"]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_the_formula_gives_the_length_of_a_random_error(activation):
    """Errors of random direction through wide random layers: lengths by autograd against the factors."""
    made = MLP((300, 400, 400, 400, 2), activation=activation, dtype=torch.float64, random_state=0)
    x = Random(1).normal((200, 300), torch.float64)
    fields, a = [], x
    for k in range(3):
        z = a @ made.W[k] + made.b[k]
        fields.append(z)
        a = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[activation](z)
    error = (
        Random(2).normal(a.shape, torch.float64) * {"sigmoid": a * (1 - a), "tanh": 1 - a**2, "relu": a > 0}[activation]
    )
    slopes = torch.autograd.grad(fields[2], [fields[0], fields[1]], error)
    lengths = [float(one.detach().norm()) for one in (*slopes, error)]
    expected = vanishing.expected_factors(made, x)
    assert lengths[0] / lengths[1] == pytest.approx(expected[0], rel=0.03)
    assert lengths[1] / lengths[2] == pytest.approx(expected[1], rel=0.03)


def test_pre_trained_networks_compute_what_the_machines_do(small, monkeypatch, tmp_path):
    monkeypatch.setattr(vanishing, "WIDTH", 8)
    context = Context(tmp_path, quick=True)
    part = digits.mnist(context).train
    network = vanishing.started(context, part, vanishing.TRAINED, 2, 0)
    stack = vanishing.greedy(context, part, 0)
    x = torch.from_numpy(part.X[:5])
    torch.testing.assert_close(network.encode(x), stack.encode(x))
    assert bool(network.W[-1].ne(0).any())  # a head of zeros would hide every gradient below it


# folding --------------------------------------------------------------------------------------------------------------


def test_folding_quick_version(tmp_path):
    outcome = quick_twice(folding, tmp_path)
    values = values_of(outcome)
    assert values["test error, by hand"] == 0
    assert values["gap after one layer, by hand"] < 0.1 < 5 < values["gap of the spots in the plane, in radii"]
    assert len(outcome.figures) == 4
    hand = outcome.figures[1]
    assert (hand.places[:, 0] >= 0).all()


def test_points_of_the_plane_lie_where_they_should():
    made = folding.plane(Random(3), 500)
    distance = np.hypot(np.abs(made.part.X[:, 0]) - folding.SPOT, made.part.X[:, 1])
    assert made.part.y.sum() == 250
    assert (distance[made.part.y == 1] <= folding.RADIUS + 1e-6).all()
    assert (distance[made.part.y == 0] > folding.CLEAR - 1e-6).all()
    names = np.array(folding.GROUPS)[made.group]
    assert (np.char.startswith(names, "left") == (made.part.X[:, 0] <= 0)).all()
    assert (np.char.endswith(names, "spot") == (made.part.y == 1)).all()


def test_the_gap_counts_radii():
    places = np.array([[0.0, 1.0], [0.0, -1.0], [4.0, 2.0], [4.0, -2.0]])
    assert folding.gap(places, np.array([0, 0, 1, 1])) == pytest.approx(4 / 1.5)
