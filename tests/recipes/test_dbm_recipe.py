"""The recipe of the deep Boltzmann machine: a small version runs, adds up, and goes on where it was stopped."""

from __future__ import annotations

import numpy as np
import pytest
from small_digits import small_mnist

from lamina.inference import deep_boltzmann_bound
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.salakhutdinov2009_dbm import recipe
from lamina.storage import load

pytestmark = pytest.mark.filterwarnings("ignore:log Z may be far off")  # 12 temperatures are meant to be too few


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())
    monkeypatch.setattr(recipe, "QUICK_SIZES", (784, 12, 8))
    monkeypatch.setattr(recipe, "QUICK_TEMPERATURES", 12)
    monkeypatch.setattr(recipe, "QUICK_STEPS", 10)


def test_it_measures_the_kept_machine_and_remembers(small, tmp_path):
    context = Context(tmp_path, quick=True, seed=3)
    outcome = recipe.run(context)
    rows = {row.what: row for row in outcome.results}
    found = context.keep("likelihood longer", dict)
    machine = load(context.stage("machine longer"))
    digits = recipe.Digits(context)
    bound = deep_boltzmann_bound(machine, digits.test, found["log_z"])
    assert rows["lower bound on the test log-probability"].ours == pytest.approx(float(bound.mean()), abs=1e-6)
    assert found["bound, same rows"] == pytest.approx(float(bound[::3].mean()), abs=1e-6)
    assert found["low"] <= found["log_z"] <= found["high"]
    assert 0 <= rows["test error after fine-tuning"].ours <= 100
    assert outcome.seeds == [3]
    again = recipe.run(Context(tmp_path, quick=True, seed=3))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_figures_show_digits_dreams_and_holes(small, tmp_path):
    outcome = recipe.run(Context(tmp_path, quick=True, seed=4))
    dreams, filled, filters, iterations = outcome.figures
    assert dreams.rows.shape == (4, 16, 28, 28)
    assert filled.rows.shape == (5, 10, 28, 28)
    assert np.isnan(filled.rows[1][:, :, 14:]).all()
    assert np.isnan(filled.rows[3][:, 14:]).all()
    for row, known in ((2, np.s_[:, :, :14]), (4, np.s_[:, :14])):
        np.testing.assert_array_equal(filled.rows[row][known], filled.rows[0][known])
    assert filters.signed
    assert len(iterations.series["learning"][0]) == 4


def test_test_rows_are_drawn_once_whatever_the_seed(small, tmp_path):
    one, two = (recipe.Digits(Context(tmp_path, seed=seed)) for seed in (0, 1))
    assert (one.test == two.test).all()
    assert set(one.test.unique().tolist()) == {0.0, 1.0}
