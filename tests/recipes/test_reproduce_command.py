"""``lamina reproduce``: what it prints, where it leaves its report, and one clear line where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import recipes_demo
from lamina.core.errors import DownloadError
from recipes_demo import NAME
from small_studies import cli


@pytest.fixture
def demo(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return recipes_demo.install(monkeypatch)


def one_line(capsys) -> str:
    """The only line on standard error; nothing on standard output."""
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("lamina: ")
    return line


def test_published_numbers_are_printed_beside_ours(demo, capsys):
    assert cli("reproduce", NAME, "--seed", 2) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "A demonstration (A. Nobody (1985))"
    assert [line.split() for line in lines[1:4]] == [
        ["published", "measured", "here", "unit"],
        ["likelihood", "−86.34ᵐ", "−86.20", "±", "0.31", "nats"],
        ["error", "1.2", "1.25", "%"],
    ]
    assert "1 deviation from the paper:" in lines
    assert "  - half the epochs" in lines
    assert lines[-2].endswith("seeds: 2")
    assert lines[-1] == f"report: runs/{NAME}/report.html"
    assert Path(f"runs/{NAME}/report.html").is_file()
    assert said.err == "begun\n"


def test_the_answer_as_json_keeps_the_contract(demo, capsys):
    assert cli("reproduce", NAME, "--quick", "--json", "--quiet") == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert said.err == ""
    assert answer["recipe"] == NAME
    assert answer["run"] == f"runs/{NAME}-quick"
    assert set(answer["results"][0]) >= {"what", "published", "ours", "sd", "unit", "higher_is_better"}
    assert {key: type(answer[key]) for key in ("deviations", "seconds", "seeds")} == {
        "deviations": list,
        "seconds": float,
        "seeds": list,
    }
    kept = json.loads(Path(answer.pop("run"), "results.json").read_text())
    assert kept == answer


def test_a_run_is_resumed_by_name_or_by_folder(demo, capsys):
    demo.stop_at = "last"
    assert cli("reproduce", NAME, "--quick", "--quiet", "--out", "here") == 130
    demo.stop_at = ""
    assert cli("reproduce", "--resume", "here", "--quiet") == 0
    assert demo.made == ["first", "machine", "last"]
    assert "quick version" in capsys.readouterr().out
    assert cli("reproduce", NAME, "--quiet") == 0
    assert cli("reproduce", NAME, "--quiet", "--resume") == 0
    assert demo.made == ["first", "machine", "last"] * 2


def test_the_list_names_paper_and_numbers(demo, monkeypatch, capsys):
    from lamina.recipes import catalogue

    monkeypatch.setattr(catalogue, "NAMES", (NAME,))
    assert cli("reproduce", "--list") == 0
    said = capsys.readouterr().out
    assert said.splitlines()[:3] == [NAME, "  A demonstration", "  A. Nobody (1985)"]
    assert "no numbers recorded" in said
    cli("reproduce", NAME, "--quiet", "--out", "run")
    results = json.loads(Path("run/results.json").read_text())
    before = catalogue._document
    monkeypatch.setattr(
        catalogue, "_document", lambda name, file: results if file == "results.json" else before(name, file)
    )
    capsys.readouterr()
    assert cli("reproduce", "--list") == 0
    assert "likelihood: −86.20 ± 0.31 nats (published −86.34ᵐ)" in capsys.readouterr().out
    assert cli("reproduce", "--list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[NAME]["paper"] == "A. Nobody (1985)"
    assert len(listed[NAME]["results"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hopfield1984",), "did you mean 'hopfield1982_capacity'"),
        ((), "--list"),
        ((NAME, "--resume"), "no run to resume"),
        ((NAME, "--resume", "nowhere"), "no run folder"),
        ((NAME, "--seed", "-1"), "--seed is -1"),
        ((NAME, "--device", "gpu"), "expected cpu, cuda"),
    ],
)
def test_mistakes_get_one_line(demo, arguments, words, capsys):
    assert cli("reproduce", *arguments) == 2
    assert words in one_line(capsys)


def test_another_name_beside_a_run_is_refused(demo, capsys):
    cli("reproduce", NAME, "--quiet", "--out", "run")
    capsys.readouterr()
    assert cli("reproduce", "hopfield1982_capacity", "--resume", "run") == 2
    assert f"is a run of '{NAME}'" in one_line(capsys)


def test_missing_data_get_one_line(demo, monkeypatch, capsys):
    def fail(context):
        raise DownloadError("mnist cannot be downloaded: no network;\nexpected a connection, or LAMINA_DATA")

    monkeypatch.setattr(recipes_demo.sys.modules[f"lamina.recipes.{NAME}.recipe"], "run", fail)
    assert cli("reproduce", NAME) == 2
    assert one_line(capsys) == "lamina: mnist cannot be downloaded: no network; expected a connection, or LAMINA_DATA"


def test_an_existing_folder_needs_to_be_told(demo, capsys):
    assert cli("reproduce", NAME, "--quiet", "--out", "run") == 0
    capsys.readouterr()
    assert cli("reproduce", NAME, "--quiet", "--out", "run") == 2
    assert "--overwrite" in one_line(capsys)
    assert cli("reproduce", NAME, "--quiet", "--out", "run", "--overwrite") == 0


def test_the_report_is_drawn_again_from_the_records(demo, capsys):
    cli("reproduce", NAME, "--quiet", "--out", "run")
    page = Path("run/report.html")
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert cli("report", "run") == 0
    assert page.read_text(encoding="utf-8") == before
