"""Files that are whole or absent."""

from __future__ import annotations

import json
import os
import signal
import stat

import numpy as np
import pytest

from lamina.core import storage
from lamina.core.errors import FileFormatError, RunFolderError


def test_an_exception_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    storage.write_bytes(path, b"old")

    def fail(*arguments):
        raise KeyboardInterrupt

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(KeyboardInterrupt):
                storage.write_bytes(path, b"new")
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path, function):
    path = tmp_path / "x.bin"
    storage.write_bytes(path, b"old")
    child = os.fork()
    if child == 0:
        setattr(os, function, lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
        storage.write_bytes(path, b"new" * 100_000)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_the_content_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (calls.append("fsync"), fsync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    storage.write_bytes(tmp_path / "deep" / "x", b"1")
    assert calls == ["fsync", "replace"]
    assert stat.S_IMODE((tmp_path / "deep" / "x").stat().st_mode) == 0o644


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot write") as caught:
        storage.write_bytes(tmp_path / "file" / "below", b"1")
    assert "\n" not in str(caught.value)


def test_json_of_what_runs_hold(tmp_path):
    document = {"a": np.float32(0.5), 1: (np.int64(2), None), "n": float("nan"), "x": np.arange(2), "t": np.bool_(True)}
    storage.write_json(tmp_path / "d.json", {**document, "p": tmp_path})
    expected = {"a": 0.5, "1": [2, None], "n": None, "x": [0, 1], "t": True, "p": str(tmp_path)}
    assert storage.read_json(tmp_path / "d.json") == expected


def test_json_that_is_missing_truncated_or_something_else(tmp_path):
    with pytest.raises(FileFormatError, match="missing"):
        storage.read_json(tmp_path / "none.json")
    for content in (json.dumps({"a": [1, 2]}).encode()[:-2], b"\xff\xfe\x00", b""):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(FileFormatError, match="cannot be read as JSON"):
            storage.read_json(tmp_path / "bad.json")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_arrays_come_back_as_they_were(tmp_path, dtype):
    array = (np.arange(12).reshape(3, 4) * 1.5).astype(dtype)
    storage.write_arrays(tmp_path / "a.safetensors", {"x": array.T, "empty": array[:0]})
    found = storage.read_arrays(tmp_path / "a.safetensors")
    assert found["x"].dtype == dtype
    assert np.array_equal(found["x"], array.T)
    assert found["empty"].shape == (0, 4)


def test_arrays_that_are_missing_truncated_or_something_else(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileFormatError, match="missing"):
        storage.read_arrays(path)
    storage.write_arrays(path, {"x": np.zeros((20, 20))})
    whole = path.read_bytes()
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:4], b"", b"PK\x03\x04" + whole, b"\x80\x04\x95" * 9):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="truncated or was altered"):
            storage.read_arrays(path)


def test_only_a_run_folder_is_overwritten(tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        storage.new_folder(folder)
        storage.new_folder(folder)  # empty: nothing to lose
        (folder / "precious").write_text("1")
        with pytest.raises(RunFolderError, match="exists already"):
            storage.new_folder(folder)
    (run / "settings.json").write_text("{}")
    storage.new_folder(run, overwrite=True)
    assert os.listdir(run) == []
    with pytest.raises(RunFolderError, match="not a run folder"):
        storage.new_folder(other, overwrite=True)
    assert (other / "precious").exists()
