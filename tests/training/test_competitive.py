"""Competition: steps by hand, dead units brought to life, outstars that end at means, exact resume, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from two_worlds import both_parts

from lamina.core.errors import DataError, SettingError
from lamina.models.maps import CompetitiveLayer, CounterPropagation, HebbianLayer
from lamina.training import (
    CompetitiveLearning,
    CounterPropagationLearning,
    OutstarMeans,
    Schedule,
    fit,
)

GENERATOR = np.random.default_rng(0)
MIDDLES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
KINDS = GENERATOR.integers(3, size=90)
X = MIDDLES[KINDS] + 0.2 * GENERATOR.normal(size=(90, 2))
Y = np.stack([X.sum(1), KINDS == 1], 1)


def layer(n_units=3, far=0.0) -> CompetitiveLayer:
    made = CompetitiveLayer(2, n_units, dtype=torch.float64, random_state=1)
    made.weights.data[1:] += far
    return made


def network(**options) -> CounterPropagation:
    made = CounterPropagation(2, 2, 3, dtype=torch.float64, random_state=1, **options)
    made.weights.data = torch.from_numpy(MIDDLES + 0.5)
    return made


def one_by_one() -> list:
    return [row[None] for row in X]


def test_rows_one_at_a_time_move_the_winner_alone():
    model = layer()
    W = model.weights.detach().numpy().copy()
    history = fit(model, one_by_one(), CompetitiveLearning(), epochs=1, learning_rate=0.3)
    apart = []
    for x in X:
        distances = np.linalg.norm(x - W, axis=1)
        c = distances.argmin()
        apart.append(distances[c])
        W[c] += 0.3 * (x - W[c])
    np.testing.assert_allclose(model.weights.detach(), W, rtol=1e-10)
    assert history["quantisation error"] == [pytest.approx(np.mean(apart))]


def test_a_batch_moves_each_unit_a_share_of_the_way_to_its_mean():
    model = layer()
    W = model.weights.detach().numpy().copy()
    winners = np.linalg.norm(X[:, None] - W[None], axis=2).argmin(1)
    fit(model, X, CompetitiveLearning(), epochs=1, batch_size=90, learning_rate=0.25)
    for j in np.unique(winners):
        W[j] += 0.25 * (X[winners == j].mean(0) - W[j])
    np.testing.assert_allclose(model.weights.detach(), W, rtol=1e-10)


@pytest.mark.parametrize(("kind", "far"), [("conscience", 5.0), ("frequency", 30.0)])
def test_dead_units_come_to_life(kind, far):
    """One unit lies at the rows, two lie far off: alone the first wins all, with help each finds a cluster."""
    falling = Schedule(((0.0, 0.5), (20.0, 0.01)), linear=True)
    plain, helped = layer(far=far), layer(far=far)
    history = fit(plain, X, CompetitiveLearning(), epochs=20, batch_size=5, learning_rate=falling, random_state=0)
    assert len(set(plain.winners(torch.from_numpy(X)).tolist())) == 1
    assert history["dead units"][-1] > 1.9
    history = fit(
        helped,
        X,
        CompetitiveLearning(kind, conscience=10.0),
        epochs=20,
        batch_size=5,
        learning_rate=falling,
        random_state=0,
    )
    assert history["dead units"][-1] == 0
    apart = torch.cdist(torch.from_numpy(MIDDLES), helped.weights.detach())
    assert sorted(apart.argmin(1).tolist()) == [0, 1, 2]
    assert apart.min(1).values.max() < 0.2


def test_shares_of_wins_are_averages_that_forget():
    model, rule = layer(), CompetitiveLearning()
    fit(model, X, rule, epochs=3, batch_size=1, learning_rate=0.01, random_state=0)
    assert float(rule.shares.sum()) == pytest.approx(1)
    shares = np.bincount(model.winners(torch.from_numpy(X)).numpy(), minlength=3) / 90
    keep = (1 - 1 / 90) ** 270
    np.testing.assert_allclose(rule.shares, keep / 3 + (1 - keep) * shares, atol=0.05)


class TestCounterPropagation:
    @pytest.mark.parametrize("full", [False, True])
    def test_rows_one_at_a_time_by_hand(self, full):
        model = network(full=full, balance=0.4)
        W, V = model.weights.detach().numpy().copy(), model.outstar.detach().numpy().copy()
        data = [(x[None], y[None]) for x, y in zip(X, Y, strict=True)]
        fit(model, data, CounterPropagationLearning(None, outstar_rate=2.0), epochs=1, learning_rate=0.2)
        for x, y in zip(X, Y, strict=True):
            squared = ((x - W) ** 2).sum(1) + full * 0.4 * ((y - V) ** 2).sum(1)
            c = squared.argmin()
            W[c] += 0.2 * (x - W[c])
            V[c] += 0.4 * (y - V[c])
        np.testing.assert_allclose(model.weights.detach(), W, rtol=1e-9)
        np.testing.assert_allclose(model.outstar.detach(), V, rtol=1e-9)

    def test_outstars_end_at_the_means_that_one_pass_gives(self):
        slow, exact = network(), network()
        falling = Schedule(((0.0, 0.5), (20.0, 0.005)), linear=True)
        rule = CounterPropagationLearning()
        history = fit(
            slow, (X, Y), rule, epochs=20, batch_size=5, learning_rate=falling, validation=(X, Y), random_state=0
        )
        fit(exact, (X, Y), OutstarMeans(), epochs=1, batch_size=7)
        means = np.stack([Y[k == KINDS].mean(0) for k in range(3)])
        np.testing.assert_allclose(exact.outstar.detach(), means, atol=1e-10)
        np.testing.assert_allclose(slow.outstar.detach(), means, atol=0.05)
        np.testing.assert_allclose(slow.weights.detach(), [X[k == KINDS].mean(0) for k in range(3)], atol=0.05)
        expected = float(((slow(torch.from_numpy(X)) - torch.from_numpy(Y)) ** 2).mean())
        assert history["validation squared error"][-1] == pytest.approx(expected)
        assert history["squared error"][-1] < 0.1 * history["squared error"][0]

    def test_units_that_win_nothing_keep_their_answer(self):
        model = network()
        model.weights.data[2] = 100.0
        before = model.outstar[2].detach().clone()
        fit(model, (X, Y), OutstarMeans(), epochs=1)
        assert torch.equal(model.outstar[2], before)

    @pytest.mark.parametrize("rule", [CounterPropagationLearning(), OutstarMeans()])
    def test_what_is_refused(self, rule):
        with pytest.raises(DataError, match="1 arrays given; expected two"):
            fit(network(), X, rule, epochs=1)
        with pytest.raises(DataError, match="one column per class"):
            fit(network(), (X, KINDS), rule, epochs=1)
        with pytest.raises(SettingError, match="CompetitiveLayer given"):
            fit(layer(), (X, Y), rule, epochs=1)


class Stop:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("killed")


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    def run(**options):
        model = network(full=True)
        rule = CounterPropagationLearning("conscience")
        history = fit(model, (X, Y), rule, epochs=4, batch_size=7, learning_rate=0.2, random_state=3, **options)
        return model.weights.detach(), model.outstar.detach(), history["dead units"]

    whole = run()
    folder = {"checkpoint": tmp_path / "checkpoint", "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="killed"):
        run(callbacks=[Stop()], **folder)
    again = run(**folder)
    assert torch.equal(again[0], whole[0])
    assert torch.equal(again[1], whole[1])
    assert again[2] == whole[2]


@pytest.mark.parametrize(
    ("model", "rule", "data"),
    [
        (layer, lambda: CompetitiveLearning("frequency"), (X,)),
        (network, CounterPropagationLearning, (X, Y)),
        (network, OutstarMeans, (X, Y)),
    ],
)
def test_parts_of_two_processes_add_up(model, rule, data):
    parts, one = both_parts(model, rule, data)
    torch.testing.assert_close(parts, one)


def test_settings_outside_their_limits():
    with pytest.raises(SettingError, match="against_dead is 'hope'"):
        CompetitiveLearning("hope")
    with pytest.raises(SettingError, match="conscience"):
        CompetitiveLearning(conscience=-1.0)
    with pytest.raises(SettingError, match="outstar_rate"):
        CounterPropagationLearning(outstar_rate=-1.0)
    with pytest.raises(SettingError, match="moves prototypes; HebbianLayer given"):
        fit(HebbianLayer(2, 2, dtype=torch.float64), X, CompetitiveLearning(), epochs=1)
