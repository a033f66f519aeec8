"""Small functions where the obvious formula over- or underflows."""

from __future__ import annotations

import math

import pytest
import torch

from lamina.core.numerics import bernoulli_entropy, log1pexp, logit


def test_log1pexp_is_exact_everywhere():
    x = torch.tensor([-800.0, -50.0, -1.0, 0.0, 1.0, 50.0, 800.0], dtype=torch.float64)
    # log(1 + e^-50) is e^-50 to the last digit; for e^800 the 1 is lost
    expected = [0.0, math.exp(-50), math.log1p(math.exp(-1)), math.log(2), 1 + math.log1p(math.exp(-1)), 50.0, 800.0]
    torch.testing.assert_close(log1pexp(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-15, atol=0)


def test_the_slope_of_log1pexp_is_the_sigmoid_also_at_zero():
    x = torch.tensor([-900.0, -3.0, 0.0, 3.0, 900.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log1pexp(x).sum(), x)
    torch.testing.assert_close(slope, torch.sigmoid(x.detach()))


def test_entropy_of_certain_variables_is_zero():
    p = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(bernoulli_entropy(p), torch.tensor([0.0, math.log(2), 0.0]))


def test_logit_is_clamped():
    p = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    limit = math.log(99)
    assert logit(p, 0.01).tolist() == pytest.approx([-limit, math.log(0.3 / 0.7), limit])
