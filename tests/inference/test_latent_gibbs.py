"""Filling in by a variational autoencoder: draws of the joint stay draws of the joint, however bad the encoder is."""

from __future__ import annotations

import pytest
import torch

from lamina.core.random import Random
from lamina.inference import latent_gibbs
from lamina.models.autoencoders import VariationalAutoencoder

N, STEPS = 20_000, 4


def strong(likelihood: str) -> VariationalAutoencoder:
    model = VariationalAutoencoder(4, 2, hidden=(3,), likelihood=likelihood, dtype=torch.float64)
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.copy_(0.9 * Random(2).child(k).normal(parameter.shape, parameter.dtype))
    return model


def moments(v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """All products of two of (1, v, h), one row each."""
    joined = torch.cat([torch.ones(len(v), 1, dtype=v.dtype), v, h], 1)
    return (joined[:, :, None] * joined[:, None]).flatten(1)


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("held", [None, [0, 2]])
def test_the_joint_distribution_stays(likelihood, held):
    model, random = strong(likelihood), Random(1)
    h = random.normal((N, 2), torch.float64)
    v = model.sample_v_from_h(h, random)
    known = None if held is None else torch.zeros(N, 4, dtype=torch.bool).index_fill(1, torch.tensor(held), True)
    before, first, moved = moments(v, h), v, h
    for step in range(STEPS):
        v, h = latent_gibbs(model, v, h, random.at(step + 1), known)
    if held is not None:
        assert torch.equal(v[:, held], first[:, held])
    share = (h != moved).any(1).double().mean()
    assert 0.2 < share <= 1  # it does move
    change = moments(v, h) - before
    error = change.std(0) / N**0.5
    assert (change.mean(0).abs() < 5 * error + 1e-12).all()


@torch.no_grad()
def test_the_test_above_would_tell_a_chain_without_rejection():
    model, random = strong("bernoulli"), Random(1)
    h = random.normal((N, 2), torch.float64)
    v = model.sample_v_from_h(h, random)
    before = moments(v, h)
    for step in range(STEPS):
        h = model.sample_h_from_v(v, random.at(step + 1))
        v = model.sample_v_from_h(h, random)
    change = moments(v, h) - before
    assert (change.mean(0).abs() > 20 * change.std(0) / N**0.5).any()
