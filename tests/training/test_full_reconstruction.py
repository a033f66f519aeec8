"""Reconstruction as an objective: over all rows, batch by batch, broken off in the middle of an epoch and gone on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.models.autoencoders import DeepAutoencoder
from lamina.training import FullReconstruction, Reconstruction, fit, loop, reconstruction_loss
from lamina.training.conjugate_gradients import minimise
from lamina.training.distributed import World
from lamina.training.sources import ArraySource

ROWS = np.random.default_rng(0).random((23, 6))
HOW = [("cg", True), ("cg", False), ("lbfgs", True), ("lbfgs", False)]


def network(**options) -> DeepAutoencoder:
    return DeepAutoencoder((6, 5, 2), **{"dtype": torch.float64, **options})


def learnt(minimiser: str, per_batch: bool, epochs: int = 3, **options):
    model = network()
    rule = options.pop("rule", FullReconstruction(minimiser=minimiser, searches=3, per_batch=per_batch))
    history = fit(model, ROWS, rule, epochs=epochs, batch_size=8, random_state=1, **options)
    return model, history


def vector(model) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def loss(model, rows=ROWS, decay: float = 0.0) -> float:
    v = torch.as_tensor(rows)
    found = float(reconstruction_loss(model, v, v, "cross-entropy").detach().mean())
    return found + decay / 2 * sum(float((p.detach() ** 2).sum()) for p in model.parameters() if p.dim() >= 2)


@pytest.mark.parametrize(("minimiser", "per_batch"), HOW)
def test_the_loss_falls(minimiser, per_batch):
    model, history = learnt(minimiser, per_batch, validation=ROWS[:5])
    assert history["objective"][-1] < loss(network()) - 0.1
    if not per_batch:
        assert loss(model) == pytest.approx(history["objective"][-1])
    assert history.names == [
        "evaluations",
        "objective",
        "validation loss",
        "validation reconstruction error",
    ]
    assert history["validation loss"][-1] == pytest.approx(loss(model, ROWS[:5]))
    assert [record.step for record in history] == ([3, 6, 9] if per_batch else [1, 2, 3])


def test_each_batch_is_minimised_from_where_the_last_one_ended():
    """One epoch by hand: the loop's order, three rows sets, `minimise` on each; the measures are means over rows."""
    model, history = learnt("cg", True, epochs=1, weight_decay=0.01)
    by_hand = network()
    source = ArraySource((ROWS,), 8, lamina.core.random.as_random(1), torch.device("cpu"), torch.float64)
    parameters = list(by_hand.parameters())
    values, evaluations = [], []
    for batch in source.batches(0, 0, World()):

        def evaluate(x, v=batch.values[0]):
            with torch.no_grad():
                torch.nn.utils.vector_to_parameters(x, parameters)
            value = reconstruction_loss(by_hand, v, v, "cross-entropy").mean()
            value = value + 0.005 * sum((p**2).sum() for p in parameters if p.dim() >= 2)
            gradients = torch.autograd.grad(value, parameters)
            return float(value.detach()), torch.cat([g.reshape(-1) for g in gradients])

        found = minimise(evaluate, vector(by_hand), searches=3)
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(found.x, parameters)
        values.append((found.value, batch.total))
        evaluations.append((found.evaluations, batch.total))
    torch.testing.assert_close(vector(model), vector(by_hand), rtol=1e-8, atol=1e-10)
    assert [n for _, n in values] == [8, 8, 7]
    assert history["objective"] == [pytest.approx(sum(v * n for v, n in values) / 23)]
    assert history["evaluations"] == [pytest.approx(sum(v * n for v, n in evaluations) / 23)]


def test_over_all_rows_the_objective_is_the_mean_loss_with_decay():
    model, history = learnt("cg", False, weight_decay=0.1)
    assert history["objective"][-1] == pytest.approx(loss(model, decay=0.1))
    assert history["objective"] == sorted(history["objective"], reverse=True)
    coarse = fit(
        network(),
        ROWS,
        FullReconstruction(minimiser="cg", searches=3),
        epochs=3,
        batch_size=23,
        weight_decay=0.1,
        random_state=1,
    )
    assert coarse["objective"] == pytest.approx(history["objective"])  # batches only divide the work


class Killed(FullReconstruction):
    """Dies at its n-th evaluation, as a kill in the middle of a line search would end it."""

    def __init__(self, after: int, **options) -> None:
        super().__init__(**options)
        self.after = after

    def objective(self, model, batch):
        self.after -= 1
        if self.after < 0:
            raise KeyboardInterrupt
        return super().objective(model, batch)

    def describe(self) -> dict:
        return {**super().describe(), "rule": "FullReconstruction"}


@pytest.mark.parametrize(("minimiser", "per_batch"), HOW)
def test_killed_in_the_middle_of_an_epoch_it_ends_like_an_unbroken_one(minimiser, per_batch, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "WATCH_EVERY", 1)
    epochs = {"cg": 3, "lbfgs": 7}[minimiser]
    whole, history = learnt(minimiser, per_batch, epochs)
    options = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    kills = 0
    for _ in range(40):
        rule = Killed(29, minimiser=minimiser, searches=3, per_batch=per_batch)
        try:
            model, found = learnt(minimiser, per_batch, epochs, rule=rule, **options)
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills >= 2
    assert torch.equal(vector(model), vector(whole))
    for name in history.names:
        assert found[name] == pytest.approx(history[name], rel=1e-14)


def test_a_checkpoint_of_another_way_is_refused(tmp_path):
    learnt("cg", True, checkpoint=tmp_path)
    with pytest.raises(SettingError, match=r"other settings \(rule\)"):
        learnt("cg", False, checkpoint=tmp_path)


def test_one_batch_from_an_iterable_at_a_time_but_not_all_rows():
    batches = [ROWS[:10], ROWS[10:]]
    rule = FullReconstruction(minimiser="cg", searches=2, per_batch=True)
    history = fit(network(), batches, rule, epochs=2, random_state=0)
    assert history["objective"][1] < history["objective"][0]
    with pytest.raises(SettingError, match="needs arrays"):
        fit(network(), batches, FullReconstruction(), epochs=1)


def test_the_choice_of_loss_is_that_of_reconstruction():
    rule = FullReconstruction(searches=1)
    fit(network(output="identity"), ROWS, rule, epochs=1, random_state=0)
    assert rule.describe()["loss"] == "squared"
    rule = FullReconstruction(searches=1)
    fit(network(), ROWS, rule, epochs=1, random_state=0)
    assert rule.describe()["loss"] == "cross-entropy"
    assert Reconstruction().describe()["loss"] == "auto"


def test_frozen_parameters_stay():
    model = network()
    model.W[0].requires_grad_(False)
    before = model.W[0].detach().clone()
    fit(model, ROWS, FullReconstruction(minimiser="cg"), epochs=1, random_state=0)
    assert torch.equal(model.W[0], before)
    assert not torch.equal(model.W[1], network().W[1])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"minimiser": "cgg"}, "minimiser is 'cgg'"),
        ({"searches": 0}, "searches is 0"),
        ({"loss": "absolute"}, "loss is 'absolute'"),
    ],
)
def test_bad_settings(options, match):
    with pytest.raises(SettingError, match=match):
        FullReconstruction(**options)


def test_rows_that_the_output_cannot_reach_are_refused():
    with pytest.raises(DataError, match="sigmoid outputs need"):
        fit(network(), 3 * ROWS, FullReconstruction(), epochs=1)
    with pytest.raises(DataError, match=r"expected \(rows, 6\)"):
        fit(network(), ROWS[:, :5], FullReconstruction(), epochs=1)
