"""N counts every label that is looked at: labels outside the draw and the whole test part change nothing that is learnt
or chosen."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module

import numpy as np
import pytest
from torch import nn

from lamina.core.storage import read_json
from lamina.studies import LearnOptions, learn
from lamina.studies.preparation import open_data, prepare
from lamina.studies.recorder import Recorder
from lamina.studies.run_folder import read_scaling
from small_studies import archive, unit_rows

study = import_module("lamina.studies.learn")  # the room's door has a function of that name

N, N_LABELS = 90, 15
DRAWN = np.sort(np.random.default_rng(3).permutation(N)[:N_LABELS])

LEARNT_BY_SKLEARN = ("coef_", "intercept_", "components_", "scale_", "support_", "_dual_coef_")


def garbage(seed: int) -> np.ndarray:
    """The true labels of the drawn rows; anything at all, blanks too, for the others."""
    y = np.random.default_rng(seed).integers(-1, 3, N)
    y[DRAWN] = unit_rows(N)[1][DRAWN]
    return y


def noise(seed: int, n: int = 30) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {"X_test": random.random((n, 6)), "y_test": random.integers(0, 3, n)}


@pytest.fixture
def learnt(tmp_path, monkeypatch):
    """A function that runs the study on a file and returns all that it learnt and chose."""
    monkeypatch.setattr(study, "draw_rows", lambda prepared, labels, seed: DRAWN)
    fitted: list = []
    predict = study.predict_rows
    monkeypatch.setattr(study, "predict_rows", lambda model, X: fitted.append(model) or predict(model, X))

    def run(name: str, **arrays: np.ndarray) -> dict:
        fitted.clear()
        data = archive(tmp_path / f"{name}.npz", N, **arrays)
        out = tmp_path / name
        options = LearnOptions(str(data), labels=N_LABELS, hidden=(12, 8), epochs=2)
        document = learn(options, out=str(out))
        scaling = read_scaling(out)
        pieces = sorted((out / "checkpoint" / "pieces").glob("*.json"))
        return {
            "network": (out / "model.safetensors").read_bytes(),
            "stack": (out / "stack" / "model.safetensors").read_bytes(),
            "scaling": [array.tobytes() for array in (scaling.shift, scaling.factor)],
            "models": [_numbers(model) for model in fitted],
            "chosen": [{k: read_json(path)[k] for k in ("detail", "choice", "title")} for path in pieces],
            "choice": document["choice"],
            "plan": document["settings"]["plan"],
            "errors": [result["errors"] for result in document["results"]],
        }

    return run


def _numbers(model) -> list[np.ndarray]:
    """All learnt numbers of a network or a scikit-learn model, and its parameters."""
    if isinstance(model, nn.Module):
        return [tensor.numpy().copy() for tensor in model.state_dict().values()]
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    found = [np.asarray(repr(step.get_params())) for step in steps]
    for step in steps:
        found += [np.asarray(getattr(step, name)) for name in LEARNT_BY_SKLEARN if name in vars(step)]
    return found


def equal(one: dict, other: dict, *names: str) -> bool:
    return all(
        all(np.array_equal(a, b) for m, k in zip(one[n], other[n], strict=True) for a, b in zip(m, k, strict=True))
        if n == "models"
        else one[n] == other[n]
        for n in names
    )


LEARNT = ("network", "stack", "scaling", "models", "chosen", "choice", "plan")


def test_labels_outside_the_draw_and_test_rows_change_nothing_that_is_learnt(learnt):
    true = learnt("true", y=unit_rows(N)[1])
    assert len(true["models"]) == 5
    assert len(true["choice"]) == 3  # choices were made, on held-out labels
    assert all(way["cv_error"] is not None for way in true["choice"])
    for seed in (1, 2):
        other = learnt(f"garbage-{seed}", y=garbage(seed), **noise(seed))
        for name in LEARNT:
            assert equal(true, other, name), name
        assert other["errors"] != true["errors"]  # the test part really was another


def test_a_label_inside_the_draw_does_change_it(learnt):
    """Else the test above would show nothing."""
    y = unit_rows(N)[1]
    true = learnt("true", y=y)
    changed = y.copy()
    changed[DRAWN[0]] = (changed[DRAWN[0]] + 1) % 3
    other = learnt("changed", y=changed)
    assert equal(true, other, "stack", "scaling", "plan")
    assert not equal(true, other, "network")


def test_a_task_holds_the_drawn_labels_and_no_other(tmp_path):
    prepared = prepare(open_data(str(archive(tmp_path / "a.npz", N))))
    options = LearnOptions("a.npz", labels=N_LABELS, hidden=(12, 8), epochs=1)
    task = study._Study(options, prepared, tmp_path / "run", Recorder(None)).task(N_LABELS, 0)
    assert task.y.shape == task.labelled.shape == (N_LABELS,)
    assert np.array_equal(task.y, prepared.y[task.labelled])
    assert task.y.base is None or len(task.y.base) == N_LABELS  # no view of all labels
    for field in fields(task):
        value = getattr(task, field.name)
        assert value is not prepared
        assert value is not prepared.dataset
        if field.name != "X":
            assert np.shape(value)[:1] not in ((N,), (30,)), field.name
    assert task.X.shape == (N, 6)
    part = task.only(np.array([0, 4]), seed=7)
    assert np.array_equal(part.y, task.y[[0, 4]])
    assert np.array_equal(part.labelled, task.labelled[[0, 4]])
    assert part.X is task.X


def test_the_one_drawing_function_asks_for_as_many_labels_as_were_asked_for(tmp_path, monkeypatch):
    asked = []
    draw = study.draw_rows
    monkeypatch.setattr(study, "draw_rows", lambda p, n, seed: asked.append((n, seed)) or draw(p, n, seed))
    options = LearnOptions(str(archive(tmp_path / "a.npz")), labels=9, repeats=2, hidden=(5,), epochs=1)
    document = learn(options, out=str(tmp_path / "run"))
    assert set(asked) == {(9, 0), (9, 1)}
    assert document["data"]["n_labels"] == 9
