"""The recipe that examines the doctor: its quick version, its patients, its counts."""

from __future__ import annotations

import numpy as np
import pytest
from small_digits import small_mnist

from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.doctor import patients, recipe
from lamina.recipes.doctor.patients import SICK, Patient, draw, rows
from lamina.studies.sickness import SUPERVISED


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())


def test_quick_version(small, monkeypatch, tmp_path):
    brief = {"vanishing gradients": (5,) * 6, "rate too large": (6,), "stopped too early": (6,)}
    brief |= {"over-regularised": (6,), "label noise": (6,), "diverging": (6,)}
    few = {
        name: tuple(Patient(name, hidden, one.activation, epochs=3, loss=one.loss, fit=one.fit) for one in SICK[name])
        for name, hidden in brief.items()
    }
    lost = patients.sgd(1e4)
    few["diverging"] = (Patient("diverging", (6, 6), "identity", epochs=3, loss="squared", fit=lost),)
    monkeypatch.setattr(recipe, "SICK", few)
    monkeypatch.setattr(patients, "SICK", few)
    monkeypatch.setattr(patients, "HEALTHY", (Patient("healthy", (6,), epochs=3),))
    outcome = recipe.run(Context(tmp_path, quick=True, seed=1))
    found = {row.what: row for row in outcome.results}
    assert found["diverging, MNIST"].ours == 100
    assert found["right name first, MNIST"].note.endswith("of 6 runs; thresholds were set here")
    assert found["false alarms among healthy runs, MNIST"].note.startswith(("0 of 1", "1 of 1"))
    assert outcome.deviations[0].startswith("QUICK")
    assert set(outcome.figures[0].series) == set(recipe.SHOWN)
    assert len(outcome.figures[1].series["sigmoid units, after the last"][0]) == 7
    again = recipe.run(Context(tmp_path, quick=True, seed=1))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_every_sickness_that_the_doctor_knows_is_made_three_times():
    assert set(SICK) == set(SUPERVISED)
    assert all(len(variants) == 3 for variants in SICK.values())
    assert all(one.sickness == name for name, variants in SICK.items() for one in variants)


def test_patients_get_the_rows_that_make_them_sick(small, tmp_path):
    context = Context(tmp_path)
    X, y = rows(context, "MNIST", 0)
    plain = draw(context, "MNIST", Patient("healthy"), 0)
    assert len(plain[0]) + len(plain[2]) == len(X)
    assert plain[0].max() <= 1
    assert draw(context, "MNIST", Patient("x", unscaled=True), 0)[0].max() > 200
    noisy = draw(context, "MNIST", Patient("x", noise=0.5), 0)
    assert 0.2 < np.mean(np.concatenate([noisy[1], noisy[3]]) != y[_order(X, noisy)]) < 0.7
    _, rare, _, held = draw(context, "MNIST", Patient("x", rare=0.4), 0)
    counts = np.bincount(np.concatenate([rare, held]))
    assert counts.max() > 4 * np.median(counts)
    assert len(draw(context, "MNIST", Patient("x", rows=20), 0)[0]) == 20


def _order(X: np.ndarray, drawn: tuple[np.ndarray, ...]) -> np.ndarray:
    """Positions in ``X`` of the rows that were drawn."""
    place = {row.tobytes(): k for k, row in enumerate(X.astype(np.float32))}
    return np.array([place[row.tobytes()] for part in (drawn[0], drawn[2]) for row in part])


def test_shares_count_first_and_second_names_and_false_alarms():
    verdicts = [
        ("a", "dead units", ["dead units"], "dead units"),
        ("a", "label noise", ["overfitting", "label noise"], "overfitting"),
        ("b", "diverging", ["dead units"], "dead units"),
        ("a", "healthy", [], "healthy"),
        ("a", "healthy", ["overfitting"], "overfitting"),
    ]
    first, second, alarms = recipe.shares(verdicts, ("a",), "x")
    assert (first.ours, second.ours, alarms.ours) == (50, 100, 50)
    assert first.note == "1 of 2 runs; x"
    assert recipe.notes(verdicts)[0] == "a: label noise was called overfitting, then label noise"
