"""The speed comparison: everybody is measured, and against the products measured beside them."""

from __future__ import annotations

import pytest

from lamina.core.errors import SettingError
from lamina.studies import benchmark
from lamina.studies.benchmark import bench_ais, bench_rbm
from small_studies import cli


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    sizes = {"VISIBLE": 20, "HIDDEN": 10, "BATCHES": (5, 7), "ROWS": 14, "CHAINS": 6, "TEMPERATURES": 3}
    for name, value in sizes.items():
        monkeypatch.setattr(benchmark, name, value)
    find = benchmark.importlib.util.find_spec
    monkeypatch.setattr(
        benchmark.importlib.util, "find_spec", lambda name: None if name in ("learnergy", "rbms") else find(name)
    )


def test_ratios_are_to_the_five_products():
    answer = bench_rbm(repeats=1)
    assert [batch["batch_size"] for batch in answer["batches"]] == [5, 7]
    for batch in answer["batches"]:
        names = [row["name"] for row in batch["rows"]]
        assert names[0] == "five matrix products"
        assert {"lamina.fit", "plain torch loop", "scikit-learn BernoulliRBM"} <= set(names)
        limit = batch["rows"][0]["milliseconds"]
        assert batch["rows"][0]["ratio"] == 1.0
        for row in batch["rows"]:
            assert row["milliseconds"] > 0
            assert row["ratio"] == pytest.approx(row["milliseconds"] / limit)
            assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert answer["repeats"] == 1
    assert "not installed: learnergy, rbms" in answer["notes"][0]


def test_the_median_counts(monkeypatch):
    seconds = {"five matrix products": iter([9.0, 1.0, 3.0, 2.0]), "lamina.fit": iter([9.0, 2.0, 9.0, 4.0])}
    contestants = {name: (lambda times=times: next(times)) for name, times in seconds.items()}
    monkeypatch.setattr(benchmark, "_contestants", lambda *a: contestants)
    monkeypatch.setattr(benchmark, "BATCHES", (5,))
    ours = bench_rbm(repeats=3)["batches"][0]["rows"][1]  # the first of each is the warm-up
    assert ours["milliseconds"] == 4000.0
    assert (ours["ratio"], ours["ratio_low"], ours["ratio_high"]) == (2.0, 2.0, 3.0)


@pytest.mark.parametrize("bench", [bench_rbm, bench_ais])
@pytest.mark.parametrize("repeats", [0, -1])
def test_at_least_one_measurement(bench, repeats):
    with pytest.raises(SettingError):
        bench(repeats=repeats)


def test_annealing_is_measured_against_its_two_products():
    answer = bench_ais(repeats=3)
    (batch,) = answer["batches"]
    products, annealing = batch["rows"]
    assert batch["batch_size"] == 6
    assert (products["name"], products["ratio"]) == ("two matrix products", 1.0)
    assert annealing["name"] == "annealed importance sampling"
    assert annealing["ratio"] == pytest.approx(annealing["milliseconds"] / products["milliseconds"])
    assert annealing["ratio_low"] <= annealing["ratio_high"]


def test_the_command_prints_a_line_for_each(capsys):
    assert cli("bench", "rbm", "--repeats", 1) == 0
    said = capsys.readouterr().out
    for words in ("batch 5", "batch 7", "five matrix products", "lamina.fit", "plain torch loop", "not installed"):
        assert words in said


def test_the_command_measures_annealing_too(capsys):
    assert cli("bench", "ais", "--repeats", 1) == 0
    said = capsys.readouterr().out
    for words in ("one temperature", "batch 6", "two matrix products", "annealed importance sampling"):
        assert words in said
