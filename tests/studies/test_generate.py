"""Generative models from the command line: what is left in the run folder, and drawing from it."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from lamina.core.errors import (
    DataError,
    FileFormatError,
    LabelError,
    RunFolderError,
    SettingError,
)
from lamina.core.storage import read_arrays, read_json, write_json
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.models.energy import DBM, DBN, RBM, ClassificationRBM, ConvolutionalRBM
from lamina.report import read_records
from lamina.storage import load, read_description, save
from lamina.studies import GenerateOptions, generate
from lamina.studies.apply import encode, predict, sample
from lamina.studies.generators import KINDS
from lamina.studies.sampling import draw
from small_studies import cli, image_folder, make_quick, rows, unit_rows

CLASSES = {"rbm": RBM, "classification-rbm": ClassificationRBM, "dbn": DBN, "dbm": DBM}
CLASSES |= {"convolutional-rbm": ConvolutionalRBM, "vae": VariationalAutoencoder}
HIDDEN = {"dbn": "8,6", "dbm": "8,6", "vae": "8,3"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A finished run of every kind, on images that all have a label."""
    folder = tmp_path_factory.mktemp("generative")
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch.setattr)
        images = image_folder(folder / "images", n=60, unlabelled=0)
        for kind in KINDS:
            small = ("--hidden", HIDDEN.get(kind, "8"), "--epochs", 3, "--quiet", "--out", folder / kind)
            assert cli("learn", images, "--model", kind, *small) == 0
        np.save(folder / "rows.npy", rows(60)[0])
        small = ("--hidden", "8", "--epochs", 2, "--quiet", "--out", folder / "real")
        assert cli("learn", folder / "rows.npy", "--model", "rbm", *small) == 0
    return {path.name: path for path in folder.iterdir() if path.is_dir()}


@pytest.fixture(autouse=True)
def _quick(quick, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


# what a run leaves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_holds_its_model_and_all_that_the_report_draws(runs, kind):
    run = runs[kind]
    assert type(load(run)) is CLASSES[kind]
    assert read_json(run / "settings.json")["model"] == kind
    records = read_records(run)
    assert records.kind == "generative"
    assert set(records.arrays) >= {"examples", "filters", "samples", "reconstruction_output"}
    assert records.arrays["samples"].shape == (40, 16)
    assert all(np.isfinite(array).all() for name, array in records.arrays.items() if "figure" not in name)
    assert (run / "report.html").is_file()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["epoch"] for line in lines} == {1, 2, 3}
    titles = [figure.title for figure in records.figures]
    assert ("Chains over steps" in titles) == (kind != "vae")
    assert ("From one row to another" in titles) == (kind == "vae")
    assert ("Classes on demand" in titles) == (kind in ("classification-rbm", "dbn"))
    assert ("Filled in" in titles) == (kind != "dbn")
    assert ("Likelihood while learning" in titles) == (kind in ("rbm", "classification-rbm", "dbm", "vae"))


@pytest.mark.parametrize("kind", KINDS)
def test_measures_say_what_is_known_of_each_kind(runs, kind):
    rows_ = {row["what"]: row for row in read_records(runs[kind]).part("measured")}
    assert ("error on test rows" in rows_) == (kind in ("classification-rbm", "dbn"))
    likelihoods = [what for what in rows_ if "log-likelihood, test rows" in what]
    assert len(likelihoods) == (0 if kind == "convolutional-rbm" else 1)
    for what in likelihoods:
        assert ("lower bound" in what) == (kind in ("dbn", "dbm", "vae"))
    assert 0 < rows_["squared error of a reconstruction"]["ours"] < 1


def test_real_valued_rows_get_real_valued_units(runs):
    document = read_records(runs["real"]).document
    assert document["data"]["units"] == "gaussian"
    assert "density" in document["notes"][0]
    assert document["data"]["n_labels"] == 0


def test_filled_in_rows_keep_the_upper_half(runs):
    (figure,) = [figure for figure in read_records(runs["dbm"]).figures if figure.title == "Filled in"]
    given, filled, whole = figure.rows
    assert np.isnan(given[:, 2:]).all()
    np.testing.assert_array_equal(filled[:, :2], whole[:, :2])
    assert np.isfinite(filled).all()
    assert not np.allclose(filled[:, 2:], whole[:, 2:])


