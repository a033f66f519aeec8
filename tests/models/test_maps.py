"""Maps: distances on grids, winners against brute force, answers, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.models.maps import (
    CompetitiveLayer,
    CounterPropagation,
    HebbianLayer,
    SelfOrganisingMap,
    grid_distances,
    grid_places,
    prototypes,
)

GENERATOR = np.random.default_rng(0)
X = torch.from_numpy(GENERATOR.normal(size=(40, 5)))
GRIDS = list(itertools.product(("rectangular", "hexagonal"), (False, True)))


def drawn(topology="rectangular", toroidal=False, rows=4, columns=5) -> SelfOrganisingMap:
    made = SelfOrganisingMap(5, rows, columns, topology=topology, toroidal=toroidal, dtype=torch.float64)
    made.weights.data = torch.from_numpy(np.random.default_rng(1).normal(size=(rows * columns, 5)))
    return made


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
def test_distances_of_a_flat_grid_are_those_of_its_places(topology):
    places = grid_places(4, 5, topology)
    torch.testing.assert_close(grid_distances(4, 5, topology), torch.cdist(places, places))


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
def test_a_torus_is_the_nearest_of_all_copies_of_the_grid(topology):
    rows, columns = 4, 5
    places = grid_places(rows, columns, topology)
    height = rows * (3**0.5 / 2 if topology == "hexagonal" else 1)
    copies = [
        torch.cdist(places, places + torch.tensor([float(i * columns), j * height]))
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    ]
    torch.testing.assert_close(grid_distances(rows, columns, topology, True), torch.stack(copies).amin(0))


@pytest.mark.parametrize(("topology", "inner"), [("rectangular", 8), ("hexagonal", 6)])
def test_units_touch_their_neighbours(topology, inner):
    flat = drawn(topology).neighbours()
    assert torch.equal(flat, flat.T)
    assert not flat.diagonal().any()
    assert int(flat[7].sum()) == inner  # row 1, column 2: inside
    assert int(flat[0].sum()) == (3 if topology == "rectangular" else 2)  # a corner
    assert set(drawn(topology, True).neighbours().sum(1).tolist()) == {inner}


def test_hexagonal_neighbours_are_all_at_distance_one():
    made = drawn("hexagonal", True)
    torch.testing.assert_close(made.grid()[made.neighbours()], torch.ones(6 * 20, dtype=torch.float64))


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
def test_a_torus_looks_alike_from_every_unit(topology):
    """Distances from any unit are those from the first, in some order; moving all units by two rows changes none."""
    distances = grid_distances(4, 5, topology, True)
    for row in distances:
        torch.testing.assert_close(row.sort().values, distances[0].sort().values)
    moved = torch.arange(20).view(4, 5).roll((2, 1), (0, 1)).reshape(-1)
    torch.testing.assert_close(distances[moved][:, moved], distances)


def test_winners_are_those_of_brute_force(monkeypatch):
    made = drawn()
    apart = np.linalg.norm(X.numpy()[:, None] - made.weights.detach().numpy()[None], axis=2)
    for at_once in (1 << 24, 60):  # in one piece, in pieces of three rows
        monkeypatch.setattr(prototypes, "AT_ONCE", at_once)
        np.testing.assert_array_equal(made.winners(X), apart.argmin(1))
        np.testing.assert_array_equal(made.nearest(X, 3), apart.argsort(1)[:, :3])
    np.testing.assert_allclose(made.distances(X), apart)
    np.testing.assert_allclose(made.errors(X), apart.min(1))
    np.testing.assert_array_equal(made.hits(X).reshape(-1), np.bincount(apart.argmin(1), minlength=20))
    assert made.winners(X[:0]).shape == (0,)


@pytest.mark.parametrize(("topology", "toroidal"), GRIDS)
def test_errors_and_pictures_by_hand(topology, toroidal):
    made = drawn(topology, toroidal)
    W, grid = made.weights.detach().numpy(), made.grid().numpy()
    apart = np.linalg.norm(W[:, None] - W[None], axis=2)
    expected = [np.mean([apart[i, j] for j in range(20) if 0 < grid[i, j] < 1.01]) for i in range(20)]
    np.testing.assert_allclose(made.u_matrix().reshape(-1), expected)
    first, second = np.linalg.norm(X.numpy()[:, None] - W[None], axis=2).argsort(1)[:, :2].T
    reach = 1.5 if topology == "rectangular" else 1.01
    np.testing.assert_array_equal(made.topographic_error(X), grid[first, second] > reach)
    np.testing.assert_array_equal(made.planes()[2].reshape(-1), W[:, 2])
    np.testing.assert_array_equal(made.encode(X), made.places[torch.from_numpy(first)])


def test_a_map_of_one_unit():
    one = drawn(rows=1, columns=1)
    assert one.winners(X).tolist() == [0] * 40
    assert not one.topographic_error(X).any()
    assert one.u_matrix().tolist() == [[0.0]]


def test_a_competitive_layer_gives_the_winner_alone():
    layer = CompetitiveLayer(5, 7, dtype=torch.float64, random_state=1)
    code = layer.encode(X)
    assert code.sum(1).tolist() == [1.0] * 40
    torch.testing.assert_close(layer.decode(code), layer.weights[layer.winners(X)].detach())


class TestCounterPropagation:
    def network(self, **options) -> CounterPropagation:
        return CounterPropagation(5, 2, 6, dtype=torch.float64, random_state=2, **options)

    def test_the_winner_answers_either_way(self):
        network = self.network()
        c = network.winners(X)
        torch.testing.assert_close(network(X), network.outstar[c].detach())
        torch.testing.assert_close(network.mean_y_from_x(network.weights.detach()), network.outstar.detach())
        torch.testing.assert_close(network.mean_x_from_y(network.outstar.detach()), network.weights.detach())

    def test_several_winners_weigh_the_inverse_of_their_distance(self):
        network = self.network()
        W, V = network.weights.detach().numpy(), network.outstar.detach().numpy()
        for x, y in zip(X.numpy(), network.mean_y_from_x(X, 3), strict=True):
            distances = np.linalg.norm(x - W, axis=1)
            near = distances.argsort()[:3]
            np.testing.assert_allclose(y, np.average(V[near], axis=0, weights=1 / distances[near]))
        torch.testing.assert_close(network.mean_y_from_x(network.weights.detach(), 3), network.outstar.detach())

    def test_joint_nearness_orders_units_by_both_distances(self):
        network, y = self.network(full=True, balance=0.3), X[:, :2]
        W, V = network.weights.detach(), network.outstar.detach()
        squared = torch.cdist(X, W) ** 2 + 0.3 * torch.cdist(y, V) ** 2
        lengths = (X**2).sum(1) + 0.3 * (y**2).sum(1)
        torch.testing.assert_close(lengths.unsqueeze(1) - 2 * network.joint_nearness(X, y), squared)

    def test_what_is_refused(self):
        with pytest.raises(SettingError, match="n_winners"):
            self.network().mean_y_from_x(X, 7)
        with pytest.raises(DataError, match=r"expected \(rows, 2\)"):
            self.network().mean_x_from_y(X)
        with pytest.raises(SettingError, match="full is 1"):
            self.network(full=1)
        with pytest.raises(SettingError, match="balance"):
            self.network(balance=-1.0)


def test_a_hebbian_layer_codes_and_decodes():
    layer = HebbianLayer(5, 3, dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.vector_norm(layer.W, dim=0), torch.full((3,), 0.1, dtype=torch.float64))
    layer.W.data = torch.linalg.qr(X[:5, :3])[0]
    layer.b.copy_(X[0])
    y = X[:, :3]
    torch.testing.assert_close(layer.encode(layer.decode(y)), y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": 0}, "rows is 0"),
        ({"columns": 2.5}, "columns"),
        ({"topology": "round"}, "topology is 'round'; expected rectangular or hexagonal"),
        ({"toroidal": "yes"}, "toroidal"),
        ({"topology": "hexagonal", "toroidal": True, "rows": 3}, "even number of rows"),
        ({"n_visible": 0}, "n_visible"),
    ],
)
def test_settings_outside_their_limits(settings, message):
    with pytest.raises(SettingError, match=message):
        SelfOrganisingMap(**{"n_visible": 5, "rows": 2, "columns": 2, **settings})


def test_rows_of_another_width():
    for model in (drawn(), CompetitiveLayer(5, 2, dtype=torch.float64)):
        with pytest.raises(DataError, match=r"shape \(40, 4\); expected \(rows, 5\)"):
            model.winners(X[:, :4])
    with pytest.raises(SettingError, match="k is 21"):
        drawn().nearest(X, 21)
