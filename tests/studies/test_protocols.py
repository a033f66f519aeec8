"""The ways to use few labels: what each leaves alone, and how one is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.models import RBM, Stack
from lamina.studies import baselines, defaults, protocols
from lamina.studies.protocols import candidates, choose_fine_tuning, fine_tuned, frozen_features, spread_labels
from lamina.studies.task import Task
from small_studies import rows, unit_rows


def task(n=60, n_labels=12, X=None, groups=None, y=None) -> Task:
    found, classes = unit_rows(n)
    X = (found if X is None else X).astype(np.float32)
    stack = Stack([RBM(X.shape[1], 5), RBM(5, 4)])
    with torch.no_grad():
        for k, layer in enumerate(stack.layers):
            layer.W.copy_(torch.randn(layer.W.shape, generator=torch.Generator().manual_seed(k)))
    labelled = np.arange(n_labels)
    plan = defaults.plan(n, X.shape[1], n_labels, (5, 4), 1)
    return Task(X, labelled, (classes if y is None else y)[labelled], groups, 3, stack, plan, 0, None)


def bits(stack: Stack) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in stack.state_dict().values()]


@pytest.mark.parametrize("way", ["adversarial", "label spreading", "supervised"])
def test_fine_tuning_leaves_the_layers_for_the_next_draw(way):
    given = task()
    before = bits(given.stack)
    network, history = fine_tuned(given, way)
    assert bits(given.stack) == before
    assert network.n_out == 3
    assert len(history) >= 1


def test_supervised_fine_tuning_starts_at_the_layers(monkeypatch):
    given = task()
    started = []
    monkeypatch.setattr(protocols, "fine_tune", lambda network, *a, **k: started.append(network) or [])
    fine_tuned(given, "supervised")
    codes = given.stack.encode(torch.from_numpy(given.X))
    assert torch.allclose(started[0].W[0], given.stack[0].W)
    assert torch.allclose(started[0].W[1], given.stack[1].W)
    assert codes.shape == (60, 4)


def test_frozen_features_keep_the_layers_in_the_network():
    given = task()
    network, detail = frozen_features(given)
    assert detail["weight_decay"] in protocols.HEAD_DECAYS
    for k, layer in enumerate(given.stack.layers):
        assert torch.equal(network.W[k], layer.W)
        assert torch.equal(network.b[k], layer.c)
    assert network.W[-1].abs().sum() > 0


def test_labels_spread_to_other_rows_and_given_ones_stay():
    X = rows(90)[0]
    given = task(90, 12, X=1 / (1 + np.exp(-2 * X)))
    found, labels = spread_labels(given)
    assert len(found) == len(labels) > 60
    assert np.array_equal(labels[:12], given.y)
    assert np.array_equal(found[:12], given.X[:12])
    assert set(labels) <= {0, 1, 2}


def test_labels_spread_over_no_more_rows_than_allowed():
    found, _ = spread_labels(task(), most=20)
    assert len(found) <= 20


def test_spreading_is_no_candidate_where_most_rows_are_labelled():
    assert "label spreading" in candidates(task(60, 30))
    assert "label spreading" not in candidates(task(60, 31))


def test_the_choice_shows_what_every_way_gave():
    way, shown = choose_fine_tuning(task())
    assert [entry["name"] for entry in shown] == candidates(task())
    assert [entry["name"] for entry in shown if entry["chosen"]] == [way]
    assert all(0 <= entry["cv_error"] <= 1 for entry in shown)


def test_another_way_must_be_better_by_a_standard_error():
    choose = protocols.within_one_standard_error
    assert choose({"first": 10, "second": 8}, 50) == "first"  # s.e. of 10 in 50: 2.8 rows
    assert choose({"first": 10, "second": 7}, 50) == "second"
    assert choose({"first": 8, "second": 10}, 50) == "first"
    assert choose({"first": 5, "second": 5}, 50) == "first"
    assert choose({"first": 0, "second": 0}, 0) == "first"


def test_baselines_learn_easy_classes():
    X, y = rows(90)
    given = task(90, 30, X=X)
    for make in (baselines.logistic_regression, baselines.pca_svm):
        assert (make(given).predict(given.X) != y).mean() < 0.15


def test_pca_is_never_wider_than_the_rows_it_is_fitted_to():
    """One group holds nearly all labels: the other side of the split is a handful of rows."""
    X, y = unit_rows(46, 20)
    groups = np.repeat([0, 1, 2, 3], [34, 4, 4, 4])
    found = baselines.pca_svm(task(46, 46, X=X, groups=groups, y=y))
    assert found.predict(X.astype(np.float32)).shape == (46,)


def test_a_network_without_pretraining_is_chosen_among_candidates():
    network, chosen = baselines.network_without_pretraining(task())
    assert chosen in [dict(candidate) for candidate in baselines.NETWORK_CANDIDATES]
    assert [W.shape for W in network.W] == [(6, 5), (5, 4), (4, 3)]


@pytest.mark.parametrize(("steps", "n", "batch", "epochs"), [(10, 100, 100, 10), (10, 250, 100, 3), (1, 1000, 10, 1)])
def test_steps_become_passes_over_the_rows(steps, n, batch, epochs):
    assert baselines.epochs_for(steps, n, batch) == epochs
