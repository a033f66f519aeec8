"""The doctor: each sickness made on purpose is named, health is called health, and nothing broken goes unsaid."""

from __future__ import annotations

import argparse
import inspect
import json
import math
import re
from functools import lru_cache

import numpy as np
import pytest
import torch

import lamina
from lamina.cli.parser import parser
from lamina.core.errors import DataError, DivergenceError, FileFormatError, LabelError, RunFolderError, SettingError
from lamina.models import MLP
from lamina.models.maps import SelfOrganisingMap
from lamina.studies import facts as facts_module
from lamina.studies.case import Case
from lamina.studies.diagnose import Finding, diagnose, diagnosis_of
from lamina.studies.facts import contradictions, data_facts, linear_error, neighbour_labels
from lamina.studies.recorder import Recorder
from lamina.studies.remedies import REMEDIES, SEEN_INSIDE, WITHOUT_LABELS
from lamina.studies.sickness import EXPLAINS, SUPERVISED, THRESHOLDS, UNSUPERVISED
from lamina.studies.symptoms import read_symptoms
from lamina.training import BackPropagation, BatchMap, EpochRecord, History, fit, shrinking

N_IN, N_CLASSES = 8, 4


def rows(n: int, seed: int = 0, apart: float = 2.2) -> tuple[np.ndarray, np.ndarray]:
    """Four classes of two clusters each, no class on one side of a plane."""
    random = np.random.default_rng(seed)
    centres = apart * np.sign(np.random.default_rng(5).normal(size=(2 * N_CLASSES, N_IN)))
    cluster = np.arange(n) % len(centres)
    X = random.normal(size=(n, N_IN)) + centres[cluster]
    return X / X.std(), cluster % N_CLASSES


def case(
    hidden: tuple[int, ...] = (16,),
    activation: str = "relu",
    *,
    n: int = 200,
    apart: float = 2.2,
    scale: float = 1.0,
    gain: float = 1.0,
    bias: float = 0.0,
    noise: float = 0.0,
    rare: int = 0,
    loss: str = "cross-entropy",
    dropout: float = 0.0,
    **options: object,
) -> tuple[History, dict]:
    """A short run with one thing wrong, and its facts."""
    X, y = rows(n, apart=apart)
    X_held, y_held = rows(120, seed=1, apart=apart)
    if noise:
        random = np.random.default_rng(3)
        y = np.where(random.random(n) < noise, random.integers(0, N_CLASSES, n), y)
    if rare:
        kept = [np.flatnonzero(y == k)[: None if k == 0 else rare] for k in range(N_CLASSES)]
        X, y = X[np.concatenate(kept)], y[np.concatenate(kept)]
    network = MLP((N_IN, *hidden, N_CLASSES), activation=activation, dropout=dropout, dtype=torch.float64)
    with torch.no_grad():
        for W, b in zip(network.W[:-1], network.b[:-1], strict=True):
            W.mul_(gain)
            b.fill_(bias)
    coded = (lambda codes: np.eye(N_CLASSES)[codes]) if loss == "squared" else np.asarray
    told = {"epochs": 25, "batch_size": 20, "optimiser": "adam", "learning_rate": 5e-3, **options}
    if told["optimiser"] == "sgd":
        told = {"momentum": 0.9, **told}
    data, held = (scale * X, coded(y)), (scale * X_held, coded(y_held))
    try:
        history = fit(network, data, BackPropagation(loss), validation=held, random_state=2, health=True, **told)
    except DivergenceError as error:
        history = error.history
    return history, data_facts(scale * X, y, network=network, validation=(scale * X_held, y_held))


