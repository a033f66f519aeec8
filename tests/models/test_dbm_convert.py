"""Stacks become deep Boltzmann machines, and these become networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deep_oracles import random_dbm
from lamina import RBM, Gaussian, Stack
from lamina.core.errors import SettingError
from lamina.inference import augmented_rows, deep_mean_field
from lamina.models.convert import dbm_classifier
from lamina.models.energy import DBM


def randomised_stack():
    stack = Stack([RBM(4, 3, dtype=torch.float64), RBM(3, 2, dtype=torch.float64)])
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.copy_(torch.from_numpy(np.random.default_rng(0).normal(0, 1, tuple(parameter.shape))))
    return stack


def test_a_stack_becomes_a_machine():
    stack = randomised_stack()
    dbm = stack.dbm()
    assert isinstance(dbm, DBM)
    assert dbm.sizes == (4, 3, 2)
    assert torch.equal(dbm.W[1], stack[1].W)
    torch.testing.assert_close(dbm.b[1], (stack[0].c + stack[1].b) / 2)
    assert torch.equal(dbm.b[2], stack[1].c)
    with torch.no_grad():
        dbm.W[0].zero_()
    assert (stack[0].W != 0).all()


def test_a_stack_of_one_machine_is_that_machine():
    rbm = RBM(Gaussian(4, sigma=0.5), 3, dtype=torch.float64, random_state=1)
    dbm = Stack([rbm]).dbm()
    v = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    h = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0, 1]]
    torch.testing.assert_close(dbm.energy([v, h]), rbm.energy(v, h))


def test_only_binary_hidden_units_fit():
    with pytest.raises(SettingError, match="Bernoulli hidden units"):
        Stack([RBM(4, Gaussian(3))]).dbm()


def test_the_network_computes_the_mean_field_means():
    dbm = random_dbm(5, 4, 3)
    v = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = dbm_classifier(dbm, 10)
    means = deep_mean_field(dbm, v, tolerance=1e-12, max_iterations=1000).means
    rows = augmented_rows(dbm, v, tolerance=1e-12, max_iterations=1000)
    assert rows.shape == (6, 8)
    for layer, mean in zip(network.hidden_means(rows), means, strict=True):
        torch.testing.assert_close(layer.detach(), mean, rtol=1e-8, atol=1e-8)
    assert (network(rows) == 0).all()
    assert network.sizes == (8, 4, 3, 10)


def test_a_gaussian_side_is_folded_into_the_first_weights():
    dbm = DBM(Gaussian(4, sigma=0.5), 3, 2, dtype=torch.float64, random_state=2)
    v = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows = augmented_rows(dbm, v)
    first = dbm_classifier(dbm, 2).hidden_means(rows)[0]
    expected = torch.sigmoid(dbm.field(1, [v, None, rows[:, 4:]]))
    torch.testing.assert_close(first, expected)


def test_one_and_three_hidden_layers():
    one = random_dbm(5, 4)
    v = torch.eye(5, dtype=torch.float64)
    assert torch.equal(augmented_rows(one, v), v)
    torch.testing.assert_close(dbm_classifier(one, 3).hidden_means(v)[0], one.bottom_up(v)[1])
    three = random_dbm(5, 4, 3, 2)
    network = dbm_classifier(three, 3)
    assert network.sizes == (8, 4, 3, 2, 3)
    torch.testing.assert_close(network.W[1], 2 * three.W[1])
    torch.testing.assert_close(network.W[2].detach(), three.W[2].detach())
