"""The main job from end to end: what is run, in which order, and what lies in the run folder afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lamina.core.errors import DivergenceError, LabelError, RunFolderError, SettingError
from lamina.core.storage import read_arrays, read_json
from lamina.models import MLP, Stack
from lamina.report.records import read_records
from lamina.storage import load
from lamina.studies import LearnOptions, defaults, learn
from lamina.training.layer_kinds import KINDS
from small_studies import CLASSES, archive, rows, unit_rows, write_table

ALL = ["lamina", "frozen features", "without pre-training", "logistic regression", "pca + svm"]


def small(path, **options) -> LearnOptions:
    return LearnOptions(str(path), **{"labels": 12, "hidden": (12, 8), "epochs": 2, **options})


def test_a_run_folder_holds_what_it_says(finished):
    run = finished["table"].run
    files = {str(path.relative_to(run)) for path in run.iterdir()}
    assert files == {
        "settings.json",
        "model.json",
        "model.safetensors",
        "scaling.safetensors",
        "stack",
        "metrics.jsonl",
        "records.json",
        "records.safetensors",
        "checkpoint",
        "report.html",
    }
    assert isinstance(load(run), MLP)
    stack = load(run / "stack")
    assert isinstance(stack, Stack)
    assert stack.sizes == (12, 8)
    records = read_records(run)  # checks every part against the format
    assert [result["name"] for result in records.part("results")] == ALL
    assert "<html" in (run / "report.html").read_text()[:300].lower()


def test_records_say_what_was_done(finished):
    document = read_json(finished["table"].run / "records.json")
    data = document["data"]
    assert data["name"] == "table"
    assert data["n_labels"] == 24
    assert data["n_train"] > 80
    assert data["n_test"] > 5
    assert data["n_features"] == 6
    assert sorted(data["classes"]) == sorted(CLASSES)
    assert data["units"] == "gaussian"
    assert document["settings"]["plan"]["hidden"] == [12, 8]
    assert [curve["name"] for curve in document["curves"]][:2] == ["layer 1: 6-12", "layer 2: 12-8"]
    assert document["curves"][2]["kind"] == "finetune"
    assert len(document["curves"][0]["epochs"]) == 2
    assert sum(way["chosen"] for way in document["choice"]) == 1
    for result in document["results"]:
        assert 0 <= result["error_mean"] <= 1
        assert result["error_sd"] == 0
        assert result["seconds"] > 0
    assert document["seed"] == 0
    assert document["memory"]["peak_mb"] > 1
    assert document["command"].startswith("lamina learn ")


def test_easy_classes_are_learnt_by_every_baseline_on_the_raw_input(finished):
    """Rows and labels are paired and in order: else this would be chance, two thirds wrong."""
    errors = {r["name"]: r["error_mean"] for r in read_json(finished["table"].run / "records.json")["results"]}
    assert errors["logistic regression"] < 0.2
    assert errors["pca + svm"] < 0.3


def test_groups_stay_on_one_side(finished, monkeypatch):
    from lamina.studies.preparation import open_data

    dataset = open_data(str(finished["table"].data), groups="site")
    assert not set(dataset.groups) & set(dataset.groups_test)
    assert "site" not in dataset.feature_names
    assert "label" not in dataset.feature_names


def test_the_label_curve_grows_by_what_is_there(finished):
    document = read_json(finished["table"].run / "records.json")
    counts = [point["n_labels"] for point in document["label_curve"]]
    assert counts == [3, 9, 30]
    for point in document["label_curve"]:
        assert [result["name"] for result in point["results"]] == ALL


def test_images_and_a_folder_of_unlabelled_ones(finished):
    run = finished["images"].run
    document, arrays = read_json(run / "records.json"), read_arrays(run / "records.safetensors")
    data = document["data"]
    assert data["shape"] == [1, 4, 4]
    assert data["classes"] == ["a", "b"]
    assert data["units"] == "bernoulli"
    assert data["n_train"] + data["n_test"] == 90
    assert data["n_test"] == 12  # a fifth of the labelled rows
    assert arrays["filters"].shape == (12, 16)
    assert arrays["samples"].shape == (40, 16)
    assert arrays["confusion"].sum() == 12
    assert arrays["code_2d"].shape == (12, 2)


def test_without_any_label_there_are_layers_and_pictures(finished):
    run = finished["unlabelled"].run
    document, arrays = read_json(run / "records.json"), read_arrays(run / "records.safetensors")
    assert document["results"] == []
    assert (document["data"]["n_labels"], document["data"]["n_test"], document["data"]["n_train"]) == (0, 0, 80)
    assert isinstance(load(run), Stack)
    assert {"examples", "filters", "samples", "code_2d", "reconstruction_output"} <= set(arrays)
    assert "confusion" not in arrays
    assert (arrays["example_labels"] == -1).all()
    assert (run / "report.html").is_file()


def test_a_given_test_part_is_the_one_that_counts(tmp_path):
    document = learn(small(archive(tmp_path / "a.npz", 60, 21), protocol="scratch"), out=str(tmp_path / "run"))
    assert document["data"]["n_test"] == 21
    assert document["data"]["n_train"] == 60


def test_test_rows_without_labels_give_no_errors(tmp_path):
    path = write_table(tmp_path / "a.csv", rows(30)[0], {"label": ["a", "b", "c"] * 10})
    test = write_table(tmp_path / "b.csv", rows(12, seed=1)[0], {"label": [""] * 12})
    document = learn(small(path, test=str(test), protocol="frozen"), out=str(tmp_path / "run"))
    assert [result["error_mean"] for result in document["results"]] == [None] * 3
    assert document["data"]["n_test"] == 12


@pytest.mark.parametrize(
    ("protocol", "first"),
    [("fine-tuned", "lamina"), ("frozen", "frozen features"), ("scratch", "without pre-training")],
)
def test_one_protocol_alone_beside_the_baselines(tmp_path, protocol, first):
    document = learn(small(archive(tmp_path / "a.npz"), protocol=protocol), out=str(tmp_path / "run"))
    assert [result["name"] for result in document["results"]] == [first, *ALL[3:]]
    assert isinstance(load(tmp_path / "run"), MLP)  # the network that ran is the one that predicts


@pytest.mark.parametrize("way", ["adversarial", "label spreading", "supervised"])
def test_a_way_that_is_asked_for_is_taken_without_a_choice(tmp_path, way):
    document = learn(small(archive(tmp_path / "a.npz"), protocol="fine-tuned", way=way), out=str(tmp_path / "run"))
    assert document["choice"] == []
    assert document["results"][0]["what"].endswith(f"({way})")
    assert document["curves"][-1]["name"] == f"fine-tuning: {way}"


def test_draws_of_labels_share_their_layers(tmp_path):
    document = learn(small(archive(tmp_path / "a.npz"), repeats=2, protocol="frozen"), out=str(tmp_path / "run"))
    for result in document["results"]:
        assert len(result["errors"]) == 2
        assert result["error_mean"] == pytest.approx(np.mean(result["errors"]))
        assert result["error_sd"] == pytest.approx(np.std(result["errors"], ddof=1))
    made = [path.name for path in (tmp_path / "run" / "checkpoint").glob("layers-seed-*")]
    assert made == ["layers-seed-0"]
    assert any("learnt once" in note for note in document["notes"])


def test_with_all_labels_repeats_are_seeds_and_layers_are_learnt_anew(tmp_path):
    path = archive(tmp_path / "a.npz")
    document = learn(small(path, labels="all", repeats=2, protocol="frozen"), out=str(tmp_path / "run"))
    made = sorted(path.name for path in (tmp_path / "run" / "checkpoint").glob("layers-seed-*"))
    assert made == ["layers-seed-0", "layers-seed-1"]
    assert document["data"]["n_labels"] == document["data"]["n_train"] == 90
    assert [len(result["errors"]) for result in document["results"]] == [2, 1, 1]  # no seed changes the last two


def test_the_same_seed_learns_the_same_and_another_does_not(tmp_path):
    path = archive(tmp_path / "a.npz")
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        learn(small(path, seed=seed, protocol="frozen"), out=str(tmp_path / name))
    one, same, other = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("one", "same", "other"))
    assert one == same != other


def test_without_a_name_runs_never_meet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", unit_rows(20)[0])
    found = [learn(LearnOptions("a.npy", hidden=(4,), epochs=1))["run"] for _ in range(2)]
    assert found == ["runs/a", "runs/a-2"]


@pytest.mark.parametrize("hidden", [(1,), (3, 1)])
def test_a_code_of_one_unit(tmp_path, hidden):
    options = LearnOptions(str(archive(tmp_path / "a.npz")), labels=12, hidden=hidden, epochs=1, protocol="frozen")
    learn(options, out=str(tmp_path / "run"))
    assert np.isfinite(read_arrays(tmp_path / "run" / "records.safetensors")["code_2d"]).all()


@pytest.mark.parametrize("n", [2, 5, 65])
def test_few_rows_and_a_last_batch_of_one(tmp_path, n):
    """65 rows go in batches of 16: the last one holds a single row."""
    X, y = unit_rows(n)
    y = y % 2
    path = archive(tmp_path / "a.npz", X=X, y=y, y_test=np.arange(30) % 2)
    learn(small(path, labels="all"), out=str(tmp_path / "run"))
    assert all(np.isfinite(array).all() for array in read_arrays(tmp_path / "run" / "model.safetensors").values())


def test_a_single_label_per_class_leaves_the_defaults(tmp_path):
    document = learn(small(archive(tmp_path / "a.npz"), labels=3), out=str(tmp_path / "run"))
    assert [way["cv_error"] for way in document["choice"]] == [None] * len(document["choice"])
    assert document["choice"][0]["chosen"]


def test_groups_that_each_hold_one_class(tmp_path):
    """Speakers of one class each: whichever is held out, a choice must not be asked of a class never seen."""
    X, _ = rows(60)
    columns = {"label": ["a"] * 12 + ["b"] * 48, "site": [f"s{k // 12}" for k in range(60)]}
    path = write_table(tmp_path / "a.csv", X, columns)
    document = learn(small(path, labels="all", groups="site"), out=str(tmp_path / "run"))
    assert document["data"]["n_test"] > 0


def test_a_diverging_run_says_where_and_what_to_lower(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", rows(80)[0])
    monkeypatch.setitem(KINDS, "rbm", replace(KINDS["rbm"], learning_rate=lambda layer: 1e12))
    with pytest.raises(DivergenceError, match="layer 1") as told:
        learn(LearnOptions(str(tmp_path / "a.npy"), hidden=(5, 4), epochs=30), out=str(tmp_path / "run"))
    assert "step" in str(told.value)
    assert "lower" in str(told.value)


def test_folders_that_are_no_runs_are_left_alone(tmp_path):
    path = archive(tmp_path / "a.npz")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(RunFolderError):
            learn(small(path), out=str(precious), **options)
    assert [p.name for p in precious.iterdir()] == ["thesis.txt"]


def test_overwriting_a_run_leaves_nothing_of_it(tmp_path):
    path = archive(tmp_path / "a.npz")
    learn(small(path, protocol="frozen"), out=str(tmp_path / "run"))
    (tmp_path / "run" / "old").write_text("")
    with pytest.raises(RunFolderError, match="--overwrite"):
        learn(small(path, protocol="frozen"), out=str(tmp_path / "run"))
    learn(small(path, protocol="scratch"), out=str(tmp_path / "run"), overwrite=True)
    assert not (tmp_path / "run" / "old").exists()


def test_data_that_cannot_be_used_never_cost_an_old_run(tmp_path):
    path = archive(tmp_path / "a.npz")
    learn(small(path, protocol="frozen"), out=str(tmp_path / "run"))
    with pytest.raises(LabelError):
        learn(small(path, labels=2), out=str(tmp_path / "run"), overwrite=True)
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_resuming_with_other_settings_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz")
    learn(small(path, protocol="frozen"), out=str(tmp_path / "run"))
    with pytest.raises(RunFolderError, match=r"other settings \(epochs, seed\)"):
        learn(small(path, protocol="frozen", epochs=3, seed=1), out=str(tmp_path / "run"), resume=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer": "denoise"},
        {"protocol": "finetuned"},
        {"way": "adversary"},
        {"units": "softmax"},
        {"constant": "drop"},
        {"repeats": 0},
        {"seed": -1},
        {"labels": 0},
        {"labels": 2.5},
        {"labels": "many"},
        {"hidden": (5, 0)},
        {"epochs": 0},
        {"test": "1.5"},
    ],
)
def test_options_outside_their_limits(tmp_path, wrong):
    np.save(tmp_path / "a.npy", unit_rows(20)[0])
    with pytest.raises(SettingError):
        learn(LearnOptions(str(tmp_path / "a.npy"), **wrong), out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_plan_keeps_what_was_asked_for():
    plan = defaults.plan(1000, 64, 100, (7, 5), 3)
    assert (plan.hidden, plan.pretrain_epochs) == ((7, 5), (3, 3))
    assert defaults.plan(1000, 64, 100, (7, 5), (3, 4)).pretrain_epochs == (3, 4)


@pytest.mark.parametrize("n_rows", [2, 100, 1000, 5000, 60_000, 1_000_000])
def test_the_plan_fits_any_size(n_rows):
    plan = defaults.plan(n_rows, 10, n_rows // 2)
    assert len(plan.hidden) == len(plan.pretrain_epochs)
    assert all(size >= 1 for size in plan.hidden)
    assert all(3 <= epochs <= 200 for epochs in plan.pretrain_epochs)
    assert plan.adversarial_batch >= 1