SGD = {"optimiser": "sgd"}
SICK = {
    "diverging": {"loss": "squared", **SGD, "learning_rate": 5.0},
    "unscaled inputs": {"scale": 300.0, "activation": "tanh", **SGD, "learning_rate": 0.05},
    "class imbalance": {"rare": 2, "n": 400, "apart": 0.9, **SGD, "learning_rate": 2e-3, "momentum": 0.0},
    "label noise": {"noise": 0.4, "epochs": 12},
    "linear units": {"activation": "identity", "hidden": (12, 12)},
    "saturated units": {"activation": "tanh", "gain": 200.0, "hidden": (6, 6), **SGD, "learning_rate": 1e-3},
    "dead units": {"bias": -50.0, "hidden": (12, 12)},
    "rate too large": {"learning_rate": 3.0, "hidden": (16, 16)},
    "over-regularised": {**SGD, "learning_rate": 0.05, "weight_decay": 0.5},
    "vanishing gradients": {"hidden": (10,) * 7, "activation": "sigmoid", **SGD, "learning_rate": 0.05, "epochs": 10},
    "rate too small": {**SGD, "learning_rate": 1e-6},
    "stopped too early": {"epochs": 2, "learning_rate": 3e-3},
    "too small a network": {"hidden": (1,), "epochs": 40, "learning_rate": 3e-2, "n": 120},
    "overfitting": {"n": 40, "apart": 0.8, "hidden": (60, 60), "epochs": 60},
}


@lru_cache
def sick(name: str) -> tuple[History, dict]:
    return case(**SICK[name])


@pytest.mark.parametrize("sickness", SICK)
def test_each_sickness_made_on_purpose_is_named_first(sickness):
    history, facts = sick(sickness)
    found = diagnose(history, facts=facts)
    assert found.verdict == sickness, [(f.name, f.score, f.evidence) for f in found.findings]
    first = found.findings[0]
    assert 0.5 <= first.score < 1
    assert any(re.search(r"\d", words) for words in first.evidence)
    assert first.options


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "tanh", "hidden": (16, 16)}, {"activation": "sigmoid", "learning_rate": 2e-2}, {"patience": 5}],
)
def test_a_healthy_run_is_called_healthy(options):
    history, facts = case(**options)
    found = diagnose(history, facts=facts)
    assert found.findings == ()
    assert found.verdict == "healthy"
    assert diagnose(history).verdict == "healthy"


def test_every_sickness_of_the_tree_has_been_made():
    assert set(SICK) == set(SUPERVISED)


def test_an_effect_is_ranked_below_its_cause():
    history, facts = sick("rate too large")
    found = {finding.name: finding for finding in diagnose(history, facts=facts).findings}
    effects = [finding for finding in found.values() if finding.because == "rate too large"]
    assert effects
    assert all(effect.score < found["rate too large"].score for effect in effects)


# curves alone --------------------------------------------------------------------------------------------------------


def history(**series: list[float | None]) -> History:
    n = max(map(len, series.values()))
    measures = [{name.replace("_", " "): v[k] for name, v in series.items() if v[k] is not None} for k in range(n)]
    return History([EpochRecord(k + 1, k + 1, 0.1, m) for k, m in enumerate(measures)])


def falling(first: float, last: float, n: int = 20) -> list[float]:
    return list(np.geomspace(first, last, n))


def test_curves_alone_tell_overfitting_and_say_where_the_best_epoch_was():
    found = diagnose(
        history(
            training_loss=falling(2.3, 0.001),
            training_error=falling(0.9, 0.001),
            validation_loss=[2.0, 1.0, 0.8, *np.linspace(0.9, 2.4, 17)],
            validation_error=[0.9, 0.4, *[0.35] * 18],
        )
    )
    assert found.verdict == "overfitting"
    assert found.findings[0].evidence[1] == "the validation loss was lowest in epoch 3 and has risen by 200 %"
    assert "fit(patience=5)" in [option.python for option in found.findings[0].options]


def test_without_health_a_run_stuck_at_chance_is_not_guessed_at():
    stuck = history(training_loss=[2.3] * 10, training_error=[0.9] * 10)
    assert diagnose(stuck).verdict == "cause not seen"
    assert "health=True" in diagnose(stuck).findings[0].remedy
    for record in stuck:
        record.health["gradient norm"] = [1.0, 1.0]
    assert diagnose(stuck).findings[0].remedy == SEEN_INSIDE.words


