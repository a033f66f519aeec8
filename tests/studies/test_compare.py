"""Several kinds of layer on the same rows: what is shared, what is kept, what is said, and that no label leaks."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest

from lamina.core.errors import LabelError
from lamina.core.storage import read_arrays, read_json
from lamina.report import comparison_sentence, read_records
from lamina.studies import CompareOptions, compare
from small_studies import archive, cli, image_folder, make_quick, unit_rows

study = import_module("lamina.studies.compare")  # the room's door has a function of that name
KINDS = ("rbm", "denoising", "sparse-coding")
N = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished comparison of three kinds, two repeats: its folder."""
    folder = tmp_path_factory.mktemp("compared")
    data = archive(folder / "a.npz", N, 15)
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch.setattr)
        wanted = ("compare", data, "--layers", ",".join(KINDS), "--labels", 12, "--hidden", "7", "--epochs", 1)
        assert cli(*wanted, "--repeats", 2, "--quiet", "--out", folder / "run") == 0
    return folder / "run"


def test_records_hold_both_protocols_of_every_kind_and_the_baselines(run):
    document = read_json(run / "records.json")
    assert document["kind"] == "comparison"
    asked = [(r["layer"], r["protocol"]) for r in document["results"]]
    own = [(kind, protocol) for kind in KINDS for protocol in ("frozen features", "fine-tuned")]
    assert asked == [*own, *((None, name) for name in study.BASELINES)]
    for result in document["results"]:
        assert len(result["errors"]) == 2
        assert result["error_mean"] == pytest.approx(np.mean(result["errors"]))
        assert result["error_sd"] == pytest.approx(np.std(result["errors"], ddof=1))
        assert result["seconds"] > 0
    assert [entry["layer"] for entry in document["compared"]] == list(KINDS)
    for entry in document["compared"]:
        assert entry["units"] == 7
        assert 0 <= entry["dead"] <= 7
        assert 0 <= entry["hoyer"] <= 1
        assert entry["error_test"] > 0
    read_records(run)  # checks every part against the format
    assert (run / "report.html").is_file()
    assert {path.name for path in run.iterdir()} >= {"settings.json", "scaling.safetensors", "metrics.jsonl"}


def test_the_answer_to_a_program(run, capsys):
    assert cli("compare", "--resume", run, "--json", "--quiet") == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"data", "n_train", "n_labels", "n_test", "repeats", "run", "results"} <= set(answer)
    assert (answer["n_train"], answer["n_labels"], answer["n_test"], answer["repeats"]) == (N, 12, 15, 2)
    for result in answer["results"]:
        assert {"layer", "protocol", "error_mean", "error_sd", "seconds"} <= set(result)
    assert [entry["layer"] for entry in answer["layers"]] == list(KINDS)


def test_a_finished_comparison_is_resumed_without_learning_again(run, capsys, monkeypatch):
    before = read_json(run / "records.json")

    def again(*arguments):
        raise AssertionError("done again")

    monkeypatch.setattr(study._Comparison, "_learn", again)
    monkeypatch.setattr(study._Comparison, "_judged", again)
    assert cli("compare", "--resume", run, "--quiet") == 0
    after = read_json(run / "records.json")
    for part in ("results", "compared", "curves", "notes", "timing"):
        assert after[part] == before[part], part
    words = capsys.readouterr().out
    assert comparison_sentence(read_records(run)) in words
    assert all(kind in words for kind in KINDS)


