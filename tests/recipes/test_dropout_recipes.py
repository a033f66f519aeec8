"""The recipes about dropout and maxout: small versions run and go on from memory; measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.random import Random
from lamina.inference.dropout_averaging import averaged_outputs, softmax
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.digits import Part
from lamina.recipes.dropout_srivastava2014 import recipe as dropout
from lamina.recipes.maxout_goodfellow2013 import convex
from lamina.recipes.maxout_goodfellow2013 import recipe as maxout
from lamina.recipes.maxout_goodfellow2013.convex import LEAST, learnt_parabola
from lamina.storage import load


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())
    for recipe in (dropout, maxout):
        monkeypatch.setattr(recipe, "HIDDEN", (20, 15))
        monkeypatch.setattr(recipe, "SHOWN", 4)
    monkeypatch.setattr(maxout, "CONVEX", (2, 3))
    monkeypatch.setattr(convex, "TRIES", 1)


def held(name: str, folder, network_name: str) -> tuple[torch.nn.Module, Part]:
    data = small_mnist()
    part = Part(data.X_test.astype(np.float32) / 255, data.y_test)
    return load(Context(folder).stage(network_name)), part


def test_dropout_quick_version(small, tmp_path):
    outcome = dropout.run(Context(tmp_path, quick=True, seed=3))
    values = {row.what: row.ours for row in outcome.results}
    assert list(values)[: len(dropout.WAYS)] == [f"test error, {name}" for name in dropout.WAYS]
    assert outcome.deviations[0].startswith("QUICK")
    curves, votes, distance, filters = outcome.figures
    assert list(curves.series) == list(dropout.WAYS)
    assert filters.rows.shape == (len(dropout.WAYS), 4, 28, 28)
    network, part = held("dropout", tmp_path, dropout.BEST)
    x = torch.from_numpy(part.X)
    wrong = 100 * float((network(x).argmax(1).numpy() != part.y).mean())
    assert values[f"test error, {dropout.BEST}"] == pytest.approx(wrong)
    k, errors, _ = votes.series["mean of k sampled networks"]
    assert list(k) == [1, 2, 3, 5]
    first = averaged_outputs(network, x, 5, Random(3).child("votes"), of=softmax)
    assert errors[-1] == pytest.approx(100 * float((first.argmax(1).numpy() != part.y).mean()))
    scaled = softmax(network(x).detach())
    found = distance.series["mean of k sampled networks"][1][-1]
    assert found == pytest.approx(float((first - scaled).abs().mean()), rel=1e-5)
    again = dropout.run(Context(tmp_path, quick=True, seed=3))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_max_norm_holds_in_the_recipe(small, monkeypatch, tmp_path):
    monkeypatch.setattr(dropout, "WAYS", {"dropout and max-norm": dropout.Way(2, 0.05, 0.2, 0.5, 0.3)})
    context = Context(tmp_path, quick=True, seed=3)
    network = dropout.trained(context, digits.mnist(context), "dropout and max-norm")
    for W in network.W:
        assert float(W.detach().norm(dim=0).max()) <= 0.3 + 1e-6


def test_maxout_quick_version(small, tmp_path):
    outcome = maxout.run(Context(tmp_path, quick=True, seed=2))
    values = {row.what: row.ours for row in outcome.results}
    assert [row.what for row in outcome.results][: len(maxout.WAYS)] == [f"test error, {name}" for name in maxout.WAYS]
    network, part = held("maxout", tmp_path, "maxout with dropout")
    assert (network.activation, network.pieces, network.sizes) == ("maxout", maxout.PIECES, (784, 20, 15, 10))
    wrong = 100 * float((network(torch.from_numpy(part.X)).argmax(1).numpy() != part.y).mean())
    assert values["test error, maxout with dropout"] == pytest.approx(wrong)
    assert outcome.figures[3].rows.shape == (maxout.PIECES, 4, 28, 28)
    again = maxout.run(Context(tmp_path, quick=True, seed=2))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


@pytest.mark.parametrize("pieces", [1, 4])
def test_one_maxout_unit_learns_a_parabola_as_well_as_straight_pieces_can(pieces):
    found = learnt_parabola(pieces, seed=0)
    x, y = np.array(found["x"]), np.array(found["y"])
    assert found["error"] == pytest.approx(np.sqrt(np.mean((y - x**2) ** 2)), rel=1e-9)
    assert found["error"] == pytest.approx(LEAST / pieces**2, rel=0.01)
    assert (np.diff(y, 2) > -1e-9).all()  # convex