@pytest.mark.parametrize("losses", [[1.0, math.inf], [1.0, math.nan], [2.0, 50.0, 900.0]])
def test_a_loss_that_is_no_number_or_grows_is_diverging(losses):
    assert diagnose(history(training_loss=losses)).verdict == "diverging"


def test_a_regression_is_judged_by_its_losses():
    assert diagnose(history(training_loss=falling(4.0, 0.1))).verdict == "healthy"
    assert diagnose(history(training_loss=falling(4.0, 2.5, 5))).verdict == "stopped too early"


def test_layers_learnt_without_labels_have_their_own_questions():
    good = {"reconstruction_error": [*falling(0.2, 0.05, 15), *[0.05] * 15]}
    part = [0.1] * 15 + list(np.linspace(0.2, 3, 15))
    assert diagnose(history(**good)).verdict == "healthy"
    apart = diagnose(history(**good, free_energy_gap=part, validation_reconstruction_error=[0.06] * 30))
    assert apart.verdict == "healthy"  # another name: "free_energy gap" is not the loop's
    record = history(**good)
    for one, gap in zip(record, part, strict=True):
        one.measures["free-energy gap"] = gap
    found = diagnose(record)
    assert found.verdict == "overfitting"
    assert found.findings[0].remedy == WITHOUT_LABELS["overfitting"].words
    assert diagnose(history(reconstruction_error=falling(0.2, 0.01, 6))).verdict == "stopped too early"
    jumping = history(reconstruction_error=[0.2, 0.4, 0.2, 0.5, 0.2, 0.6])
    assert diagnose(jumping).verdict == "rate too large"


@pytest.mark.parametrize("empty", [History(), history(training_loss=[0.3])])
def test_too_little_is_said_to_be_too_little(empty):
    assert diagnose(empty).verdict == "too little to go by"


def test_several_histories_are_named_and_other_things_refused():
    one = history(training_loss=falling(2.0, 0.1))
    assert [stage.name for stage in diagnose(one, one).stages] == ["training 1", "training 2"]
    with pytest.raises(SettingError, match="nothing to diagnose"):
        diagnose()
    with pytest.raises(SettingError, match="given a int; expected a History"):
        diagnose(3)  # type: ignore[arg-type]


# facts ---------------------------------------------------------------------------------------------------------------


def test_the_linear_error_is_that_of_leaving_rows_out_one_by_one():
    X, y = map(torch.from_numpy, rows(30, apart=0.5))
    wrong = 0
    scale = float((X - X.mean(0)).square().mean().sqrt())
    A = torch.cat([(X - X.mean(0)) / scale, torch.ones(30, 1, dtype=X.dtype)], 1)
    penalty = facts_module.RIDGE * 30 * torch.eye(A.shape[1], dtype=A.dtype)
    target = torch.eye(N_CLASSES, dtype=A.dtype)[y]
    for k in range(30):
        rest = [j for j in range(30) if j != k]
        W = torch.linalg.solve(A[rest].T @ A[rest] + penalty, A[rest].T @ target[rest])
        wrong += int((A[k] @ W).argmax() != y[k])
    assert linear_error(X, y) == pytest.approx(wrong / 30)
    assert wrong > 0


def test_contradictions_are_the_share_of_wrong_labels_where_classes_lie_apart():
    X, y = rows(400, apart=4.0)
    wrong = np.arange(0, 400, 9)
    told = y.copy()
    told[wrong] = (told[wrong] + 1) % N_CLASSES
    given = torch.from_numpy(X), torch.from_numpy(told)
    share = contradictions(neighbour_labels(*given), given[1])
    assert share == pytest.approx(len(wrong) / 400, abs=0.05)
    assert contradictions(neighbour_labels(given[0], torch.from_numpy(y)), torch.from_numpy(y)) == 0.0