@pytest.mark.usefixtures("quick")
def test_half_a_comparison_goes_on_to_the_same_end(run, tmp_path, monkeypatch):
    data = run.parent / "a.npz"
    options = CompareOptions(str(data), layers=KINDS, labels=12, hidden=(7,), epochs=1, repeats=2)
    judged, calls = study._Comparison._judged, []

    def stopped(self, task, fit):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return judged(self, task, fit)

    monkeypatch.setattr(study._Comparison, "_judged", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare(options, out=str(tmp_path / "run"))
    monkeypatch.setattr(study._Comparison, "_judged", judged)
    document = compare(options, out=str(tmp_path / "run"), resume=True)
    whole = read_json(run / "records.json")
    assert [r["errors"] for r in document["results"]] == [r["errors"] for r in whole["results"]]
    same = ("layer", "dead", "hoyer", "error_train", "error_test")
    assert [[e[k] for k in same] for e in document["compared"]] == [[e[k] for k in same] for e in whole["compared"]]


@pytest.mark.usefixtures("quick")
def test_labels_outside_the_draw_and_test_labels_change_nothing_that_is_learnt(tmp_path, monkeypatch):
    drawn = np.sort(np.random.default_rng(3).permutation(N)[:12])
    monkeypatch.setattr(study, "draw_rows", lambda prepared, labels, seed: drawn)
    fitted: list = []
    answer = study.predict_rows
    monkeypatch.setattr(study, "predict_rows", lambda model, X: fitted.append(model) or answer(model, X))
    found = []
    for name in ("true", "garbage"):
        y, y_test = unit_rows(N)[1], unit_rows(15, seed=5)[1]
        if name == "garbage":
            y = np.random.default_rng(1).integers(-1, 3, N)
            y[drawn] = unit_rows(N)[1][drawn]
            y_test = np.random.default_rng(2).integers(0, 3, 15)
        fitted.clear()
        data = archive(tmp_path / f"{name}.npz", N, 15, y=y, y_test=y_test)
        options = CompareOptions(
            str(data), layers=("autoencoder", "sparse-coding"), labels=12, hidden=(5,), epochs=1, repeats=1
        )
        document = compare(options, out=str(tmp_path / name))
        networks = [model.state_dict() for model in fitted if hasattr(model, "state_dict")]
        found.append((networks, document["compared"], [r["errors"] for r in document["results"]]))
    (one, compared, errors), (other, compared_too, other_errors) = found
    assert len(one) == 5  # two protocols of two kinds, and the network without pre-training
    for a, b in zip(one, other, strict=True):
        assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a)
    names = ("dead", "hoyer", "near_zero", "error_train")
    assert [[e[k] for k in names] for e in compared] == [[e[k] for k in names] for e in compared_too]
    assert errors != other_errors  # the test labels really were others


@pytest.mark.usefixtures("quick")
def test_with_all_labels_the_plain_baselines_are_fitted_once(tmp_path):
    options = CompareOptions(
        str(image_folder(tmp_path / "images", n=40, unlabelled=4)), layers=("sparse",), hidden=(5,), epochs=1, repeats=2
    )
    document = compare(options, out=str(tmp_path / "run"))
    assert [len(result["errors"]) for result in document["results"]] == [2, 2, 2, 1, 1]
    figures = read_records(tmp_path / "run").figures  # images: filters, and rows given back
    assert [figure.captions for figure in figures] == [("sparse",), ("held-out rows", "sparse")]
    assert figures[0].rows.shape == (1, 5, 4, 4)
    rows = read_arrays(tmp_path / "run" / "records.safetensors")["examples"]
    assert rows.shape[1] == 16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layers", "rbm,denoise"), "did you mean 'denoising'"),
        (("--layers", "rbm,rbm"), "each of them once"),
        (("--layers", ""), "--layers holds ''"),
        (("--repeats", 0), "--repeats"),
        (("--labels", 2), "fewer than the 3 classes"),
        (("--epochs", 0), "--epochs"),
        (("--constant", "drop"), "--constant"),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, capsys, arguments, words):
    assert cli("compare", run.parent / "a.npz", *arguments, "--out", tmp_path / "run", "--quiet") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert words in said.err
    assert not (tmp_path / "run").exists()


def test_rows_without_labels_cannot_be_judged(tmp_path):
    np.save(tmp_path / "a.npy", unit_rows(20)[0])
    with pytest.raises(LabelError, match="no labels to judge by"):
        compare(CompareOptions(str(tmp_path / "a.npy")), out=str(tmp_path / "run"))
    data = archive(tmp_path / "b.npz", N, 15, y_test=np.full(15, -1))
    with pytest.raises(LabelError, match="no labels to judge by"):
        compare(CompareOptions(str(data)), out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_runs_of_another_verb_are_told_apart(run, capsys):
    assert cli("learn", "--resume", run) == 2
    assert "begun by 'lamina compare'" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["predict", "encode", "sample"])
def test_a_comparison_keeps_no_model(run, verb, capsys):
    assert cli(verb, run, *(() if verb == "sample" else (run.parent / "a.npz",))) == 2
    assert "is a comparison, which keeps no model" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--resume",)])
def test_nothing_to_compare(capsys, arguments):
    assert cli("compare", *arguments) == 2
    assert "no data given" in capsys.readouterr().err
