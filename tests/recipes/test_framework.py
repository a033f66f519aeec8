"""The framework of recipes: what is kept of a run, going on with one that was stopped, and the catalogue."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.resources import files

import numpy as np
import pytest
import torch

import recipes_demo
from lamina.core.errors import (
    DataError,
    FileFormatError,
    RunFolderError,
    SettingError,
    UnknownNameError,
)
from lamina.core.figures import Images, Lines, pack, unpack
from lamina.core.storage import read_json, write_json
from lamina.models import RBM
from lamina.recipes import Context, Measured, Outcome, catalogue, find, reproduce
from lamina.recipes.clock import Clock
from lamina.recipes.reproduce import begun_last, beside_published, settings_of
from lamina.report.records import read_records

ROW = {"what", "published", "ours", "sd", "unit", "higher_is_better"}


@pytest.fixture
def demo(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return recipes_demo.install(monkeypatch)


# records ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"ours": float("nan")}, {"ours": float("inf")}, {"ours": 1.0, "sd": -0.1}, {"ours": 1.0, "sd": np.nan}]
)
def test_what_was_not_measured_is_refused(fields):
    with pytest.raises(DataError, match="leave out what could not be measured"):
        Measured("error", **fields)


def test_an_outcome_without_results_is_refused():
    with pytest.raises(DataError, match="measured nothing"):
        Outcome([], [], [0])


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4), (2, 3, 4, 4, 1)])
def test_pictures_of_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match="n_rows, n_columns, height, width"):
        Images("x", np.zeros(shape))


def test_captions_must_be_as_many_as_rows():
    with pytest.raises(DataError, match="3 captions for 2 rows"):
        Images("x", np.zeros((2, 5, 4, 4)), ("a", "b", "c"))


@pytest.mark.parametrize("series", [{}, {"a": ([1, 2], [1])}, {"a": ([], [])}, {"a": ([1],)}])
def test_curves_need_columns_of_one_length(series):
    with pytest.raises(DataError, match="expected"):
        Lines("x", "epoch", "nats", series)


def test_figures_come_back_as_they_went():
    documents, arrays = pack(recipes_demo.FIGURES)
    back = unpack(json.loads(json.dumps(documents)), arrays)
    for given, found in zip(recipes_demo.FIGURES, back, strict=True):
        assert type(found) is type(given)
        assert (found.title, found.note) == (given.title, given.note)
        if isinstance(given, Images):
            np.testing.assert_array_equal(found.rows, given.rows.astype(np.float32))
            assert (found.captions, found.signed) == (given.captions, given.signed)
        else:
            assert (found.log_x, found.log_y) == (given.log_x, given.log_y)
            assert list(found.series) == list(given.series)
            for name, columns in given.series.items():
                np.testing.assert_array_equal(np.asarray(found.series[name]), np.asarray(columns, float))


def test_figures_whose_array_is_gone_are_refused():
    documents, _ = pack(recipes_demo.FIGURES)
    with pytest.raises(DataError, match="missing or garbled"):
        unpack(documents, {})
    with pytest.raises(DataError, match="expected images, lines, nets or points"):
        unpack([{"kind": "pie", "title": "", "note": ""}], {})


# context ------------------------------------------------------------------------------------------------------------


def test_values_are_made_once(tmp_path):
    made = []
    for _ in range(2):
        value = Context(tmp_path).keep("a / b", lambda: made.append(1) or {"x": (1, 2.5), "y": np.float32(0.5)})
        assert value == {"x": [1, 2.5], "y": 0.5}
    assert made == [1]


def test_models_are_made_once_and_come_back_as_they_were(tmp_path):
    made = [RBM(5, 3, random_state=1)]
    given = made[0].W.detach().clone()
    first = Context(tmp_path).model("machine", made.pop, {"shape": [1, 1, 5]})
    second = Context(tmp_path).model("machine", made.pop)  # an empty list would raise
    for model in (first, second):
        assert torch.equal(model.W, given)
    assert read_json(tmp_path / "stages" / "machine" / "model.json")["extra"] == {"shape": [1, 1, 5]}


def test_stages_are_folders_of_their_own(tmp_path):
    context = Context(tmp_path)
    assert context.stage("layer 1").is_dir()
    assert context.stage("layer 1") != context.stage("layer 2")
    with pytest.raises(SettingError, match="expected letters or digits"):
        context.stage("..")


def test_progress_goes_where_it_is_asked_for(tmp_path):
    said, titles = [], []
    context = Context(tmp_path, say=said.append, listener=lambda title: titles.append(title) or "bar")
    context.say("half way")
    clock, chart, bar = context.callbacks("layer 1")
    assert (clock, chart.stage, bar) == (context.clock, "layer 1", "bar")
    assert (said, titles) == (["half way"], ["layer 1"])
    assert Context(tmp_path).callbacks("layer 1")[0].on_epoch(None, 3) is None


def test_time_adds_up_over_the_parts_of_a_run(tmp_path):
    path = tmp_path / "clock.json"
    write_json(path, {"seconds": 100.0})
    clock = Clock(path)
    time.sleep(0.01)
    clock.save()
    assert 100.01 <= read_json(path)["seconds"] < 110
    assert Clock(path).seconds >= 100.01


# a run --------------------------------------------------------------------------------------------------------------


def test_a_run_leaves_all_that_is_promised(demo):
    answer = reproduce(recipes_demo.NAME, seed=3, command="lamina reproduce")
    assert set(answer) >= {"recipe", "results", "deviations", "seconds", "seeds", "run", "quick", "environment"}
    assert answer["recipe"] == recipes_demo.NAME
    assert answer["seeds"] == [3]
    assert answer["deviations"] == ["half the epochs"]
    assert answer["notes"] == ["seed 3", "full"]
    assert answer["run"] == f"runs/{recipes_demo.NAME}"
    for row in answer["results"]:
        assert set(row) >= ROW
    first, second = answer["results"]
    assert (first["published"], first["read"], first["source"]) == (-86.34, "memory", "Table 1")
    assert second["published"] == 1.2
    assert "read" not in second
    records = read_records(answer["run"])
    assert records.kind == "recipe"
    assert len(records.figures) == len(recipes_demo.FIGURES)
    assert records.document["about"] == "What is shown here: <nothing>."
    assert json.loads((records.folder / "settings.json").read_text()) == {
        "recipe": recipes_demo.NAME,
        "quick": False,
        "seed": 3,
        "device": None,
    }


def test_what_the_recipe_says_itself_comes_before_the_file():
    rows = beside_published([Measured("a", 1.0, published=2.0)], [{"what": "a", "published": 3.0, "read": "source"}])
    assert rows[0]["published"] == 2.0
    assert rows[0]["read"] == "source"


def test_a_run_that_was_stopped_goes_on(demo):
    demo.stop_at = "last"
    with pytest.raises(KeyboardInterrupt):
        reproduce(recipes_demo.NAME, quick=True)
    assert demo.made == ["first", "machine"]
    demo.stop_at = ""
    answer = reproduce(recipes_demo.NAME, quick=True, resume=True)
    assert demo.made == ["first", "machine", "last"]
    assert answer["run"] == f"runs/{recipes_demo.NAME}-quick"
    again = reproduce(recipes_demo.NAME, quick=True, resume=True)
    assert demo.made == ["first", "machine", "last"]
    assert again == answer


def test_a_second_run_gets_a_folder_of_its_own_and_is_the_one_to_resume(demo):
    first = reproduce(recipes_demo.NAME)["run"]
    second = reproduce(recipes_demo.NAME)["run"]
    assert (first, second) == (f"runs/{recipes_demo.NAME}", f"runs/{recipes_demo.NAME}-2")
    assert begun_last(recipes_demo.NAME) == second
    assert reproduce(recipes_demo.NAME, resume=True)["run"] == second


def test_resuming_with_other_settings_is_refused(demo):
    reproduce(recipes_demo.NAME)
    with pytest.raises(RunFolderError, match="other settings \\(seed\\)"):
        reproduce(recipes_demo.NAME, seed=1, resume=True)


def test_nothing_to_resume(demo):
    with pytest.raises(RunFolderError, match="no run to resume"):
        reproduce(recipes_demo.NAME, resume=True)


def test_settings_of_a_run(demo, tmp_path):
    folder = reproduce(recipes_demo.NAME, quick=True)["run"]
    assert settings_of(folder) == {"name": recipes_demo.NAME, "quick": True, "seed": 0, "device": None}
    write_json(tmp_path / "other" / "settings.json", {"data": "digits"})
    with pytest.raises(RunFolderError, match="lamina learn"):
        settings_of(tmp_path / "other")


def test_an_existing_folder_is_kept_unless_told(demo, tmp_path):
    reproduce(recipes_demo.NAME, out=str(tmp_path / "run"))
    with pytest.raises(RunFolderError, match="--overwrite"):
        reproduce(recipes_demo.NAME, out=str(tmp_path / "run"))
    assert reproduce(recipes_demo.NAME, out=str(tmp_path / "run"), overwrite=True, seed=2)["seeds"] == [2]


def test_altered_records_are_refused(demo):
    folder = reproduce(recipes_demo.NAME)["run"]
    document = read_json(records := read_records(folder).folder / "records.json")
    document["figures"][0]["array"] = "elsewhere"
    write_json(records, document)
    with pytest.raises(FileFormatError, match="missing or garbled"):
        read_records(folder)


# the catalogue ------------------------------------------------------------------------------------------------------


def test_unknown_recipes_get_the_nearest_names():
    with pytest.raises(UnknownNameError, match="did you mean 'hopfield1982_capacity'"):
        find("hopfield1984")


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_recipe_of_the_table_is_whole(name):
    entry = find(name)
    assert name == entry.module.NAME
    assert entry.title
    assert entry.paper
    assert len(entry.about) > 80
    assert callable(entry.module.run)
    for row in entry.published:
        assert set(row) >= {"what", "published", "source", "read"}
        assert row["read"] in ("source", "memory")


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_recorded_results_are_full_runs_and_keep_the_contract(name):
    recorded = find(name).recorded
    if recorded is None:
        pytest.skip(f"{name}: no results recorded")
    assert recorded["recipe"] == name
    assert recorded["quick"] is False
    assert recorded["results"]
    for row in recorded["results"]:
        assert set(row) >= ROW
        assert np.isfinite(row["ours"])


def test_every_folder_of_a_recipe_is_in_the_table():
    folders = {path.name for path in files("lamina.recipes").iterdir() if path.joinpath("recipe.py").is_file()}
    assert folders <= set(catalogue.NAMES)


def test_the_framework_loads_no_recipe_until_it_is_asked_for():
    code = "import sys, lamina.recipes; print([name for name in sys.modules if name.endswith('.recipe')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