def test_a_run_that_was_stopped_ends_as_an_unbroken_one(runs, tmp_path, monkeypatch):
    module = import_module("lamina.studies.generate")
    options = GenerateOptions(str(runs["rbm"].parent / "images"), "rbm", hidden=(8,), epochs=3)
    monkeypatch.setattr(module, "goodness", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        generate(options, out=str(tmp_path / "run"))
    monkeypatch.undo()
    make_quick(monkeypatch.setattr)
    document = generate(options, out=str(tmp_path / "run"), resume=True)
    whole = load(runs["rbm"])
    for name, array in load(tmp_path / "run").state_dict().items():
        assert torch.equal(array, whole.state_dict()[name])
    first, second = read_arrays(runs["rbm"] / "records.safetensors"), read_arrays(tmp_path / "run/records.safetensors")
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    assert document["measured"] == read_records(runs["rbm"]).part("measured")


def test_few_labels_teach_a_classification_machine_beside_rows_without(runs, tmp_path):
    images = runs["rbm"].parent / "images"
    options = GenerateOptions(str(images), "classification-rbm", labels=10, hidden=(8,), epochs=1)
    document = generate(options, out=str(tmp_path / "run"))
    assert document["data"]["n_labels"] == 10
    assert document["settings"]["chosen"]["weights"] == [10.0, 1.0, 1.0]
    few = GenerateOptions(str(images), "dbn", labels=10, hidden=(8, 6), epochs=1)
    assert "no label units: they need a class for every training row" in generate(few, out="dbn")["notes"]


# what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "rmb"}, SettingError, "did you mean 'rbm'"),
        ({"hidden": (8, 6)}, SettingError, "expected 1 for this kind"),
        ({"model": "dbn", "hidden": (8,)}, SettingError, "expected two or more"),
        ({"model": "convolutional-rbm"}, SettingError, "takes images"),
        ({"model": "classification-rbm"}, LabelError, "needs labels"),
        ({"labels": 0}, SettingError, "--labels is 0"),
        ({"epochs": 0}, SettingError, "--epochs is 0"),
        ({"constant": "drop"}, SettingError, "expected refuse or keep"),
        ({"device": "gpu"}, Exception, "expected cpu, cuda"),
    ],
)
def test_what_cannot_be_learnt_leaves_no_folder(tmp_path, change, error, words):
    np.save(tmp_path / "rows.npy", unit_rows(40)[0])
    options = {"data": str(tmp_path / "rows.npy"), "model": "rbm", **change}
    with pytest.raises(error, match=words):
        generate(GenerateOptions(**options), out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option", [("--repeats", 2), ("--protocol", "frozen"), ("--way", "supervised"), ("--label-curve",)]
)
def test_options_of_the_other_study_are_refused(option, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", unit_rows(40)[0])
    assert cli("learn", tmp_path / "rows.npy", "--model", "rbm", *option) == 2
    assert f"{option[0]} is for the study of labels" in capsys.readouterr().err


# the command line ---------------------------------------------------------------------------------------------------


def test_the_answer_as_json(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", unit_rows(40)[0])
    arguments = ("learn", tmp_path / "rows.npy", "--model", "rbm", "--hidden", 4, "--epochs", 1, "--quiet", "--json")
    assert cli(*arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"data", "model", "n_train", "n_labels", "n_test", "run", "measured", "seconds"}
    assert answer["run"] == "runs/rows-rbm"
    assert cli("learn", "--resume", answer["run"], "--quiet") == 0
    said = capsys.readouterr().out
    assert said.startswith("A restricted Boltzmann machine learnt from 40 rows of rows.")
    assert "log Z" in said
    assert "report: runs/rows-rbm/report.html" in said


# drawing from a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_samples_in_the_datas_own_units(runs, kind):
    drawn = draw(runs[kind], 6, steps=3)
    assert drawn.rows.shape == (6, 16)
    assert drawn.rows.dtype == np.float32
    assert drawn.shape == (1, 4, 4)
    assert 1 < drawn.rows.max() <= 255  # grey levels of the images
    assert np.array_equal(drawn.rows, sample(runs[kind], 6, steps=3))
    assert not np.array_equal(drawn.rows, sample(runs[kind], 6, steps=3, seed=1))


def test_samples_of_real_valued_rows(runs):
    drawn = sample(runs["real"], 300, steps=30)
    given = np.load(runs["real"].parent / "rows.npy")
    assert np.abs(drawn.mean(0) - given.mean(0)).max() < 3 * given.std(0).max()
    assert drawn.std() > 0.1 * given.std()


def test_classes_are_held_by_name_and_take_turns(runs, tmp_path):
    run = shutil.copytree(runs["classification-rbm"], tmp_path / "run")
    model = load(run)
    with torch.no_grad():  # three epochs have hardly told the classes apart
        model.joint.W[-2:] = 5 * torch.tensor([[1.0], [-1.0]])
    save(model, run, read_description(run)["extra"])
    rows_ = draw(run, 40, steps=20, clamp=["label=b", "label=a"]).rows
    only = draw(run, 40, steps=20, clamp=["label=b"]).rows
    assert np.array_equal(rows_[::2], only[::2])
    assert not np.array_equal(rows_[1::2], only[1::2])


def test_values_are_held_and_the_rest_filled_in(runs, tmp_path):
    holes = np.full((3, 16), np.nan)
    holes[:, :8] = np.arange(24).reshape(3, 8) * 10
    np.save(tmp_path / "holes.npy", holes)
    for kind in ("rbm", "dbm", "classification-rbm", "convolutional-rbm"):
        filled = draw(runs[kind], steps=4, clamp=[str(tmp_path / "holes.npy")]).rows
        np.testing.assert_allclose(filled[:, :8], holes[:, :8], atol=1e-4)
        assert np.isfinite(filled).all()
        assert len(draw(runs[kind], 6, steps=2, clamp=[str(tmp_path / "holes.npy")]).rows) == 6


@pytest.mark.parametrize(
    ("kind", "clamp", "error", "words"),
    [
        ("dbm", ["label=a"], SettingError, "has no label units"),
        ("rbm", ["label=a"], SettingError, "has no label units"),
        ("dbn", ["label=c"], SettingError, "no class is called that; .*known: a, b"),
        ("dbn", ["holes.npy"], SettingError, "goes downward only"),
        ("rbm", ["7"], SettingError, "expected label=CLASS, or a .npy file"),
        ("rbm", ["holes.npy", "holes.npy"], SettingError, "names 2 files"),
        ("rbm", ["narrow.npy"], DataError, r"expected numbers \(rows, 16\)"),
        ("rbm", ["infinite.npy"], DataError, "infinite"),
        ("rbm", ["broken.npy"], FileFormatError, "cannot be read"),
    ],
)
def test_what_cannot_be_held(runs, tmp_path, kind, clamp, error, words):
    np.save(tmp_path / "holes.npy", np.full((2, 16), np.nan))
    np.save(tmp_path / "narrow.npy", np.zeros((2, 3)))
    np.save(tmp_path / "infinite.npy", np.full((2, 16), np.inf))
    (tmp_path / "broken.npy").write_bytes(b"no array")
    with pytest.raises(error, match=words):
        draw(runs[kind], clamp=clamp)


def test_numbers_of_rows_must_fit_what_is_held(runs, tmp_path):
    np.save(tmp_path / "holes.npy", np.full((4, 16), np.nan))
    with pytest.raises(SettingError, match="expected a multiple of 4"):
        draw(runs["rbm"], 6, clamp=["holes.npy"])
    for options, words in (({"n": 0}, "-n is 0"), ({"steps": 0}, "--steps is 0"), ({"seed": -1}, "--seed is -1")):
        with pytest.raises(SettingError, match=words):
            draw(runs["rbm"], **options)


def test_layers_of_learn_hold_nothing(finished):
    with pytest.raises(SettingError, match="expected a run with --model"):
        draw(finished["images"].run, clamp=["label=a"])


def test_the_command_draws_a_picture_of_a_class(runs, capsys):
    assert cli("sample", runs["dbn"], "--clamp", "label=a", "-n", 4, "--steps", 3, "--grid", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"out": "samples.png", "shape": [4, 16]}
    assert Path("samples.png").is_file()
    assert cli("sample", runs["dbm"], "--clamp", "label=a") == 2
    assert "no label units" in capsys.readouterr().err


# other uses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification-rbm", "dbn"])
def test_models_that_know_classes_predict_them(runs, kind):
    answer = predict(runs[kind], str(runs[kind].parent / "images"))
    assert set(answer["predicted"]) <= {"a", "b"}
    np.testing.assert_allclose(answer["probabilities"].sum(1), 1, atol=1e-5)
    assert 0 <= answer["error"] <= 1


def test_models_without_classes_refuse(runs):
    with pytest.raises(SettingError, match="cannot predict classes"):
        predict(runs["dbm"], str(runs["dbm"].parent / "images"))


@pytest.mark.parametrize(("kind", "width"), [("rbm", 8), ("classification-rbm", 8), ("dbn", 6), ("vae", 3)])
def test_codes_of_generative_models(runs, kind, width):
    codes = encode(runs[kind], str(runs[kind].parent / "images"))
    assert codes.shape == (60, width)
    assert ((codes >= 0) & (codes <= 1)).all() == (kind != "vae")  # whose codes are real


def test_models_without_codes_refuse(runs):
    with pytest.raises(SettingError, match="gives no codes"):
        encode(runs["dbm"], str(runs["dbm"].parent / "images"))


# a recipe's run -----------------------------------------------------------------------------------------------------


def recipe_run(folder: Path) -> Path:
    write_json(folder / "settings.json", {"recipe": "someone1985_machine", "quick": True})
    save(RBM(9, 3), folder / "stages" / "machine")
    save(DBN([6, 4, 3], 2), folder / "stages" / "network", {"shape": [1, 2, 3], "classes": ["no", "yes"]})
    return folder


def test_recipes_draw_from_their_stages(tmp_path):
    run = recipe_run(tmp_path / "run")
    drawn = draw(run, 5, steps=2, clamp=["label=yes"], stage="network")
    assert drawn.rows.shape == (5, 6)
    assert drawn.shape == (1, 2, 3)
    machine = draw(run, 5, steps=2, stage="machine")
    assert machine.shape == (1, 3, 3)  # nine values are a square
    assert ((machine.rows >= 0) & (machine.rows <= 1)).all()


def test_stages_that_are_not_there(tmp_path, runs):
    run = recipe_run(tmp_path / "run")
    with pytest.raises(SettingError, match="did you mean 'machine'"):
        draw(run, 2, stage="machines")
    with pytest.raises(SettingError, match="is no run of a recipe"):
        draw(runs["rbm"], 2, stage="machine")
    write_json(tmp_path / "empty" / "settings.json", {"recipe": "x"})
    with pytest.raises(RunFolderError, match="no model to draw from"):
        draw(tmp_path / "empty", 2)
