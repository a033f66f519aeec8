"""``lamina diagnose``: what it prints, and one clear line for folders that cannot be read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lamina.core.storage import read_json
from small_studies import SMALL, cli, labelled_table


@pytest.fixture
def overfitted(tmp_path):
    lines = [
        {
            "stage": "fine-tuning",
            "epoch": e + 1,
            "step": e,
            "seconds": 0.1,
            "training loss": loss,
            "training error": loss / 3,
            "validation loss": 1.0,
            "validation error": 0.4,
        }
        for e, loss in enumerate(np.geomspace(2.0, 0.001, 12))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_the_answer_names_evidence_remedy_and_options(overfitted, capsys):
    assert cli("diagnose", overfitted) == 0
    said = capsys.readouterr().out
    assert said.startswith("fine-tuning: overfitting\n")
    assert "40 % of the others" in said
    assert "fit(patience=5)" in said
    assert "--protocol fine-tuned   pretrain(stack, X, rule, epochs=...)" in said
    assert said.splitlines()[-1].startswith("1 stage; first of all: overfitting (fine-tuning). Stop at the best")
    assert max(map(len, said.splitlines()[:-1])) <= 100


def test_json_is_one_object(overfitted, capsys):
    assert cli("diagnose", overfitted, overfitted, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "overfitting"
    assert [stage["verdict"] for stage in answer["stages"]] == ["overfitting", "overfitting"]
    assert answer["runs"] == [str(overfitted)] * 2


def test_folders_that_cannot_be_read_give_one_line(tmp_path, capsys):
    assert cli("diagnose", tmp_path / "nowhere") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "does not exist: give the folder that a run was saved to" in said.err


def test_a_run_of_learn_is_diagnosed_from_its_records_and_its_lines(tmp_path, monkeypatch, quick, capsys):
    monkeypatch.chdir(tmp_path)
    data = labelled_table(tmp_path / "rows.csv")
    options = (
        "--label",
        "label",
        "--groups",
        "site",
        "--protocol",
        "fine-tuned",
        "--way",
        "supervised",
        "--out",
        "run",
    )
    assert cli("learn", data, *options, *SMALL) == 0
    capsys.readouterr()
    records = read_json(tmp_path / "run" / "records.json")
    assert [stage["name"] for stage in records["diagnosis"]["stages"]] == [c["name"] for c in records["curves"]]
    assert sum(records["facts"]["class_counts"]) == records["data"]["n_labels"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    tuned = [line for line in lines if line["stage"].startswith("fine-tuning")]
    assert len(tuned[-1]["health"]["gradient norm"]) == 3
    assert tuned[0]["settings"]["optimiser"] == "adam"
    assert '<h2 id="diagnosis">' in (tmp_path / "run" / "report.html").read_text()
    assert cli("diagnose", "run", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert [s["verdict"] for s in again["stages"]] == [s["verdict"] for s in records["diagnosis"]["stages"]]


def test_a_run_that_diverges_leaves_what_the_doctor_needs(tmp_path, monkeypatch, quick, capsys):
    from lamina.studies import protocols
    from lamina.training import fit
    from lamina.training.back_propagation import BackPropagation

    def diverges(network, X, y, **options):
        squared = BackPropagation("squared")
        return fit(network, (1e4 * X, np.eye(3)[y]), squared, epochs=9, learning_rate=1e3, health=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(protocols, "fine_tune", diverges)
    data = labelled_table(tmp_path / "rows.csv")
    options = (
        "--label",
        "label",
        "--groups",
        "site",
        "--protocol",
        "fine-tuned",
        "--way",
        "supervised",
        "--out",
        "run",
    )
    assert cli("learn", data, *options, *SMALL) == 2
    assert "fine-tuning: supervised" in capsys.readouterr().err
    assert not (tmp_path / "run" / "records.json").exists()
    assert cli("diagnose", "run", "--json") == 0
    stages = {stage["name"]: stage for stage in json.loads(capsys.readouterr().out)["stages"]}
    last = next(stage for name, stage in stages.items() if name.startswith("fine-tuning"))
    names = [finding["name"] for finding in last["findings"]]
    assert {"diverging", "unscaled inputs"} <= set(names)
    assert last["findings"][names.index("diverging")]["because"] == "unscaled inputs"
