"""The recipe of the variational autoencoder: its small version runs and goes on from memory; its pieces are right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.random import Random
from lamina.inference import importance_weighted_bound
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.recipes.context import Context
from lamina.recipes.kingma2014_vae import gradient_variance, learning, photographs, recipe
from lamina.storage import load
from lamina.training import Variational
from lamina.training.sources import Batch


class Photographs:
    images = tuple(np.random.default_rng(k).integers(0, 255, (40, 60, 3)).astype(np.uint8) for k in range(2))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("lamina.recipes.digits.load", lambda name: small_mnist())
    monkeypatch.setattr(learning, "HIDDEN", (20, 10))
    monkeypatch.setattr(learning, "N_HIDDEN", 4)
    monkeypatch.setattr(learning, "HELD", learning.HELD[-1:])
    monkeypatch.setattr(gradient_variance, "DRAWS", (1, 2))
    monkeypatch.setattr(gradient_variance, "QUICK_REPEATS", 5)
    monkeypatch.setattr(gradient_variance, "WARMING", 3)
    monkeypatch.setattr(photographs, "QUICK_ROWS", 100)
    monkeypatch.setattr(photographs, "QUICK_PASSES", 1)
    monkeypatch.setattr(photographs, "load_sample_images", Photographs)


def test_quick_version(small, tmp_path):
    context = Context(tmp_path, quick=True, seed=3)
    outcome = recipe.run(context)
    rows = {row.what: row for row in outcome.results}
    first = rows["log-likelihood of test digits, 50 draws"]
    assert first.published == -86.76
    assert first.ours > rows["evidence lower bound of test digits"].ours
    assert outcome.seeds == [3]
    assert outcome.deviations[0].startswith("QUICK")
    assert rows["variance of the gradient, score function / reparametrised"].ours > 1
    shapes = [figure.rows.shape for figure in outcome.figures[:3]]
    assert shapes == [(6, 12, 28, 28), (6, 11, 28, 28), (12, 12, 28, 28)]
    passes, _ = outcome.figures[4].series["reparametrised"]
    assert list(passes) == [0, 3, 6]
    model = load(context.stage("digits falling"))
    test = learning.binarised(context, small_mnist().X_test.astype(np.float32) / 255, "test")
    parts = [
        importance_weighted_bound(model, part, 50, Random(3).child("evaluation", k)).sum()
        for k, part in enumerate(test.tensor_split(recipe.PARTS))
    ]
    assert first.ours == pytest.approx(float(sum(parts)) / len(test), rel=1e-6)
    again = recipe.run(Context(tmp_path, quick=True, seed=3))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_stages_fall_to_a_hundredth_without_a_jump():
    stages = learning.stages(quick=False)
    assert len(stages) == len(learning.HELD) + 1
    (_, _, last_held), (name, passes, fall) = stages[-2:]
    assert name == "falling"
    assert fall(0.0) == last_held
    assert fall(float(passes)) == pytest.approx(last_held / 100)
    assert [passes for _, passes, _ in learning.stages(quick=True)] == [3] * len(stages)


def test_total_variance_is_that_of_numpy():
    model = VariationalAutoencoder(6, 2, hidden=(4,), dtype=torch.float64)
    v, rows = torch.eye(6, dtype=torch.float64)[:4], torch.arange(4)
    found = gradient_variance._variance(Variational(samples=2), model, v, Random(1), 7)
    drawn, parameters = [], list(model.encoder.parameters())
    for k in range(7):
        loss, _ = Variational(samples=2).loss(model, Batch((v,), rows, 4), Random(1).at(k, rows))
        gradients = torch.autograd.grad(loss / 4, parameters)
        drawn.append(torch.cat([g.flatten() for g in gradients]).numpy())
    assert found == pytest.approx(np.var(drawn, axis=0, ddof=1).sum(), rel=1e-10)


def test_likelihoods_of_gaussians_are_closed_forms():
    rng = np.random.default_rng(0)
    train = (rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) + 1).astype(np.float32)
    covariance, centred = np.cov(train.T), train - train.mean(0)
    quadratic = (centred @ np.linalg.inv(covariance) * centred).sum(1).mean()
    expected = -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])
    assert photographs.gaussian(train, train) == pytest.approx(expected, rel=1e-6)
    model = VariationalAutoencoder(3, 2, hidden=(), likelihood="gaussian", random_state=1)
    with torch.no_grad():  # weights stay bounded where q is wider than the posterior
        model.encoder.W[0].zero_()
        model.encoder.b[0].copy_(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    few = torch.from_numpy(train[:10])
    bound = importance_weighted_bound(model, few, 20_000, Random(0)).mean()
    assert photographs.exact(model, few) == pytest.approx(float(bound), abs=0.05)
