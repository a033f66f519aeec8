"""The two recipes about likelihoods: small versions run, add up, and go on where they were stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.inference import exact_log_partition
from lamina.recipes import digits as shared
from lamina.recipes.context import Context
from lamina.recipes.melchior2016_centering import recipe as centring
from lamina.recipes.salakhutdinov2008_ais import recipe as annealing
from lamina.storage import load

pytestmark = pytest.mark.filterwarnings("ignore:log Z may be far off")  # 12 temperatures are meant to be too few


@pytest.fixture
def digits(monkeypatch):
    for module in (centring, shared):
        monkeypatch.setattr(module, "load", lambda name: small_mnist())


def test_centring_measures_the_exact_likelihood_of_the_kept_machines(digits, monkeypatch, tmp_path):
    monkeypatch.setattr(centring, "N_HIDDEN", 6)
    context = Context(tmp_path, quick=True, seed=3)
    outcome = centring.run(context)
    assert [row.what for row in outcome.results][:4] == [f"{m} gradient, {d}" for m, d in centring.PUBLISHED]
    assert outcome.seeds == [3]
    machine = load(context.stage("machine centred negatives 0"))
    test = 1 - (small_mnist().X_test > 127).astype(np.float32)
    with torch.no_grad():
        mean = -machine.free_energy(torch.from_numpy(test)).double().mean().item() - exact_log_partition(machine)
    assert outcome.results[3].ours == pytest.approx(mean, abs=1e-6)
    again = centring.run(Context(tmp_path, quick=True, seed=3))  # from memory
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_annealing_tells_both_sides_and_the_gap(digits, monkeypatch, tmp_path):
    monkeypatch.setattr(annealing, "QUICK_TEMPERATURES", 12)
    monkeypatch.setattr(annealing, "METHODS", ("PCD", "CD-1"))
    context = Context(tmp_path, quick=True, seed=3)
    outcome = annealing.run(context)
    rows = {row.what: row for row in outcome.results}
    for method in ("CD-1", "PCD"):
        title = f"RBM 784-500 {method}"
        assert rows[f"{title}, conservative"].ours < rows[f"{title}, test log-probability"].ours < 0
        assert rows[f"{title}, gap"].ours > 0
    assert np.isfinite(rows["DBN 784-500-2000, lower bound"].ours)
    assert outcome.figures[0].title == "Digits and samples"
    assert outcome.figures[0].rows.shape == (3, 16, 28, 28)


def test_test_rows_are_drawn_once_and_training_rows_stay_grey(digits, tmp_path):
    one, two = (annealing.Digits(Context(tmp_path, seed=seed)) for seed in (0, 1))
    assert torch.equal(one.test, two.test)
    assert set(one.test.unique().tolist()) == {0.0, 1.0}
    assert len(one.grey.unique()) > 2
