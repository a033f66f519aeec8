"""Reading records: what is refused, and that each refusal is one line that says what to do."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import image_run, minimal_run, save_run

from lamina.core.errors import FileFormatError, RunFolderError
from lamina.report import read_records, write_report


def refused(kind: type[Exception], folder: Path, *words: str) -> None:
    """`write_report` refuses ``folder`` in one line that holds ``words``, and leaves no report behind."""
    with pytest.raises(kind) as caught:
        write_report(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    for word in words:
        assert word in message
    assert not folder.is_dir() or not list(folder.glob("*report.html*"))


def test_missing_folder(tmp_path):
    refused(RunFolderError, tmp_path / "nowhere", "does not exist")


def test_file_for_a_folder(tmp_path):
    (tmp_path / "run").write_text("x")
    refused(RunFolderError, tmp_path / "run", "is not a folder")


def test_folder_without_records(tmp_path):
    refused(RunFolderError, tmp_path, "records.json")


@pytest.mark.parametrize("part", [0, 1, 0.5, 0.99])
def test_truncated_document(tmp_path, part):
    save_run(tmp_path, image_run()[0])
    path = tmp_path / "records.json"
    words = path.read_text()
    path.write_text(words[: int(len(words) * part) if part != 1 else -1])
    refused(FileFormatError, tmp_path, "records.json", "JSON")


@pytest.mark.parametrize("content", [b"PK\x03\x04\xff\xfe", b"not json", b"[" * 100_000])
def test_document_that_is_no_json(tmp_path, content):
    (tmp_path / "records.json").write_bytes(content)
    refused(FileFormatError, tmp_path, "records.json")


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ([], "object"),
        ({}, "'data'"),
        ({"data": []}, "'data'"),
        ({"data": {"shape": [0, 3]}}, "data.shape"),
        ({"data": {"shape": ["3"]}}, "data.shape"),
        ({"data": {"classes": "abc"}}, "data.classes"),
        ({"data": {}, "results": {}}, "'results'"),
        ({"data": {}, "results": ["lamina"]}, "results[0]"),
        ({"data": {}, "results": [{"error_mean": 0.1}]}, "'name'"),
        ({"data": {}, "results": [{"name": "lamina", "error_mean": "8 %"}]}, "error_mean"),
        ({"data": {}, "results": [{"name": "lamina", "errors": [0.1, "x"]}]}, "errors"),
        ({"data": {}, "label_curve": [{"n_labels": 10}]}, "'results'"),
        ({"data": {}, "label_curve": [{"n_labels": 10, "results": [{}]}]}, "label_curve[0].results[0]"),
        ({"data": {}, "curves": [{"epochs": [1, 2], "series": {"error": [1]}}]}, "1 values for 2 epochs"),
        ({"data": {}, "curves": [{"epochs": [1], "series": {"error": ["low"]}}]}, "'low'"),
        ({"data": {}, "curves": [{"epochs": [1]}]}, "'series'"),
        ({"data": {}, "timing": [{"seconds": 3}]}, "'stage'"),
    ],
)
def test_document_of_the_wrong_form(tmp_path, document, word):
    refused(FileFormatError, save_run(tmp_path / "run", document), word)


def test_null_is_the_same_as_missing(tmp_path):
    document, _ = minimal_run()
    empty = dict.fromkeys(("results", "curves", "settings", "timing", "memory", "title", "command", "notes"))
    records = read_records(save_run(tmp_path, document | empty))
    assert records.part("results") == []
    assert records.part("memory") == {}
    assert write_report(tmp_path).exists()


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_arrays(tmp_path, kept):
    save_run(tmp_path, *image_run())
    path = tmp_path / "records.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(FileFormatError, tmp_path, "records.safetensors")


@pytest.mark.parametrize(
    ("name", "array", "word"),
    [
        ("examples", np.zeros((12, 63), np.float32), "63 columns"),
        ("filters", np.zeros((3, 65), np.float32), "65 columns"),
        ("samples", np.zeros(64, np.float32), "2 dimensions"),
        ("confusion", np.zeros((2, 2), np.int64), "classes"),
        ("mistake_true", np.zeros(4, np.int64), "4"),
        ("code_labels", np.zeros(7, np.int64), "7"),
    ],
)
def test_arrays_of_the_wrong_shape(tmp_path, name, array, word):
    document, arrays = image_run()
    refused(FileFormatError, save_run(tmp_path / "run", document, arrays | {name: array}), repr(name), word)


def test_filters_may_have_a_shape_of_their_own(tmp_path):
    document, arrays = image_run()
    document["filter_shape"] = [1, 5, 5]
    arrays["filters"] = np.ones((4, 25), np.float32)
    assert read_records(save_run(tmp_path, document, arrays)).filter_shape == (1, 5, 5)
    assert "All 4 hidden units" in write_report(tmp_path).read_text()


def test_arrays_arrive_as_saved(tmp_path):
    document, arrays = image_run()
    records = read_records(save_run(tmp_path, document, arrays))
    assert records.document == json.loads((tmp_path / "records.json").read_text())
    assert records.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(records.arrays[name], array)


def test_names_of_classes(tmp_path):
    document, _ = image_run()
    records = read_records(save_run(tmp_path, document))
    assert [records.class_name(code) for code in (0, 2, 3, -1)] == ["zero", "two", "3", "no label"]


def test_report_that_cannot_take_its_place(tmp_path):
    save_run(tmp_path, *minimal_run())
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_report(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.json", "report.html"]


def test_full_disk_leaves_the_old_report_whole(tmp_path, monkeypatch):
    save_run(tmp_path, *minimal_run())
    (tmp_path / "report.html").write_text("the old one")

    def full(self: Path, *args: object, **options: object) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        write_report(tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "report.html").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.json", "report.html"]


def test_interrupted_renaming_leaves_the_old_report_whole(tmp_path, monkeypatch):
    save_run(tmp_path, *minimal_run())
    (tmp_path / "report.html").write_text("the old one")

    def refuse(*paths: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RunFolderError, match="Permission denied"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.json", "report.html"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(tmp_path):
    save_run(tmp_path, *minimal_run())
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunFolderError, match="cannot be written"):
            write_report(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_returns_the_path_and_replaces_an_older_report(tmp_path):
    save_run(tmp_path, *minimal_run())
    (tmp_path / "report.html").write_text("the old one")
    path = write_report(str(tmp_path))
    assert path == tmp_path / "report.html"
    assert path.read_text().endswith("</html>\n")
