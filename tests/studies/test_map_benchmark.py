"""The race against minisom: all run from one start, errors are by one measure, the command prints them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lamina.core.errors import DataError, SettingError
from lamina.data import DataSet
from lamina.studies import map_benchmark as bench
from small_studies import cli


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    X = np.random.default_rng(0).integers(0, 256, size=(60, 9)).astype(np.uint8)
    monkeypatch.setattr(bench, "load", lambda name: DataSet(name, X, None, (), (1, 3, 3)))
    for name, value in {"ROWS": 50, "SIDE": 4, "PASSES": 2, "FIRST": 4.0}.items():
        monkeypatch.setattr(bench, name, value)


def test_lamina_alone_says_so(monkeypatch, capsys):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert cli("bench", "som", "--repeats", 1) == 0
    said = capsys.readouterr().out
    assert "minisom is not installed (pip install minisom): Lamina ran alone" in said
    assert said.count("lamina.BatchMap float32") == 8  # twice for either law, and their errors
    assert "train_batch" not in said


def test_both_run_where_minisom_is(capsys):
    pytest.importorskip("minisom")
    assert cli("bench", "som", "--repeats", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [batch["title"] for batch in found["batches"]] == ["radius 10 to 3.3", "radius 10 to 1"]
    assert "100 of minisom's iterations" in found["notes"][-1]
    for batch in found["batches"]:
        peer, *ours = batch["rows"]
        assert peer["name"] == bench.PEER
        assert len(ours) == 3
        for row in ours:
            assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
            assert row["milliseconds"] > 0 < row["wall milliseconds"]
            assert row["quantisation error"] > 0 <= row["topographic error"]


def test_errors_are_minisoms_own():
    minisom = pytest.importorskip("minisom")
    X = bench.digits(50)
    judge = minisom.MiniSom(4, 4, 9, random_seed=1)
    found = bench.measured(X, judge.get_weights().reshape(16, 9), 1.0, 2.0)
    assert found["quantisation error"] == pytest.approx(judge.quantization_error(X))
    assert found["topographic error"] == pytest.approx(judge.topographic_error(X))
    assert found["milliseconds"] == 1000.0


def test_what_is_refused():
    with pytest.raises(DataError, match="60 training rows here; expected at least 100"):
        bench.digits(100)
    with pytest.raises(SettingError, match="expected cpu"):
        bench.bench_som(device="meta")
    with pytest.raises(SettingError, match="--repeats"):
        bench.bench_som(repeats=0)
