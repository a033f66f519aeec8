"""Centred gradients: the gradient in centred parameters, and no difference between a pixel and its negative."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from lamina import RBM
from lamina.core.random import Random
from lamina.training import ContrastiveDivergence, PersistentContrastiveDivergence
from lamina.training.distributed import World
from lamina.training.rules import Setting

CPU = torch.device("cpu")


def gradients_of(rule, rbm, v, negative) -> dict[str, torch.Tensor]:
    """What the rule writes for given rows of both phases."""
    for parameter in rbm.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rule.start(rbm, Setting(Random(1), World(), CPU, rbm.W.dtype, len(v)))
    rows = rule.phases(rbm, len(v), len(negative))
    with torch.no_grad():
        rows.v.copy_(torch.cat([v, negative]))
        rows.h.copy_(rbm.mean_h_from_v(rows.v))
        rule.write_gradients(rbm, rows, len(v), len(negative))
    return {name: p.grad.clone() for name, p in rbm.named_parameters()}


def some_rows(n: int, width: int, seed: int) -> torch.Tensor:
    return torch.from_numpy((np.random.default_rng(seed).random((n, width)) < 0.3).astype(float))


def test_the_gradient_is_autograds_in_centred_parameters():
    """b = b′ − Wλ and c = c′ − Wᵀμ: a step along the gradient of (W, b′, c′), written in (W, b, c)."""
    rbm = oracles.random_binary(5, 4, scale=0.7)
    v, negative = some_rows(7, 5, 0), some_rows(6, 5, 1)
    found = gradients_of(ContrastiveDivergence(1, centred=True), rbm, v, negative)
    mu, lam = v.mean(0), rbm.mean_h_from_v(v).mean(0).detach()
    W = rbm.W.detach().clone().requires_grad_()
    b = (rbm.b.detach() + W.detach() @ lam).requires_grad_()
    c = (rbm.c.detach() + W.detach().T @ mu).requires_grad_()

    def free_energy(x):
        ordinary_b, ordinary_c = b - W @ lam, c - W.T @ mu
        return -(x @ ordinary_b) - torch.nn.functional.softplus(x @ W + ordinary_c).sum(-1) + c @ lam + b @ mu

    surrogate = free_energy(v).mean() - free_energy(negative).mean()
    gW, gb, gc = torch.autograd.grad(surrogate, [W, b, c])
    torch.testing.assert_close(found["W"], gW)
    torch.testing.assert_close(found["b"], gb - gW @ lam)
    torch.testing.assert_close(found["c"], gc - gW.T @ mu)


@pytest.mark.parametrize("centred", [True, False])
def test_a_step_on_negatives_is_the_negative_of_the_step(centred):
    """Flipping v → 1 − v maps W → −W, b → −b, c → c + Wᵀ1; only the centred gradient maps the same way."""
    rbm = oracles.random_binary(5, 4, scale=0.7)
    flipped = RBM(5, 4, dtype=torch.float64)
    with torch.no_grad():
        flipped.W.copy_(-rbm.W)
        flipped.b.copy_(-rbm.b)
        flipped.c.copy_(rbm.c + rbm.W.sum(0))
    v, negative = some_rows(7, 5, 0), some_rows(7, 5, 1)
    one = gradients_of(ContrastiveDivergence(1, centred=centred), rbm, v, negative)
    other = gradients_of(ContrastiveDivergence(1, centred=centred), flipped, 1 - v, 1 - negative)
    same = torch.allclose(other["W"], -one["W"]) and torch.allclose(other["c"], one["c"] + one["W"].sum(0))
    assert same is centred


class Stop:
    """Breaks off after the second epoch."""

    def on_epoch(self, record, epochs):
        if record.epoch == 2:
            raise KeyboardInterrupt


def test_offsets_follow_the_data_and_are_kept(tmp_path):
    X = oracles.bars()
    results = []
    for stop in (False, True):
        rbm = RBM(16, 6, dtype=torch.float64)
        rule = PersistentContrastiveDivergence(1, n_chains=7, centred=True)
        settings = {"epochs": 4, "batch_size": 10, "learning_rate": 0.05, "random_state": 0}
        folder = tmp_path / str(stop)
        if stop:
            with pytest.raises(KeyboardInterrupt):
                lamina.fit(rbm, X, rule, checkpoint=folder, checkpoint_seconds=0.0, callbacks=[Stop()], **settings)
            rbm, rule = RBM(16, 6, dtype=torch.float64), PersistentContrastiveDivergence(1, n_chains=7, centred=True)
        lamina.fit(rbm, X, rule, checkpoint=folder, **settings)
        results.append((rbm.W.detach().clone(), rule.state()))
    assert torch.equal(results[0][0], results[1][0])
    for name in ("visible offset", "hidden offset", "chains"):
        assert torch.equal(results[0][1][name], results[1][1][name])


def test_offsets_are_the_means_of_the_data():
    X = oracles.bars()
    rbm = RBM(16, 6, dtype=torch.float64)
    rule = ContrastiveDivergence(1, centred=True)
    lamina.fit(rbm, X, rule, epochs=3, batch_size=len(X), learning_rate=0.0, random_state=0)
    data = torch.from_numpy(X)
    torch.testing.assert_close(rule.state()["visible offset"], data.mean(0))
    torch.testing.assert_close(rule.state()["hidden offset"], rbm.mean_h_from_v(data).mean(0).detach())
