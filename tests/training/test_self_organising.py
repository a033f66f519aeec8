"""Rules of maps: steps against brute force, errors that fall, order that appears, exact resume, what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from two_worlds import both_parts

from lamina.core.errors import DataError, SettingError
from lamina.models.maps import CompetitiveLayer, SelfOrganisingMap
from lamina.training import BatchMap, OnlineMap, Schedule, fit, prototypes_from_plane, prototypes_from_rows, shrinking
from lamina.training import neighbourhoods as near

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(41, 4)) * (3, 2, 0.5, 0.5)
SQUARE = GENERATOR.random((300, 2))


def drawn(topology="rectangular", toroidal=False, n=4) -> SelfOrganisingMap:
    made = SelfOrganisingMap(n, 4, 3, topology=topology, toroidal=toroidal, dtype=torch.float64)
    made.weights.data = torch.from_numpy(np.random.default_rng(1).normal(size=(12, n)))
    return made


def pulls(model: SelfOrganisingMap, radius: float, kind: str) -> np.ndarray:
    grid = model.grid().numpy()
    return np.exp(-(grid**2) / (2 * radius**2)) if kind == "gaussian" else (grid <= radius) * 1.0


@pytest.mark.parametrize("kind", ["gaussian", "bubble"])
@pytest.mark.parametrize(("topology", "toroidal"), list(itertools.product(("rectangular", "hexagonal"), (False, True))))
def test_a_batch_step_is_the_formula(topology, toroidal, kind):
    model = drawn(topology, toroidal)
    W = model.weights.detach().numpy().copy()
    h = pulls(model, 1.2, kind)
    fit(model, X, BatchMap(1.2, kind), epochs=1, batch_size=10, random_state=0)
    winners = np.linalg.norm(X[:, None] - W[None], axis=2).argmin(1)
    expected = W.copy()
    for j in range(12):
        if h[j, winners].sum() > 0:
            expected[j] = (h[j, winners][:, None] * X).sum(0) / h[j, winners].sum()
    np.testing.assert_allclose(model.weights.detach(), expected, rtol=1e-10, atol=1e-12)


def test_the_batch_rule_is_minisoms_offline_rule():
    minisom = pytest.importorskip("minisom")
    model = drawn()
    peer = minisom.MiniSom(4, 3, 4, sigma=2.0, learning_rate=1.0, decay_function=lambda rate, t, n: rate)
    peer._weights = model.weights.detach().numpy().reshape(4, 3, 4).copy()
    fit(model, X, BatchMap(Schedule([(k, 2 / (1 + k / 1.5)) for k in range(3)])), epochs=3, batch_size=41)
    peer.train_batch_offline(X, 3)
    np.testing.assert_allclose(model.weights.detach(), peer.get_weights().reshape(12, 4), rtol=1e-9)


def test_one_row_at_a_time_is_kohonens_rule():
    model = drawn("hexagonal")
    W = model.weights.detach().numpy().copy()
    fit(model, [row[None] for row in X], OnlineMap(Schedule(((0, 2.0), (20, 0.7)))), epochs=1, learning_rate=0.3)
    for step, x in enumerate(X):
        c = np.linalg.norm(x - W, axis=1).argmin()
        h = pulls(model, 2.0 if step < 20 else 0.7, "gaussian")[c]
        W += 0.3 * h[:, None] * (x - W)
    np.testing.assert_allclose(model.weights.detach(), W, rtol=1e-9)


def test_a_batch_moves_units_a_share_of_the_way_to_the_mean_it_asks_for():
    model = drawn()
    W = model.weights.detach().numpy().copy()
    h = pulls(model, 1.0, "gaussian")[np.linalg.norm(X[:, None] - W[None], axis=2).argmin(1)]
    total = h.sum(0)
    expected = W + 0.4 * (h.T @ X - total[:, None] * W) / np.maximum(1, total)[:, None]
    fit(model, X, OnlineMap(1.0), epochs=1, batch_size=41, learning_rate=0.4)
    np.testing.assert_allclose(model.weights.detach(), expected, rtol=1e-10)


def test_quantisation_error_falls_and_neighbours_win_rows_alike():
    model = drawn(n=2)
    before = float(model.topographic_error(torch.from_numpy(SQUARE)).mean())
    rule = BatchMap(shrinking(2.5, 0.5, 15))
    history = fit(model, SQUARE, rule, epochs=15, batch_size=100, validation=SQUARE[:50])
    errors = history["quantisation error"]
    assert errors[-1] < 0.5 * errors[1]  # the first step gathers all units near the middle
    assert all(a >= b for a, b in itertools.pairwise(errors[1:]))
    assert history["validation topographic error"][-1] < 0.1 < before
    W = model.weights.detach()
    apart, touching = torch.cdist(W, W), model.neighbours()
    assert apart[touching].max() < apart.max() / 1.5
    assert apart[touching].mean() < 0.7 * apart[~touching].mean()
    assert history["validation quantisation error"][-1] == pytest.approx(
        np.linalg.norm(SQUARE[:50, None] - W.numpy()[None], axis=2).min(1).mean()
    )


def test_at_a_fixed_radius_batch_steps_never_raise_the_cost():
    """A neighbourhood of the winner alone is k-means, whose steps never raise the mean squared distance."""
    model = drawn(n=2)
    costs = []
    for _ in range(6):
        fit(model, SQUARE, BatchMap(0.05), epochs=1, batch_size=300)
        costs.append(float((model.errors(torch.from_numpy(SQUARE)) ** 2).mean()))
    assert all(a >= b for a, b in itertools.pairwise(costs))
    assert costs[-1] < 0.9 * costs[0]


def test_a_torus_learns_the_same_map_wherever_it_begins():
    """Rows and columns moved round a torus before learning are moved as much after it."""
    moved = torch.arange(12).view(4, 3).roll((2, 1), (0, 1)).reshape(-1)
    for topology in ("rectangular", "hexagonal"):
        one, two = drawn(topology, True), drawn(topology, True)
        two.weights.data = one.weights.data[moved].clone()
        for model in (one, two):
            fit(model, X, BatchMap(1.0), epochs=3, batch_size=41)
        torch.testing.assert_close(two.weights, one.weights[moved])


class Stop:
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, record, epochs) -> None:
        if record.epoch == self.epoch:
            raise RuntimeError("killed")


@pytest.mark.parametrize("kind", [BatchMap, OnlineMap])
def test_a_killed_run_goes_on_bit_for_bit(kind, tmp_path):
    def run(**options):
        model = drawn()
        rule = kind(shrinking(2.0, 0.5, 6 if kind is BatchMap else 30))
        history = fit(model, X, rule, epochs=6, batch_size=10, learning_rate=0.2, random_state=3, **options)
        return model.weights.detach(), history["quantisation error"]

    whole = run()
    folder = {"checkpoint": tmp_path / "checkpoint", "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="killed"):
        run(callbacks=[Stop(3)], **folder)
    again = run(**folder)
    assert torch.equal(again[0], whole[0])
    assert again[1] == whole[1]


@pytest.mark.parametrize("kind", [BatchMap, OnlineMap])
def test_parts_of_two_processes_add_up(kind):
    parts, one = both_parts(lambda: drawn(), lambda: kind(1.5), (X,))
    torch.testing.assert_close(parts, one)


class TestStart:
    def test_the_plane_is_that_of_the_principal_components(self):
        model = prototypes_from_plane(SelfOrganisingMap(4, 3, 5, dtype=torch.float64), X)
        W = model.weights.detach().numpy().reshape(3, 5, 4)
        mean = X.mean(0)
        np.testing.assert_allclose(W[1, 2], mean, atol=1e-10)
        _, deviations, axes = np.linalg.svd((X - mean) / len(X) ** 0.5)
        along, across = (W[1, 4] - W[1, 0]) / 2, (W[2, 2] - W[0, 2]) / 2
        assert abs(along @ axes[0]) == pytest.approx(3**0.5 * deviations[0])
        assert abs(across @ axes[1]) == pytest.approx(3**0.5 * deviations[1])
        tall = prototypes_from_plane(SelfOrganisingMap(4, 5, 3, dtype=torch.float64), X).weights.detach()
        np.testing.assert_allclose(tall.numpy().reshape(5, 3, 4).swapaxes(0, 1), W, atol=1e-10)

    def test_one_column_and_one_unit(self):
        line = prototypes_from_plane(SelfOrganisingMap(1, 1, 5, dtype=torch.float64), X[:, :1])
        assert torch.isfinite(line.weights).all()
        assert len(set(line.weights.flatten().tolist())) == 5
        one = prototypes_from_plane(SelfOrganisingMap(4, 1, 1, dtype=torch.float64), X)
        np.testing.assert_allclose(one.weights.detach()[0], X.mean(0), atol=1e-12)

    def test_rows_are_drawn_without_repetition(self):
        model = prototypes_from_rows(CompetitiveLayer(4, 41, dtype=torch.float64), X, 5)
        np.testing.assert_array_equal(np.sort(model.weights.detach().numpy(), 0), np.sort(X, 0))
        few = prototypes_from_rows(CompetitiveLayer(4, 7, dtype=torch.float64), torch.from_numpy(X[:3]), 5)
        counts = np.unique(few.weights.detach().numpy(), axis=0, return_counts=True)[1]
        assert sorted(counts) == [2, 2, 3]

    def test_what_is_refused(self):
        with pytest.raises(DataError, match=r"expected \(rows, 4\)"):
            prototypes_from_plane(drawn(), X[:, :2])
        with pytest.raises(DataError, match="at least one row"):
            prototypes_from_rows(drawn(), X[:0])
        with pytest.raises(SettingError, match="has no prototypes"):
            prototypes_from_rows(torch.nn.Linear(4, 2), X)


@pytest.mark.parametrize("shape", near.SHAPES)
def test_radii_shrink_from_the_first_to_the_last(shape):
    schedule = shrinking(10, 2, 501, shape)
    values = [schedule(k) for k in range(501)]
    assert values[0] == pytest.approx(10)
    assert values[-1] == pytest.approx(2)
    assert all(a > b for a, b in itertools.pairwise(values))
    t = np.arange(501) / 500
    exact = {"exponential": 10 * 0.2**t, "linear": 10 - 8 * t, "asymptotic": 10 / (1 + 4 * t)}[shape]
    np.testing.assert_allclose(values, exact, rtol=1e-3)
    assert shrinking(10, 2, 1, shape)(0) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchMap(0.0), "radius"),
        (lambda: BatchMap(Schedule(((0, 1.0), (3, 0.0)))), "above 0"),
        (lambda: OnlineMap(1.0, "hat"), "neighbourhood is 'hat'; expected gaussian or bubble"),
        (lambda: shrinking(2, 1, 5, "square"), "shape"),
        (lambda: shrinking(2, 0, 5), "last radius"),
    ],
)
def test_settings_outside_their_limits(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_wrong_models_and_rows():
    with pytest.raises(SettingError, match="learns a SelfOrganisingMap; CompetitiveLayer given"):
        fit(CompetitiveLayer(4, 3, dtype=torch.float64), X, BatchMap(), epochs=1)
    with pytest.raises(DataError, match=r"expected \(rows, 4\)"):
        fit(drawn(), X[:, :3], BatchMap(), epochs=1)
