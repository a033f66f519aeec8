"""Recipes of maps and of the five rules: small versions run and go on from memory; measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.figures import Nets, pack, unpack
from lamina.models.maps import SelfOrganisingMap
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.five_learning_rules import recipe as five
from lamina.recipes.five_learning_rules import rules
from lamina.recipes.kohonen1982_maps import pictures
from lamina.recipes.kohonen1982_maps import recipe as maps


def test_maps_quick_version(monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())
    for name, value in {"QUICK_POINTS": 60, "QUICK_SIDE": 4, "QUICK_PASSES": 3, "SQUARE_SIDE": 4}.items():
        monkeypatch.setattr(maps, name, value)
    outcome = maps.run(Context(tmp_path, quick=True, seed=2))
    rows = {row.what: row for row in outcome.results}
    assert outcome.seeds == [2]
    assert len(rows) == 12
    assert 0 < rows["test error by majority labels, hexagonal"].ours < 90
    assert rows["quantisation error, rectangular"].ours > 0
    figures = unpack(*pack(outcome.figures))
    nets = [one for one in figures if isinstance(one, Nets)]
    assert nets[0].captions == ("0 points", "30 points", "60 points")
    knot, *_, square = (np.ptp(places, axis=0).min() for places in nets[0].places)
    assert square > 3 * knot
    assert len(nets[1].places) == 4
    monkeypatch.setattr(maps, "fit", None)  # not called again
    again = maps.run(Context(tmp_path, quick=True, seed=2))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_measures_of_a_map_by_hand():
    data = small_mnist(60, 30)
    part = digits.Part(data.X.astype(np.float32) / 255, data.y)
    test = digits.Part(data.X_test.astype(np.float32) / 255, data.y_test)
    model = SelfOrganisingMap(784, 2, 3, random_state=1)
    model.weights.data = torch.from_numpy(part.X[:6]).clone()
    found = maps.measures(digits.Digits(part, part, test, part), model)
    apart = np.linalg.norm(test.X[:, None].astype(np.float64) - part.X[None, :6], axis=2)
    winners = np.linalg.norm(part.X[:, None].astype(np.float64) - part.X[None, :6], axis=2).argmin(1)
    names = np.array([np.bincount(part.y[winners == k]).argmax() for k in range(6)])
    assert found["test error"] == pytest.approx(100 * np.mean(names[apart.argmin(1)] != test.y))
    assert found["quantisation"] == pytest.approx(apart.min(1).mean(), rel=1e-5)
    assert found["empty"] == 0


def test_pictures_of_a_map_stand_where_its_units_do():
    model = SelfOrganisingMap(4, 2, 3, topology="hexagonal")
    model.weights.data = torch.arange(24.0).view(6, 4)
    picture = pictures.mosaic(model, (2, 2))
    assert picture.shape == (4, 7)
    np.testing.assert_array_equal(picture[:2, :2], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(picture[2:, 3:5], [[16, 17], [18, 19]])  # unit 4, half a tile to the right
    assert np.isnan(picture[2:, 0]).all()
    assert np.isnan(picture[:2, -1]).all()
    shown = pictures.cells(model, np.arange(6.0).reshape(2, 3))
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 1
    assert set(map(tuple, pictures.threads(model))) == {
        (0, 1),
        (1, 2),
        (0, 3),
        (1, 3),
        (1, 4),
        (2, 4),
        (2, 5),
        (3, 4),
        (4, 5),
    }
    winners = np.array([0, 3, 5, 5])
    middle = model.places.numpy()[winners] * (1, -1)
    assert np.abs(pictures.scattered(model, winners, 0) - middle).max() < 0.36


class TestFiveRules:
    def test_quick_version(self, monkeypatch, tmp_path):
        whole = five.split
        monkeypatch.setattr(five, "SIZES", (200,))
        monkeypatch.setattr(five, "seeds", lambda context: [context.seed])
        monkeypatch.setattr(rules, "STEPS", 1500)
        monkeypatch.setattr(rules, "GIBBS", 20)
        monkeypatch.setattr(five, "split", lambda seed: tuple(one[:200] for one in whole(seed)))
        outcome = five.run(Context(tmp_path, quick=True, seed=1))
        found = {row.what: row for row in outcome.results}
        assert outcome.seeds == [1]
        assert len(found) == 5
        for name in rules.RULES:  # so few steps of the Boltzmann machine tell few digits; chance is 90 %
            assert 0 < found[f"test error, {name}"].ours < (80 if name == "Boltzmann" else 45)
        assert len(outcome.notes) == 5
        assert outcome.figures[0].rows.shape == (5, 10, 8, 8)
        assert outcome.figures[1].rows.shape == (1, 10, 8, 8)
        pack(outcome.figures)
        monkeypatch.setattr(five, "split", None)  # not called again
        again = five.run(Context(tmp_path, quick=True, seed=1))
        assert [row.ours for row in again.results] == [row.ours for row in outcome.results]

    def test_splits_share_no_row_and_differ_by_seed(self):
        X, y, X_test, _ = five.split(3)
        assert (len(X), len(X_test)) == (1297, 500)
        assert len(y) == 1297
        together = np.concatenate([X, X_test])
        everything = five.load_digits().data.astype(np.float32) / 16
        np.testing.assert_array_equal(np.sort(together, 0), np.sort(everything, 0))
        assert not np.array_equal(five.split(4)[2], X_test)

    def test_hebbs_weights_are_class_means(self):
        X, y, X_test, _ = five.split(0)
        learnt = rules.hebbian(X, y, 0)
        shares = np.bincount(y) / len(y)
        means = np.stack([X[y == k].mean(0) for k in range(10)]) - X.mean(0)
        np.testing.assert_allclose(learnt.pictures(), means * shares[:, None], atol=1e-5)
        np.testing.assert_array_equal(learnt.answer(X_test), ((X_test - X.mean(0)) @ learnt.pictures().T).argmax(1))

    def test_memory_knows_its_own_rows_and_rules_answer_with_classes(self, monkeypatch):
        monkeypatch.setattr(rules, "GIBBS", 5)
        X, y, X_test, _ = (one[:120] for one in five.split(0))
        assert (rules.memory_based(X, y, 0).answer(X) == y).all()
        for name, learn in rules.quick_rules(0.05).items():
            learnt = learn(X, y, 0)
            assert set(learnt.answer(X_test)) <= set(range(10)), name
            assert learnt.pictures().shape == (10, 64)
