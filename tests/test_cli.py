"""The command line: buttons that print the right thing, and one clear line where something cannot be used."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lamina
from lamina import cli as module
from lamina.core import errors
from lamina.core.storage import read_json
from lamina.training.layer_kinds import KINDS
from small_studies import CLASSES, SMALL, archive, cli, image_folder, labelled_table, rows, unit_rows, write_table

VERBS = sorted(module.VERBS)
ANSWER = {"data", "n_train", "n_labels", "n_test", "repeats", "run", "results"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, quick):
    """Nothing is written beside the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAMINA_DATA", str(tmp_path / "sets"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def leaves(*arguments: object) -> int:
    """Exit status, whether returned or raised by the parser."""
    try:
        return cli(*arguments)
    except SystemExit as left:
        return int(left.code or 0)


def one_line(capsys) -> str:
    """The only line on standard error; nothing may be on standard output."""
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.strip()]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("lamina: ")
    assert "Traceback" not in said.err
    assert said.out == ""
    return lines[0]


# help and parsing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb, capsys):
    assert leaves(verb, "--help") == 0
    said = capsys.readouterr().out
    assert "example:" in said
    assert f"\n  lamina {verb}" in said
    for option in ("--json", "--seed", "--device"):
        assert option in said


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_can_be_typed(verb):
    for line in module.VERBS[verb][1].splitlines():
        words = shlex.split(line)
        assert words[:2] == ["lamina", verb]
        module._parser().parse_args(words[1:])


def test_help_of_the_command_names_every_verb(capsys):
    assert leaves("--help") == 0
    said = capsys.readouterr().out
    for verb in VERBS:
        assert verb in said
    assert "lamina learn digits --labels 100" in said


def test_version(capsys):
    assert leaves("--version") == 0
    assert capsys.readouterr().out == f"lamina {lamina.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "VERB"),
        (["lern", "digits"], "lern"),
        (["learn", "digits", "--label-count", "3"], "--label-count"),
        (["learn", "digits", "--labels", "few"], "expected a number of labels or 'all'"),
        (["learn", "digits", "--hidden", "500;500"], "expected layer sizes such as 500,500,2000"),
        (["learn", "digits", "--hidden", ""], "expected layer sizes"),
        (["learn", "digits", "--epochs", "1.5"], "--epochs"),
        (["learn", "digits", "--seed", "x"], "--seed"),
        (["predict", "run"], "data"),
        (["sample", "run", "-n", "many"], "-n"),
        (["bench", "everything"], "rbm"),
    ],
)
def test_what_cannot_be_parsed(arguments, words, capsys):
    assert leaves(*arguments) == 2
    line = one_line(capsys)
    assert words in line
    assert "--help" in line


def test_layer_sizes():
    sizes = module._parser().parse_args(["learn", "digits", "--hidden", "500,500,2000"]).hidden
    assert sizes == (500, 500, 2000)
    assert module._parser().parse_args(["learn", "digits", "--hidden", "7"]).hidden == (7,)
    assert module._parser().parse_args(["learn", "digits"]).hidden is None


# learn --------------------------------------------------------------------------------------------------------------


def test_learn_prints_one_object_with_the_agreed_keys(tmp_path, capsys):
    data = archive(tmp_path / "rows.npz")
    assert cli("learn", data, "--labels", 12, *SMALL, "--out", "run", "--json") == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert set(answer) == ANSWER
    assert {k: answer[k] for k in ANSWER - {"results"}} == {
        "data": "rows",
        "n_train": 90,
        "n_labels": 12,
        "n_test": 30,
        "repeats": 1,
        "run": "run",
    }
    names = ["lamina", "frozen features", "without pre-training", "logistic regression", "pca + svm"]
    assert [result["name"] for result in answer["results"]] == names
    for result in answer["results"]:
        assert set(result) == {"name", "error_mean", "error_sd", "seconds"}
        assert 0 <= result["error_mean"] <= 1
        assert isinstance(result["error_sd"], float)
        assert result["seconds"] > 0
    assert said.err == ""


