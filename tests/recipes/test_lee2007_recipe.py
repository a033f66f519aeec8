"""The race of dictionary learners: a small version runs, goes on from memory, and its measures mean what they say."""

from __future__ import annotations

import pytest
import torch

from lamina.models.sparse import SparseCoding
from lamina.recipes.context import Context
from lamina.recipes.lee2007_efficient_sparse_coding import recipe
from lamina.storage import load
from lamina.studies import sparse_benchmark as bench


@pytest.fixture
def small(monkeypatch):
    for name, value in {"ATOMS": 14, "SIZE": 4, "BATCH": 50, "PASSES": 1, "KEEP_EVERY": 2}.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(recipe, "QUICK_ROWS", 240)
    monkeypatch.setattr(recipe, "KEEP_EVERY", 2)

    def race(dtype, seed, n_rows, passes):
        lamina = float(seed + 1) if dtype == "float32" else 2.0
        walls = {"scikit-learn wall": 9.0, "lamina wall": 8.0}
        return {
            "scikit-learn": 8.0,
            "lamina": lamina,
            "objective": 3.0,
            "final objective": 2.5,
            "ratio": lamina / 8,
            **walls,
        }

    monkeypatch.setattr(bench, "race", race)


def test_quick_version(small, tmp_path):
    context = Context(tmp_path, quick=True, seed=1)
    outcome = recipe.run(context)
    rows = {row.what: row for row in outcome.results}
    assert rows["time to scikit-learn's objective, as a share of its own, float64"].ours == 0.25
    assert rows["objective of two passes of Lamina's online rule, float32"].ours == 2.5
    for name in (*recipe.PASSES, recipe.SKLEARN):
        points = context.keep(f"curve {name}", list)
        assert points[-1][0] > 0
        assert rows[f"objective of {name}"].ours == points[-1][2]
        model = load(context.stage(name))
        X = torch.from_numpy(recipe.data(context))
        assert bench.mean_objective(X, model.D) == pytest.approx(points[-1][2], rel=1e-5)
        start = SparseCoding(16, 14, random_state=1)
        assert points[-1][2] < bench.mean_objective(X, start.D)
    assert outcome.deviations[0].startswith("QUICK")
    assert outcome.figures[0].log_x
    assert outcome.figures[1].rows.shape[1:] == (4, 4)
    again = recipe.run(Context(tmp_path, quick=True, seed=1))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_medians_over_seeds(small):
    races = {"float32": [bench.race("float32", seed, 1, 1) for seed in (0, 1, 5)]}
    first = recipe.results(races, {})[0]
    assert first.ours == 2 / 8
    assert first.sd > 0
    assert "2.00 s against 8.00 s" in first.note


def test_points_of_a_curve_are_thinned():
    kept = [bench.Kept(torch.zeros(0), float(k), 0.0) for k in range(40)]
    few = [int(one.cpu) for one in recipe.thinned(kept, 6)]
    assert few[0] == 0
    assert few[-1] == 39
    assert few == sorted(set(few))
    assert len(few) <= 6
    assert len(recipe.thinned(kept[:1])) == 1
