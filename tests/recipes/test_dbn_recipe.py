"""The recipe of the deep belief network: a small version runs, adds up, and goes on where it was stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.hinton2006_dbn import recipe
from lamina.storage import load

pytestmark = pytest.mark.filterwarnings("ignore:log Z may be far off")  # few temperatures are meant to be too few


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist(360, 60))
    monkeypatch.setattr(recipe, "QUICK_SIDES", (784, 30, 20, 40))
    monkeypatch.setattr(recipe, "QUICK_GREEDY_EPOCHS", (2, 2, 2))
    monkeypatch.setattr(recipe, "QUICK_STAGES", ((1, 2), (2, 1)))
    monkeypatch.setattr(recipe, "QUICK_TEMPERATURES", 12)


def test_it_measures_what_its_networks_do(small, tmp_path):
    context = Context(tmp_path, quick=True, seed=3)
    outcome = recipe.run(context)
    rows = {row.what: row for row in outcome.results}
    data = small_mnist(360, 60)
    test = torch.from_numpy(data.X_test.astype(np.float32) / 255)
    for title, stage in (("greedy", "greedy"), ("up-down", "up-down 2")):
        network = load(context.stage(stage))
        wrong = (network.classify(test).numpy() != data.y_test).mean()
        assert rows[f"test error, {title}"].ours == pytest.approx(100 * wrong)
        assert rows[f"test error, {title}"].published == recipe.PUBLISHED[title]
    greedy, refined = load(context.stage("greedy")), load(context.stage("up-down 1"))
    assert torch.equal(greedy.directed[0].W, greedy.directed[0].R)  # refining has left the greedy network alone
    assert not torch.equal(refined.directed[0].W, refined.directed[0].R)
    assert rows["lower bound on log p(v), test rows"].ours < 0
    grid, running, lines = outcome.figures
    assert grid.rows.shape == (10, 10, 28, 28)
    assert running.rows.shape[0] == 10
    assert len(lines.series["k = 1"][1]) == 2
    assert any(line.startswith("QUICK") for line in outcome.deviations)
    assert outcome.seeds == [3]


def test_stopped_between_stages_it_ends_with_the_same_numbers(small, monkeypatch, tmp_path):
    whole = recipe.run(Context(tmp_path / "whole", quick=True))

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recipe, "bound", stop)
        with pytest.raises(KeyboardInterrupt):
            recipe.run(Context(tmp_path / "stopped", quick=True))
    again = recipe.run(Context(tmp_path / "stopped", quick=True))
    assert [row.ours for row in again.results] == [row.ours for row in whole.results]
    assert np.array_equal(again.figures[0].rows, whole.figures[0].rows)
