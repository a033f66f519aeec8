"""The race against scikit-learn: both run, the first dictionary that is good enough counts, the command prints it."""

from __future__ import annotations

import pytest
import torch

from lamina.core.errors import SettingError
from lamina.studies import sparse_benchmark as bench
from small_studies import cli


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    for name, value in {"ROWS": 300, "ATOMS": 12, "SIZE": 4, "BATCH": 50, "PASSES": 1, "KEEP_EVERY": 2}.items():
        monkeypatch.setattr(bench, name, value)
    slow = bench.scikit_learn

    def easy(X, seed):  # at this size scikit-learn would end where Lamina's two passes do, or below
        found = slow(X, seed)
        start = bench.SparseCoding(X.shape[1], bench.ATOMS, random_state=seed)
        return bench.Kept(start.D.detach().to(found.D.dtype), found.cpu, found.wall)

    monkeypatch.setattr(bench, "scikit_learn", easy)


def test_a_race_gives_the_seconds_of_both():
    found = bench.race("float32", 3)
    assert found["ratio"] == pytest.approx(found["lamina"] / found["scikit-learn"])
    assert found["final objective"] <= found["objective"]
    assert min(found["lamina"], found["scikit-learn"], found["lamina wall"], found["scikit-learn wall"]) > 0


def test_patches_are_centred_at_variance_one():
    X = bench.photograph_patches(200, 1, "float64")
    assert X.shape == (200, 16)
    assert abs(X.mean(1)).max() < 1e-12
    assert X.std() == pytest.approx(1)


def test_the_objective_is_that_of_exact_codes():
    X = torch.from_numpy(bench.photograph_patches(50, 1, "float64"))
    model = bench.SparseCoding(16, 12, cost=bench.COST, tolerance=1e-9, dtype=torch.float64)
    exact = float(model.energy(X, model.mean_h_from_v(X)).mean().detach())
    assert bench.mean_objective(X, model.D) == pytest.approx(exact, rel=1e-4)


def test_the_first_that_is_good_enough():
    kept = [bench.Kept(torch.zeros(0), float(k), 0.0) for k in range(9)]
    falling = [9.0, 7.0, 6.0, 5.5, 5.0, 4.0, 3.0, 2.0, 1.0]
    for goal, expected in ((9.5, 0), (6.0, 2), (5.2, 4), (1.0, 8)):
        assert bench.first_below(kept, goal, falling.__getitem__).cpu == expected
    assert bench.first_below(kept, 0.5, falling.__getitem__) is None
    assert bench.first_below([], 0.5, falling.__getitem__) is None


def test_the_command_prints_both_types(capsys):
    assert cli("bench", "sparse-coding", "--repeats", 1) == 0
    said = capsys.readouterr().out
    for words in (
        "float32",
        "float64",
        "scikit-learn MiniBatchDictionaryLearning",
        "lamina.OnlineDictionary",
        "theirs",
    ):
        assert words in said
    with pytest.raises(SettingError, match="repeats"):
        bench.bench_sparse_coding(repeats=0)
    answer = bench.bench_sparse_coding(repeats=1)
    first, second = answer["batches"][0]["rows"]
    assert first["ratio"] == 1.0
    assert second["ratio_low"] <= second["ratio"] <= second["ratio_high"]
    assert second["ratio"] == pytest.approx(second["milliseconds"] / first["milliseconds"])