def test_learn_prints_a_table_and_where_the_report_is(tmp_path, capsys):
    X, y = unit_rows(90)
    data = archive(tmp_path / "rows.npz", X_test=np.vstack([X[:3], unit_rows(27, seed=5)[0]]))
    assert cli("learn", data, "--labels", 12, "--protocol", "frozen", *SMALL, "--out", "run") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("rows: 90 rows to learn from, 12 labels, 30 test rows; bernoulli units")
    assert [line[:24].strip() for line in lines[2:5]] == ["frozen features", "logistic regression", "pca + svm"]
    assert lines[-1] == f"report: {Path('run') / 'report.html'}"
    assert "warning: 3 test row(s) equal a training row" in said.err
    shown = float(lines[3].split()[2])
    result = read_json(tmp_path / "run" / "records.json")["results"][1]
    assert shown == pytest.approx(100 * result["error_mean"], abs=0.005)
    assert y.max() == 2


def test_learn_without_labels_says_so(tmp_path, capsys):
    np.save("rows.npy", unit_rows(40)[0])
    assert cli("learn", "rows.npy", *SMALL, "--out", "run") == 0
    assert "no labels: layers learnt" in capsys.readouterr().out
    assert cli("learn", "rows.npy", *SMALL, "--out", "other", "--json") == 0
    assert json.loads(capsys.readouterr().out)["results"] == []


def test_progress_is_on_standard_error(tmp_path, capsys):
    np.save("rows.npy", unit_rows(40)[0])
    assert cli("learn", "rows.npy", "--hidden", "5", "--epochs", 2, "--out", "run", "--json") == 0
    said = capsys.readouterr()
    assert "layer 1: 6-5: epoch 2/2" in said.err
    assert len(said.out.splitlines()) == 1


def test_learn_reads_a_label_file_a_test_share_and_groups(tmp_path, capsys):
    X, y = unit_rows(60)
    np.save("rows.npy", X)
    np.save("subjects.npy", np.arange(60) // 6)
    Path("labels.txt").write_text("\n".join(CLASSES[k][:3] for k in y) + "\n")
    options = ("--label", "labels.txt", "--groups", "subjects.npy", "--test", "0.3", "--protocol", "scratch")
    assert cli("learn", "rows.npy", *options, *SMALL, "--out", "run", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["n_test"] % 6 == 0  # whole groups
    assert answer["n_train"] + answer["n_test"] == 60
    assert answer["n_labels"] == answer["n_train"]


# bad input ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    """A mistake: the arguments, the exception it raises and words of the line that is printed."""

    arguments: tuple
    error: type
    words: tuple[str, ...]
    before: tuple[str, ...] = field(default=())


def saved(name: str, array: np.ndarray) -> str:
    np.save(name, array)
    return name


def cut(name: str, share: float = 0.6) -> str:
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: int(len(content) * share)])
    return name


def text(name: str, content: str | bytes = "this is no such file\n") -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def with_value(value: float) -> str:
    X = rows(20)[0]
    X[[4, 9], 3] = value
    return saved("rows.npy", X)


def constant() -> str:
    X = rows(20)[0]
    X[:, 2] = 7
    return str(write_table(Path("rows.csv"), X))


def labelled(labels: list[str], n: int = 30) -> str:
    return str(write_table(Path("rows.csv"), rows(n)[0], {"label": labels}))