def test_classes_that_overlap_are_no_label_noise():
    random = np.random.default_rng(0)
    y = np.arange(600) % 2
    X = random.normal(size=(600, 2)) + 2.0 * y[:, None]
    found = data_facts(X, y)
    assert found["nearest error"] > 0.07
    assert found["contradictions"] < THRESHOLDS["contradictions"] / 3


def test_recall_counts_each_class_and_knows_no_class_without_rows():
    network = MLP((2, 3), dtype=torch.float64)
    with torch.no_grad():
        network.W[0].zero_()
        network.b[0].copy_(torch.tensor([1.0, 0.0, 0.0]))
    X = np.zeros((6, 2)) + np.arange(6)[:, None]
    found = data_facts(X, np.array([0, 1, 2, 0, 1, 2]), network=network, validation=(X, np.array([0, 0, 1, 1, 1, 0])))
    assert found["recall"] == [1.0, 0.0, None]
    assert found["class_counts"] == [2, 2, 2]


def test_facts_refuse_what_is_no_labelled_matrix():
    with pytest.raises(LabelError, match="expected 5 whole numbers from 0 on"):
        data_facts(np.zeros((5, 2)), np.zeros(5))
    with pytest.raises(DataError, match="NaN"):
        data_facts(np.full((5, 2), np.nan), np.zeros(5, int))


# run folders ---------------------------------------------------------------------------------------------------------


def test_a_run_folder_says_what_its_history_says(tmp_path):
    run, facts = sick("vanishing gradients")
    recorder = Recorder(tmp_path)
    recorder.add("fine-tuning", "finetune", run)
    (tmp_path / "records.json").write_text(json.dumps({"facts": facts}))
    of_folder = diagnose(tmp_path).stages[0]
    of_history = diagnose(run, facts=facts).stages[0]
    assert [f.name for f in of_folder.findings] == [f.name for f in of_history.findings]
    for name, value in of_history.symptoms.items():
        assert of_folder.symptoms[name] == pytest.approx(value), name
    assert diagnosis_of(recorder.histories, facts)["verdict"] == "vanishing gradients"
    assert diagnosis_of([]) == {}


def test_a_run_that_diverged_before_its_first_epoch_can_be_diagnosed(tmp_path):
    run, _ = sick("diverging")
    assert len(run) == 0
    recorder = Recorder(tmp_path)
    recorder.callbacks("fine-tuning")
    raised = recorder.add_diverged(DivergenceError("lost", history=run), "finetune")
    assert str(raised) == "fine-tuning: lost"
    assert raised.history is run
    found = diagnose(tmp_path)
    assert found.verdict == "diverging"
    assert found.findings[0].evidence[0].startswith("training diverged between steps")


def test_epochs_that_were_written_twice_count_once(tmp_path):
    lines = [{"stage": "s", "epoch": e, "training loss": v} for e, v in ((1, 9.0), (2, 9.0), (3, 9.0))]
    again = [{"stage": "s", "epoch": e, "training loss": v} for e, v in ((2, 1.0), (3, 0.5))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines + again))
    assert diagnose(tmp_path).stages[0].symptoms["epochs"] == 3
    assert diagnose(tmp_path).stages[0].symptoms["loss"] == pytest.approx(0.75)


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path):
    whole = json.dumps({"stage": "s", "epoch": 1, "training loss": 1.0})
    (tmp_path / "metrics.jsonl").write_text(f"{whole}\n{whole[:20]}")
    assert diagnose(tmp_path).stages[0].symptoms["epochs"] == 1


