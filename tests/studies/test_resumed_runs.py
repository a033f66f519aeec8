"""A run that was killed or stopped goes on with --resume and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lamina.core.storage import read_arrays, read_json
from lamina.studies.memo import Memo
from lamina.training import progress
from small_studies import SMALL, archive, cli

HERE = Path(__file__).parent
study = import_module("lamina.studies.learn")


def same(one: Path, other: Path) -> None:
    """Assert that two run folders hold the same model, choices, errors, curves and pictures."""
    for name in ("model.safetensors", "model.json", "stack/model.safetensors", "scaling.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    documents = [read_json(run / "records.json") for run in (one, other)]
    for part in ("data", "choice", "curves", "repeats", "notes", "warnings", "settings"):
        assert documents[0][part] == documents[1][part], part
    errors = [[(r["name"], r["errors"], r["what"]) for r in document["results"]] for document in documents]
    assert errors[0] == errors[1]
    stages = [[entry["stage"] for entry in document["timing"]] for document in documents]
    assert stages[0] == stages[1]
    arrays = [read_arrays(run / "records.safetensors") for run in (one, other)]
    assert arrays[0].keys() == arrays[1].keys()
    for name in arrays[0]:
        assert np.array_equal(arrays[0][name], arrays[1][name]), name
    assert lines(one) == lines(other)


def lines(run: Path) -> list[dict]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in found]


def test_killed_at_many_moments_a_run_ends_like_an_unbroken_one(tmp_path):
    data = archive(tmp_path / "rows.npz")
    paths = os.pathsep.join([str(HERE.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "learn_server.py"), str(tmp_path), str(data), "1"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    tally = json.loads((tmp_path / "tally.json").read_text())
    assert tally["done"] == 1
    assert tally["killed"] >= 3, tally  # else this test shows nothing
    same(tmp_path / "unbroken", tmp_path / "killed")
    assert (tmp_path / "killed" / "report.html").is_file()


class CtrlC:
    """Stands for the progress display: presses Ctrl-C after the first epoch of what is called ``at``."""

    at = ""

    def __init__(self, stream, title: str) -> None:
        self.title = title

    def on_epoch(self, record, epochs) -> None:
        if self.title.startswith(CtrlC.at) and record.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def _ctrl_c():
    """Python's own answer to Ctrl-C, which a shell turns off for what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("at", ["layer 2", "fine-tuning"])
def test_ctrl_c_saves_and_the_run_goes_on(tmp_path, monkeypatch, capsys, at):
    data = archive(tmp_path / "rows.npz")
    wanted = ("learn", data, "--labels", 12, "--hidden", "12,8", "--epochs", 2, "--protocol", "fine-tuned")
    assert cli(*wanted, "--out", tmp_path / "unbroken", "--quiet") == 0
    capsys.readouterr()
    monkeypatch.setattr(progress, "Progress", CtrlC)
    monkeypatch.setattr(CtrlC, "at", at)
    run = tmp_path / "stopped"
    assert cli(*wanted, "--out", run) == 130
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("lamina: stopped after step")
    assert "to go on from" in said.err
    assert said.out == ""
    assert not (run / "records.json").exists()
    assert cli("learn", "--resume", run, "--quiet") == 0
    same(tmp_path / "unbroken", run)


def test_a_finished_run_is_resumed_without_learning_anything_again(tmp_path, monkeypatch):
    data = archive(tmp_path / "rows.npz")
    wanted = ("learn", data, "--labels", 12, *SMALL, "--out", tmp_path / "run")
    assert cli(*wanted) == 0
    before = {path: load_file(path) for path in sorted((tmp_path / "run").rglob("*.safetensors"))}
    seconds = [r["seconds"] for r in read_json(tmp_path / "run" / "records.json")["results"]]

    def again(*arguments):
        raise AssertionError("done again")

    monkeypatch.setattr(study._Study, "_do", again)
    assert cli(*wanted, "--resume") == 0
    for path, arrays in before.items():  # not the bytes: the order of a file's metadata is free
        np.testing.assert_equal(load_file(path), arrays)
    assert [r["seconds"] for r in read_json(tmp_path / "run" / "records.json")["results"]] == seconds


def test_a_piece_is_done_once_and_comes_back_as_it_was(tmp_path):
    memo, calls = Memo(tmp_path), []

    def work():
        calls.append(1)
        return {"error": 0.25, "name": "é"}, {"predicted": np.arange(3)}

    for _ in range(2):
        document, arrays = memo("12-0-pca + svm", work)
        assert document == {"error": 0.25, "name": "é"}
        assert arrays["predicted"].tolist() == [0, 1, 2]
    assert calls == [1]
    memo("12-1-pca + svm", work)
    assert len(calls) == 2


def test_a_piece_that_was_half_written_is_done_again(tmp_path):
    """Arrays come first: without the document that follows them, nothing counts as done."""
    memo = Memo(tmp_path)
    memo("a", lambda: ({"n": 1}, {"x": np.zeros(2)}))
    (tmp_path / "a.json").unlink()
    assert memo("a", lambda: ({"n": 2}, {"x": np.ones(2)}))[0] == {"n": 2}


def test_without_a_folder_nothing_is_kept():
    assert Memo(None)("a", lambda: ({"n": 1}, {}))[0] == {"n": 1}
    assert Memo(None)("a", lambda: ({"n": 2}, {}))[0] == {"n": 2}