def abc(n: int = 30) -> str:
    return labelled(list("abc") * (n // 3), n)


def npz(**arrays: np.ndarray) -> str:
    return str(archive(Path("rows.npz"), **arrays))


def parquet() -> str:
    import pandas

    pandas.DataFrame(rows(30)[0], columns=list("abcdef")).to_parquet("rows.parquet")
    return "rows.parquet"


def broken_image(content: bytes | None) -> str:
    """A folder of images of which one is ``content``, or cut short."""
    image_folder(Path("images"), 8, 0)
    file = next(Path("images", "a").iterdir())
    if content is None:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save("big.png")
        Path("images").joinpath("a", "000.png").write_bytes(Path(cut("big.png")).read_bytes())
        for other in Path("images").rglob("*.png"):
            if other.name != "000.png":
                Image.new("L", (64, 64)).save(other)
    file.write_bytes(file.read_bytes() if content is None else content)
    return "images"


def odd_sizes() -> str:
    image_folder(Path("images"), 8, 0)
    Image.new("L", (9, 5)).save("images/b/odd.png")
    return "images"


def old_run(name: str = "run") -> str:
    Path(name).mkdir()
    Path(name, "settings.json").write_text("{}")
    Path(name, "model.json").write_text("precious")
    return name


def precious() -> str:
    Path("run").mkdir()
    Path("run", "thesis.txt").write_text("years")
    return "run"


def wrong_checksum() -> str:
    Path("sets", "usps").mkdir(parents=True)
    for name in ("zip.train.gz", "zip.test.gz"):
        Path("sets", "usps", name).write_bytes(b"another file")
    return "usps"


E = errors
LEARN = {
    "nan": lambda: Bad((with_value(np.nan),), E.DataError, ("2 NaN", "4, 9", "column(s) 3", "drop those rows")),
    "infinity": lambda: Bad((with_value(np.inf),), E.DataError, ("infinite", "4, 9", "column(s) 3")),
    "nan in a table": lambda: Bad((text("a.csv", "a,b\n1,2\n,3\n4,5\n"),), E.DataError, ("NaN", "row(s) 1")),
    "number beyond float32": lambda: Bad((text("a.csv", "a,b\n1,2\n1e300,3\n4,5\n"),), E.DataError, ("infinite",)),
    "constant column": lambda: Bad((constant(),), E.DataError, ("constant", "(f2)", "--constant keep")),
    "nothing but constants": lambda: Bad((saved("a.npy", np.ones((9, 3))),), E.DataError, ("constant", "right file")),
    "bernoulli beyond 1": lambda: Bad(
        (saved("a.npy", 255 * unit_rows(9)[0]), "--units", "bernoulli"), E.DataError, ("[0, 1]", "divide by")
    ),
    "test rows in another unit": lambda: Bad(
        (npz(X_test=255 * unit_rows(30)[0]), "--labels", 9), E.DataError, ("test rows", "same unit")
    ),
    "empty file": lambda: Bad((text("a.csv", ""),), E.FileFormatError, ("empty",)),
    "heading alone": lambda: Bad((text("a.csv", "a,b\n"),), E.FileFormatError, ("no rows",)),
    "empty array": lambda: Bad((saved("a.npy", np.zeros((0, 4))),), E.FileFormatError, ("empty",)),
    "no feature": lambda: Bad((saved("a.npy", np.zeros((4, 0))),), E.FileFormatError, ("empty",)),
    "one row": lambda: Bad((saved("a.npy", np.array([[0.1, 0.2]])),), E.DataError, ("1 row(s)", "at least 2")),
    "one class": lambda: Bad((labelled(["a"] * 30),), E.LabelError, ("one class", "'a'")),
    "fewer labels than classes": lambda: Bad((abc(), "--labels", 2), E.LabelError, ("fewer", "3 classes")),
    "more labels than there are": lambda: Bad((abc(), "--labels", 999), E.LabelError, ("labels=999", "only")),
    "labels without a column": lambda: Bad(
        (saved("a.npy", unit_rows(9)[0]), "--labels", 3), E.LabelError, ("no labels", "--label")
    ),
    "label the training rows lack": lambda: Bad(
        (npz(y_test=np.arange(30) % 4),), E.LabelError, ("3", "classes of the training part")
    ),
    "fractions as labels": lambda: Bad((npz(y=np.linspace(0, 1, 90)),), E.LabelError, ("not whole numbers",)),
    "too few labels": lambda: Bad((npz(y=np.arange(7)),), E.LabelError, ("90 rows", "(7,)")),
    "test part of another shape": lambda: Bad((npz(X_test=np.ones((30, 5))),), E.DataError, ("(5,)", "(6,)")),
    "truncated npy": lambda: Bad((cut(saved("a.npy", unit_rows(40)[0])),), E.FileFormatError, ("a.npy",)),
    "truncated npz": lambda: Bad((cut(npz()),), E.FileFormatError, ("rows.npz",)),
    "truncated csv": lambda: Bad((cut(abc(), 0.99),), E.FileFormatError, ("rows.csv", "ends too early")),
    "truncated parquet": lambda: Bad((cut(parquet()),), E.FileFormatError, ("rows.parquet",)),
    "no npy": lambda: Bad((text("a.npy"),), E.FileFormatError, ("a.npy",)),
    "no npz": lambda: Bad((text("a.npz"),), E.FileFormatError, ("a.npz",)),
    "no csv": lambda: Bad((text("a.csv", b"PK\x03\x04\0\0"),), E.FileFormatError, ("a.csv", "not text")),
    "no parquet": lambda: Bad((text("a.parquet"),), E.FileFormatError, ("a.parquet",)),
    "pickled objects": lambda: Bad(
        (saved("a.npy", np.array([{"a": 1}, None], dtype=object)),), E.FileFormatError, ("never unpickled",)
    ),
    "no image": lambda: Bad((broken_image(b"no image"),), E.FileFormatError, (".png", "image")),
    "truncated image": lambda: Bad((broken_image(None),), E.FileFormatError, ("000.png", "whole image")),
    "images of two sizes": lambda: Bad((odd_sizes(),), E.DataError, ("9x5", "one size")),
    "folder without images": lambda: Bad((precious(),), E.FileFormatError, ("no images",)),
    "ragged table": lambda: Bad((text("a.csv", "a,b\n1,2\n3,4,5\n6,7\n"),), E.FileFormatError, ("a.csv",)),
    "text in a column": lambda: Bad((text("a.csv", "a,b\n1,x\n2,y\n3,z\n"),), E.DataError, ("'b'", "no number")),
    "unknown kind of file": lambda: Bad((text("a.doc"),), E.FileFormatError, ("a.doc", ".csv")),
    "missing file": lambda: Bad(("nothing.csv",), E.DataError, ("nothing.csv", "no such file")),
    "unknown name": lambda: Bad(("mnits",), E.UnknownNameError, ("'mnits'", "did you mean 'mnist'")),
    "a name too long for a file": lambda: Bad(("x" * 300,), OSError, ("name",)),
    "wrong checksum": lambda: Bad((wrong_checksum(),), E.FileFormatError, ("zip.train.gz",)),
    "unknown label column": lambda: Bad((abc(), "--label", "lable"), E.DataError, ("'lable'", "label")),
    "unknown group column": lambda: Bad((abc(), "--groups", "f9"), E.DataError, ("'f9'",)),
    "one group": lambda: Bad(
        (str(write_table(Path("a.csv"), rows(9)[0], {"label": list("abc") * 3, "g": ["x"] * 9})), "--groups", "g"),
        E.DataError,
        ("one group",),
    ),
    "label column of a named set": lambda: Bad(("digits", "--label", "y"), E.SettingError, ("--label", "digits")),
    "test share": lambda: Bad((abc(), "--test", "1.5"), E.SettingError, ("1.5", "fraction")),
    "test file missing": lambda: Bad((abc(), "--test", "none.csv"), E.DataError, ("none.csv",)),
    "test file is the training file": lambda: Bad((abc(), "--test", "rows.csv"), E.SettingError, ("training file",)),
    "protocol": lambda: Bad((abc(), "--protocol", "frozn"), E.SettingError, ("did you mean 'frozen'",)),
    "way": lambda: Bad((abc(), "--way", "spreading"), E.SettingError, ("did you mean 'label spreading'",)),
    "units": lambda: Bad((abc(), "--units", "relu"), E.SettingError, ("relu", "bernoulli")),
    "constant": lambda: Bad((abc(), "--constant", "drop"), E.SettingError, ("drop", "keep")),
    "repeats": lambda: Bad((abc(), "--repeats", 0), E.SettingError, ("--repeats",)),
    "seed": lambda: Bad((abc(), "--seed", -1), E.SettingError, ("--seed",)),
    "labels": lambda: Bad((abc(), "--labels", 0), E.SettingError, ("--labels",)),
    "hidden": lambda: Bad((abc(), "--hidden", "5,0"), E.SettingError, ("--hidden",)),
    "epochs": lambda: Bad((abc(), "--epochs", 0), E.SettingError, ("--epochs",)),
    "unknown device": lambda: Bad((abc(), "--device", "gpu"), E.DeviceError, ("'gpu'", "cuda")),
    "no data": lambda: Bad((), E.SettingError, ("no data given",)),
    "existing run": lambda: Bad((abc(), "--out", old_run()), E.RunFolderError, ("--overwrite", "--resume"), ("run",)),
    "overwriting no run": lambda: Bad(
        (abc(), "--overwrite", "--out", precious()), E.RunFolderError, ("not be overwritten",), ("run",)
    ),
    "a file in the way": lambda: Bad((abc(), "--out", "rows.csv"), E.RunFolderError, ("rows.csv",)),
    "unwritable": lambda: Bad((abc(), "--out", "rows.csv/run"), E.RunFolderError, ("cannot write", "--out")),
    "resuming nothing": lambda: Bad((abc(), "--resume", "--out", "nowhere"), E.RunFolderError, ("no run folder",)),
    "resuming by folder and data": lambda: Bad((abc(), "--resume", "x"), E.SettingError, ("no data beside it",)),
    "resuming without a folder": lambda: Bad((abc(), "--resume"), E.SettingError, ("--resume RUN",)),
    "resuming other settings": lambda: Bad(
        (abc(), "--resume", "--out", old_run()), E.RunFolderError, ("other settings",), ("run",)
    ),
}


@pytest.fixture
def raised(monkeypatch) -> list[BaseException]:
    """What `main` turned into a line."""
    found: list[BaseException] = []
    original = module._one_line
    monkeypatch.setattr(module, "_one_line", lambda error: found.append(error) or original(error))
    return found


@pytest.mark.parametrize("name", LEARN)
def test_what_cannot_be_learnt_from_gets_one_line(name, capsys, raised):
    bad = LEARN[name]()
    capsys.readouterr()
    out = () if "--out" in bad.arguments or "--resume" in bad.arguments else ("--out", "run")
    assert leaves("learn", *bad.arguments, *out) == 2
    line = one_line(capsys)
    for words in bad.words:
        assert words in line
    if issubclass(bad.error, errors.LaminaError):
        assert type(raised[0]) is bad.error
    if Path("run").exists():  # then it was there before, and is as it was
        assert [p.name for p in sorted(Path("run").iterdir())] in (["thesis.txt"], ["model.json", "settings.json"])
    assert not Path("runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("verb", ["learn", "compare", "predict", "encode", "sample", "bench"])
def test_a_device_that_is_not_there(verb, finished, capsys):
    run, data = finished["images"].run, finished["images"].data
    arguments = {
        "learn": (data, "--labels", 4, "--out", "run"),
        "compare": (data, "--labels", 4, "--out", "run"),
        "predict": (run, data),
        "encode": (run, data),
        "sample": (run,),
        "bench": ("rbm",),
    }[verb]
    assert cli(verb, *arguments, "--device", "cuda") == 2
    assert "0 CUDA device(s) here: use device='cpu'" in one_line(capsys)
    assert not Path("run").exists()


def test_a_diverging_run(capsys, monkeypatch):
    monkeypatch.setitem(KINDS, "rbm", replace(KINDS["rbm"], learning_rate=lambda layer: 1e12))
    np.save("rows.npy", rows(80)[0])
    assert cli("learn", "rows.npy", "--hidden", "5,4", "--epochs", 30, "--quiet", "--out", "run") == 2
    line = one_line(capsys)
    for words in ("layer 1", "step", "lower learning_rate"):
        assert words in line


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk(finished, capsys, monkeypatch):
    run, data = finished["images"].run, finished["images"].data
    monkeypatch.setattr(os, "fsync", full)
    for arguments in (
        ("learn", data, "--labels", 4, *SMALL, "--out", "run"),
        ("predict", run, data, "--out", "out/classes.csv"),
        ("encode", run, data, "--out", "out/codes.npy"),
        ("sample", run, "-n", 2, "--steps", 1, "--out", "out/samples.npy"),
        ("sample", run, "-n", 2, "--steps", 1, "--grid", "--out", "out/samples.png"),
    ):
        assert cli(*arguments) == 2
        line = one_line(capsys)
        assert "No space left on device" in line
        assert "free" in line
    assert list(Path("out").iterdir()) == []  # nothing that looks whole, and nothing half written
    assert list(Path("run").iterdir()) == []


def test_out_of_memory(capsys, monkeypatch):
    def too_much(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lamina.studies.learn", too_much)
    assert cli("learn", "digits") == 2
    assert "out of memory" in one_line(capsys)


USES = {
    "predict no run": (("predict", "nowhere", "digits"), E.RunFolderError, "no run folder"),
    "predict missing data": (("predict", "{table}", "nothing.csv"), E.DataError, "nothing.csv"),
    "predict unknown name": (("predict", "{table}", "digit"), E.UnknownNameError, "digits"),
    "predict other features": (("predict", "{table}", "digits"), E.DataError, "64 features"),
    "predict without labels": (("predict", "{unlabelled}", "{unlabelled data}"), E.SettingError, "without labels"),
    "predict into a file's folder": (
        ("predict", "{images}", "{images data}", "--out", "file/x.csv"),
        E.RunFolderError,
        "cannot write",
    ),
    "encode into a folder": (("encode", "{images}", "{images data}", "--out", "folder"), E.RunFolderError, "folder"),
    "encode layer": (("encode", "{images}", "{images data}", "--layer", "3"), E.SettingError, "--layer is 3"),
    "encode no run": (("encode", "folder", "digits"), E.RunFolderError, "no run folder"),
    "sample nothing": (("sample", "{table}", "-n", "0"), E.SettingError, "-n is 0"),
    "sample no steps": (("sample", "{table}", "--steps", "0"), E.SettingError, "--steps is 0"),
    "sample seed": (("sample", "{images}", "-n", "1", "--steps", "1", "--seed", "-1"), E.SettingError, "-1"),
    "sample table as picture": (
        ("sample", "{table}", "-n", "2", "--steps", "1", "--grid"),
        E.DataError,
        "no images",
    ),
    "report no run": (("report", "folder"), E.RunFolderError, "records.json"),
    "report nowhere": (("report", "nowhere"), E.RunFolderError, "does not exist"),
    "data unknown": (("data", "mnits"), E.UnknownNameError, "did you mean 'mnist'"),
    "data missing": (("data", "nothing.csv"), E.DataError, "nothing.csv"),
    "data no table": (("data", "file"), E.FileFormatError, "expected"),
    "bench": (("bench", "rbm", "--repeats", "0"), E.SettingError, "repeats"),
    "learn no run to resume": (("learn", "--resume", "folder"), E.RunFolderError, "no run folder"),
}


@pytest.mark.parametrize("name", USES)
def test_what_cannot_be_used_gets_one_line(name, finished, capsys, raised):
    arguments, error, words = USES[name]
    Path("file").write_text("x")
    Path("folder").mkdir()
    places = {key: str(value.run) for key, value in finished.items()}
    places |= {f"{key} data": str(value.data) for key, value in finished.items()}
    for key, place in places.items():
        arguments = tuple(place if word == f"{{{key}}}" else word for word in arguments)
    assert leaves(*arguments) == 2
    assert words in one_line(capsys)
    assert type(raised[0]) is error


@pytest.mark.parametrize("verb", ["predict", "encode", "sample"])
@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
def test_a_tampered_model_gets_one_line(finished, tmp_path, capsys, verb, file):
    shutil.copytree(finished["images"].run, "run")
    for path in (Path("run", file), Path("run", "stack", file)):
        content = path.read_bytes()
        path.write_bytes(content[:-20] + bytes(byte ^ 1 for byte in content[-20:]))
    arguments = ("-n", 2) if verb == "sample" else (finished["images"].data,)
    assert cli(verb, "run", *arguments) == 2
    line = one_line(capsys)
    assert file in line
    assert "restore" in line or "altered" in line


# the other verbs ----------------------------------------------------------------------------------------------------


def test_predict_prints_a_table(finished, capsys):
    run, data = finished["images"].run, finished["images"].data
    assert cli("predict", run, data) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "predicted,p(a),p(b)"
    assert len(lines) == 91
    assert all(line[0] in "ab" for line in lines[1:])
    assert said.err.startswith("error against the given labels: ")
    assert cli("predict", run, data, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"classes", "predicted", "probabilities", "error"}
    assert np.shape(answer["probabilities"]) == (90, 2)
    assert [line.split(",")[0] for line in lines[1:]] == answer["predicted"]


def test_encode_writes_an_array(finished, capsys):
    run, data = finished["images"].run, finished["images"].data
    assert cli("encode", run, data) == 0
    assert capsys.readouterr().out == "90 rows of 8 features: codes.npy\n"
    assert np.load("codes.npy", allow_pickle=False).shape == (90, 8)
    assert cli("encode", run, data, "--layer", 1, "--out", "first.npy", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"out": "first.npy", "shape": [90, 12]}
    assert np.load("first.npy").shape == (90, 12)


def test_sample_says_what_it_wrote(finished, capsys):
    assert cli("sample", finished["images"].run, "-n", 3, "--steps", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"out": "samples.npy", "shape": [3, 16]}
    assert cli("sample", finished["images"].run, "-n", 3, "--steps", 2, "--grid") == 0
    assert capsys.readouterr().out == "3 samples of 16 values: samples.png\n"
    assert Path("samples.png").is_file()


def test_data_lists_the_sets(capsys):
    assert cli("data") == 0
    said = capsys.readouterr().out
    for name in ("digits", "mnist", "usps"):
        assert name in said
    assert "not here: 'lamina data NAME --fetch' downloads it" in said
    assert cli("data", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"digits", "mnist", "usps"}


def test_data_looks_at_a_set_and_at_a_file(tmp_path, capsys):
    assert cli("data", "digits", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rows"], answer["features"], answer["shape"]) == (1797, 64, [1, 8, 8])
    labelled_table(tmp_path / "table.csv", 40)
    Path("few.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in Path("table.csv").read_text().splitlines()))
    assert cli("data", "few.csv", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rows"], answer["features"]) == (40, 6)
    assert 0 < answer["labelled"] < 40
    assert sorted(answer["classes"]) == sorted(CLASSES)
    assert cli("data", "few.csv") == 0
    assert "rows" in capsys.readouterr().out


def test_data_says_where_a_set_would_come_from_without_fetching_it(capsys):
    assert cli("data", "mnist", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["folder"] is None
    assert len(answer["addresses"]) == 4
    assert "rows" not in answer


# as a process -------------------------------------------------------------------------------------------------------


def child(*arguments: object) -> subprocess.Popen:
    source = str(Path(lamina.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "lamina.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def test_a_mistake_ends_the_process_with_status_2():
    process = child("learn", "mnits", "--labels", 100)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "did you mean 'mnist'" in err


def test_ctrl_c_ends_the_process_with_status_130(tmp_path):
    data = archive(tmp_path / "rows.npz")
    process = child("learn", data, "--hidden", "5", "--epochs", 10**6, "--quiet", "--out", tmp_path / "run")
    until = time.monotonic() + 120
    while not (tmp_path / "run" / "scaling.safetensors").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("lamina: stopped")
