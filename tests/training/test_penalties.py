"""Penalties: each one's gradient is autograd's, projections project, and what is wrong is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_centring import gradients_of, some_rows

import lamina
import oracles
from lamina import RBM, Gaussian
from lamina.core.errors import SettingError
from lamina.training import (
    L1,
    ContrastiveDivergence,
    MaxGradientNorm,
    MaxNorm,
    PersistentContrastiveDivergence,
    SparseGroup,
    SparsityTarget,
)

ACTIVITY = {
    "sparsity target": (
        SparsityTarget(0.1, 3.0),
        lambda h: 3.0 * ((h.mean(0) - 0.1) ** 2).sum(),
    ),
    "sparse group": (
        SparseGroup(2, 0.7),
        lambda h: 0.7 * h.view(len(h), -1, 2).norm(dim=-1).sum(-1).mean(),
    ),
    "sparse group, l1": (
        SparseGroup(2, 0.7, l1=0.3),
        lambda h: 0.7 * h.view(len(h), -1, 2).norm(dim=-1).sum(-1).mean() + 0.3 * h.sum(-1).mean(),
    ),
}


@pytest.mark.parametrize("name", sorted(ACTIVITY))
@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_an_activity_penaltys_gradient_is_autograds(name, visible):
    penalty, value = ACTIVITY[name]
    if visible == "binary":
        rbm = oracles.random_binary(5, 4, scale=0.7)
    else:
        rbm = oracles.random_gaussian(5, 4, scale=0.7, learn_sigma=False)
    v, negative = some_rows(7, 5, 0), some_rows(6, 5, 1)
    plain = gradients_of(ContrastiveDivergence(1), rbm, v, negative)
    with_penalty = gradients_of(ContrastiveDivergence(1, penalty=penalty), rbm, v, negative)
    gW, gc = torch.autograd.grad(value(rbm.mean_h_from_v(v)), [rbm.W, rbm.c])
    torch.testing.assert_close(with_penalty["W"] - plain["W"], gW)
    torch.testing.assert_close(with_penalty["c"] - plain["c"], gc)
    assert torch.equal(with_penalty["b"], plain["b"])


def test_on_biases_only_the_target_pulls_on_nothing_else():
    """cost · (mean activity − target) is added to the gradient of c."""
    rbm = oracles.random_binary(5, 4, scale=0.7)
    v, negative = some_rows(7, 5, 0), some_rows(6, 5, 1)
    plain = gradients_of(ContrastiveDivergence(1), rbm, v, negative)
    rule = ContrastiveDivergence(1, penalty=SparsityTarget(0.1, 3.0, biases_only=True))
    sparse = gradients_of(rule, rbm, v, negative)
    activity = rbm.mean_h_from_v(v).mean(0).detach()
    torch.testing.assert_close(sparse["c"] - plain["c"], 3.0 * (activity - 0.1))
    assert torch.equal(sparse["W"], plain["W"])
    assert torch.equal(sparse["b"], plain["b"])


def test_weights_are_pulled_to_zero_and_biases_spared():
    X = oracles.bars()
    small = {}
    for penalties in ((), (L1(0.02),)):
        rbm = RBM(16, 8, dtype=torch.float64)
        rule = ContrastiveDivergence(1)
        lamina.fit(rbm, X, rule, epochs=60, learning_rate=0.05, batch_size=10, penalties=penalties, random_state=0)
        small[len(penalties)] = (rbm.W.detach().abs() < 0.01).double().mean().item()
    assert small[1] > small[0] + 0.2
    W, b = torch.nn.Parameter(torch.tensor([[1.0, -2.0, 0.0]])), torch.nn.Parameter(torch.ones(3))
    W.grad, b.grad = torch.zeros_like(W), torch.zeros_like(b)
    L1(0.5).add_gradients([W, b])
    assert W.grad.tolist() == [[0.5, -0.5, 0.0]]
    assert b.grad.tolist() == [0.0, 0.0, 0.0]


def test_no_units_weights_are_longer_than_the_limit():
    X = oracles.bars()
    rbm = RBM(16, 8, dtype=torch.float64)
    rule, limit = ContrastiveDivergence(1), [MaxNorm(1.5)]
    lamina.fit(rbm, X, rule, epochs=200, batch_size=10, learning_rate=0.3, penalties=limit, random_state=0)
    norms = rbm.W.detach().norm(dim=0)
    assert norms.max() <= 1.5 + 1e-9
    assert norms.max() > 1.4  # and it was the limit that held them
    short = torch.nn.Parameter(torch.tensor([[0.3], [0.4]]))
    filters = torch.nn.Parameter(torch.full((2, 1, 2, 2), 2.0))
    MaxNorm(1.0).correct([short, filters])
    assert short.tolist() == [[pytest.approx(0.3)], [pytest.approx(0.4)]]
    torch.testing.assert_close(filters.detach().flatten(1).norm(dim=1), torch.ones(2))


def test_long_gradients_are_cut_and_short_ones_left():
    W, b = torch.nn.Parameter(torch.zeros(1, 2)), torch.nn.Parameter(torch.zeros(1))
    for limit, expected in ((6.5, 0.5), (13.0, 1.0), (20.0, 1.0), (float("inf"), 1.0)):  # (3, 4, 12) has length 13
        W.grad, b.grad = torch.tensor([[3.0, -4.0]]), torch.tensor([12.0])
        MaxGradientNorm(limit).add_gradients([W, b])
        torch.testing.assert_close(W.grad, expected * torch.tensor([[3.0, -4.0]]))
        torch.testing.assert_close(b.grad, expected * torch.tensor([12.0]))
    W.grad, b.grad = torch.zeros(1, 2), torch.zeros(1)
    MaxGradientNorm(1.0).add_gradients([W, b])
    assert not W.grad.any()
    assert not b.grad.any()


def test_a_step_is_no_longer_than_the_rate_times_the_limit():
    v = torch.from_numpy(oracles.bars())
    moved = {}
    for limit in (0.01, 1e9):
        rbm = RBM(16, 8, dtype=torch.float64)
        before = torch.cat([p.detach().flatten() for p in rbm.parameters()])
        penalties = [L1(0.1), MaxGradientNorm(limit)]
        lamina.fit(
            rbm, v[:4], ContrastiveDivergence(1), epochs=1, learning_rate=0.5, penalties=penalties, random_state=0
        )
        moved[limit] = torch.cat([p.detach().flatten() for p in rbm.parameters()]) - before
    assert float(moved[0.01].norm()) == pytest.approx(0.5 * 0.01)
    assert float(moved[1e9].norm()) > 0.05
    torch.testing.assert_close(moved[0.01] / moved[0.01].norm(), moved[1e9] / moved[1e9].norm())


def test_sparse_groups_answer_rows_with_few_groups():
    X = oracles.bars()
    data = torch.from_numpy(X)
    active = {}
    for cost in (0.0, 0.3):
        rbm = RBM(16, 12, dtype=torch.float64)
        rule = PersistentContrastiveDivergence(1, n_chains=20, penalty=SparseGroup(3, cost))
        lamina.fit(rbm, X, rule, epochs=200, batch_size=10, learning_rate=0.05, random_state=0)
        active[cost] = rbm.mean_h_from_v(data).view(len(X), -1, 3).norm(dim=-1).mean().item()
    assert active[0.3] < 0.7 * active[0.0]


def test_bad_settings_are_refused():
    X = np.zeros((4, 3))
    for wrong in (
        lambda: L1(-1.0),
        lambda: MaxNorm(0.0),
        lambda: MaxGradientNorm(0.0),
        lambda: SparsityTarget(1.5, 1.0),
        lambda: SparsityTarget(0.1, -1.0),
        lambda: SparseGroup(0, 1.0),
        lambda: lamina.fit(RBM(3, 2), X, ContrastiveDivergence(1), epochs=1, penalties=[SparseGroup(2, 1.0)]),
    ):
        with pytest.raises(SettingError):
            wrong()
    with pytest.raises(SettingError, match="group_size is 2 and the layer has 3 hidden units"):
        lamina.fit(RBM(3, 3), X, ContrastiveDivergence(1, penalty=SparseGroup(2, 1.0)), epochs=1)
    pulled = ContrastiveDivergence(1, penalty=SparsityTarget(0.1, 1.0, biases_only=True))
    lamina.fit(RBM(3, Gaussian(2)), X, pulled, epochs=1)
