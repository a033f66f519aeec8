"""The race against scikit-learn's perceptron: both run with the same seed, the command prints both."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lamina.core.errors import SettingError
from lamina.studies import network_benchmark as bench
from small_studies import cli


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 400)
    X = (generator.random((400, 12)) * 100 + 50 * (np.arange(12) % 3 == y[:, None])).astype(np.uint8)
    found = SimpleNamespace(X=X[:300], y=y[:300], X_test=X[300:], y_test=y[300:])
    monkeypatch.setattr(bench.data, "load", lambda name: found)
    for name, value in {"HIDDEN": 8, "BATCH": 50, "PASSES": 3}.items():
        monkeypatch.setattr(bench, name, value)


def test_a_race_gives_seconds_and_errors_of_the_same_network():
    found = bench.race(bench.digits(), 3)
    assert list(found) == list(bench.NAMES)
    assert min(seconds for seconds, _ in found.values()) > 0
    errors = [error for _, error in found.values()]
    assert errors[0] == errors[1]  # the same seed, in float32
    assert 0 < errors[0] < 0.6


def test_rows_are_shares_of_the_brightest():
    X, y, X_test, y_test = bench.digits()
    assert X.dtype == X_test.dtype == np.float32
    assert (len(X), len(y), len(X_test), len(y_test)) == (300, 300, 100, 100)
    assert 0 <= X.min() < X.max() <= 150 / 255


def test_medians_and_ratios():
    ours, theirs = bench.NAMES[1], bench.NAMES[0]
    races = [{theirs: (2.0, 0.02), ours: (1.0, 0.03)}, {theirs: (4.0, 0.02), ours: (1.0, 0.01)}]
    first, second = bench.summary(races)
    assert (first["milliseconds"], first["ratio"], first["error"]) == (3000.0, 1.0, 0.02)
    assert second["ratio"] == pytest.approx(1 / 3)
    assert (second["ratio_low"], second["ratio_high"]) == (0.25, 0.5)
    assert second["error"] == pytest.approx(0.02)


def test_every_core_has_a_thread_and_the_old_number_comes_back(monkeypatch):
    monkeypatch.setattr(bench, "_cores", lambda: 3)
    before = torch.get_num_threads()
    with bench.all_cores() as threads:
        assert threads == torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_the_command_prints_both(capsys):
    assert cli("bench", "mlp", "--repeats", 1) == 0
    said = capsys.readouterr().out
    for words in (*bench.NAMES, "theirs", "median error on 100 test rows"):
        assert words in said
    with pytest.raises(SettingError, match="repeats"):
        bench.bench_mlp(repeats=0)