def test_records_without_lines_are_enough(tmp_path):
    curve = {"name": "layer 1", "kind": "pretrain", "epochs": [1, 2, 3], "series": {"training loss": [3.0, 2.0, 1.9]}}
    (tmp_path / "records.json").write_text(json.dumps({"data": {}, "curves": [curve]}))
    (stage,) = diagnose(tmp_path).stages
    assert (stage.name, stage.symptoms["epochs"]) == ("layer 1", 3)


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({}, RunFolderError, "holds no curves"),
        ({"records.json": "{"}, FileFormatError, "truncated"),
        ({"records.json": '{"curves": [3]}'}, FileFormatError, "curve without series"),
        ({"metrics.jsonl": ""}, RunFolderError, "holds no curves"),
        ({"metrics.jsonl": "nonsense"}, FileFormatError, "line 1 is no JSON object"),
        ({"metrics.jsonl": '{"a": 1}\n[2]\n{"a": 1}\n'}, FileFormatError, "line 2 is no JSON object"),
        ({"metrics.jsonl": '{"stage": "s", "epoch": 1, "loss": "high"}\n'}, DataError, "expected numbers"),
    ],
)
def test_broken_folders_give_one_clear_line(tmp_path, files, error, words):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=words) as caught:
        diagnose(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="does not exist"):
        diagnose(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="is not a folder"):
        diagnose(tmp_path / "file")


def test_values_that_are_no_numbers_are_diverging_not_an_error(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"stage": "s", "epoch": 1, "training loss": NaN}\n')
    assert diagnose(tmp_path).verdict == "diverging"


# remedies and tables -------------------------------------------------------------------------------------------------


def test_every_sickness_has_a_remedy_and_every_threshold_is_used():
    assert set(REMEDIES) == {*SUPERVISED, "cause not seen"}
    assert set(WITHOUT_LABELS) <= set(UNSUPERVISED) <= set(REMEDIES)
    assert {*EXPLAINS, *(name for effects in EXPLAINS.values() for name in effects)} <= set(SUPERVISED)
    from lamina.studies import sickness

    source = inspect.getsource(sickness)
    assert all(source.count(f'"{name}"') > 1 for name in THRESHOLDS)


def _flags() -> dict[str, argparse.Action]:
    verbs = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return verbs.choices["learn"]._option_string_actions


OPTIONS = [
    option for remedy in [*REMEDIES.values(), *WITHOUT_LABELS.values(), SEEN_INSIDE] for option in remedy.options
]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: f"{option.command}|{option.python}")
def test_every_option_exists(option):
    assert option.command or option.python
    if option.command:
        assert option.command.split()[0] in _flags()
    call = re.fullmatch(r"(\w+)\((.*)\)", option.python)
    if call is None:
        return
    thing = getattr(lamina, call[1]) if hasattr(lamina, call[1]) else globals()[call[1]]
    known = inspect.signature(thing).parameters
    keywords = re.findall(r"(\w+)=", re.sub(r"\(.*?\)", "", call[2]))
    assert all(keyword in known or any(p.kind == p.VAR_KEYWORD for p in known.values()) for keyword in keywords)
    for name in re.findall(r"(\w+)\(", call[2]):
        assert name == "data_facts" or hasattr(lamina, name) or hasattr(lamina.training, name)


def test_symptoms_of_a_bare_case_are_few_and_finite():
    found = read_symptoms(Case("s", {"training loss": [1.0, None, 0.5]}))
    assert all(math.isfinite(value) for value in found.values())
    assert found["epochs"] == 3
    assert "decay" not in found


def test_findings_are_frozen_records():
    finding = Finding("a", "b", (), "c", (), 0.5)
    with pytest.raises(AttributeError):
        finding.name = "d"  # type: ignore[misc]


def test_a_map_is_not_judged_by_the_laws_of_losses():
    X = np.random.default_rng(0).random((60, 4))
    model = SelfOrganisingMap(4, 3, 3, dtype=torch.float64)
    history = fit(model, X, BatchMap(shrinking(2.0, 0.5, 6)), epochs=6, random_state=0)
    found = diagnose(history)
    assert found.verdict == "too little to go by"
    assert found.findings == ()
