"""Optimisers against PyTorch's where both agree, against their formulas where not."""

import math

import pytest
import torch

from lamina.training.step_velocity import Kept, PlainEpsilonAdam, VelocityMomentum


def pair(seed=0):
    """Two equal parameters, for two optimisers."""
    start = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [torch.nn.Parameter(start.clone()) for _ in range(2)]


def gradients(n=6):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(n)]


def walk(optimiser, parameter, rates, momentum=0.9):
    for g, rate in zip(gradients(), rates, strict=True):
        parameter.grad = g.clone()
        for group in optimiser.param_groups:
            group["lr"] = rate
            if "momentum" in group:
                group["momentum"] = momentum
        optimiser.step()
    return parameter.detach()


@pytest.mark.parametrize("nesterov", [False, True])
def test_with_one_rate_momentum_is_pytorchs(nesterov):
    a, b = pair()
    theirs = torch.optim.SGD([b], lr=0.1, momentum=0.9, nesterov=nesterov)
    ours = VelocityMomentum([a], nesterov=nesterov)
    torch.testing.assert_close(walk(ours, a, [0.1] * 6), walk(theirs, b, [0.1] * 6), rtol=1e-12, atol=1e-14)


def test_a_new_rate_leaves_earlier_steps_as_they_are():
    """After a rate of 0 nothing new comes in: the velocity alone carries on, μ v, μ² v, ..."""
    (p, _), g = pair(), torch.ones(4, 3, dtype=torch.float64)
    before = p.detach().clone()
    optimiser = VelocityMomentum([p])
    for rate in (0.5, 0.0, 0.0):
        p.grad = g
        optimiser.param_groups[0].update(lr=rate, momentum=0.9)
        optimiser.step()
    torch.testing.assert_close(p.detach(), before - 0.5 * (1 + 0.9 + 0.81))


def test_adam_is_its_formula():
    (p, _), rate, b1, b2, e = pair(), 0.01, 0.8, 0.95, 1e-2
    expected, m, v = p.detach().clone(), 0.0, 0.0
    for t, g in enumerate(gradients(), 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        expected -= rate * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (v.sqrt() + e)
    found = walk(PlainEpsilonAdam([p], beta1=b1, beta2=b2, epsilon=e), p, [rate] * 6)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_without_epsilon_adam_is_pytorchs():
    a, b = pair()
    theirs = torch.optim.Adam([b], lr=0.0, betas=(0.9, 0.999), eps=1e-300)
    ours = PlainEpsilonAdam([a], epsilon=1e-300)
    torch.testing.assert_close(walk(ours, a, [0.01] * 6), walk(theirs, b, [0.01] * 6), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [VelocityMomentum, PlainEpsilonAdam])
def test_the_state_of_one_goes_on_in_another(kind):
    a, b = pair()
    whole, first = kind([a]), kind([b])
    rates = [0.01] * 6
    walk(whole, a, rates)
    walk(whole, a, rates)
    walk(first, b, rates)
    second = kind([b])
    second.load_state_dict(first.state_dict())
    walk(second, b, rates)
    assert torch.equal(a, b)


def test_what_is_kept_is_handed_back():
    optimiser = VelocityMomentum([torch.nn.Parameter(torch.zeros(2))])
    choice = Kept(optimiser)
    assert choice.build([], torch.device("cpu")) is optimiser
    assert choice.describe() == "VelocityMomentum"
