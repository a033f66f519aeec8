"""Gaussian units: x real, E(x; b) = (x − b)² / 2σ², seen by the weights as s(x) = x / σ².

Given the field f the unit is normal with mean f and variance σ²; the cumulant is
(f² − b²) / 2σ² + ½ log 2πσ². log σ² is a parameter, fixed (σ = 1 unless asked) or learnt; its gradient is
given by `log_variance_statistic` (Melchior, Wang, Wiskott 2017, eq. 11, here for log σ²; Cho, Ilin, Raiko 2011).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number, check_standardised
from lamina.core.random import Random
from lamina.units.family import Family


class Gaussian(Family):
    """``n`` real units with standard deviation ``sigma``, learnt if ``learn_sigma``."""

    bounded = False

    def __init__(self, n: int, sigma: float = 1.0, learn_sigma: bool = False) -> None:
        super().__init__(n)
        check_number("sigma", sigma, low=1e-6)
        self.learn_sigma = bool(learn_sigma)
        log_variance = torch.full((n,), 2 * math.log(sigma))
        if self.learn_sigma:
            self.log_variance = nn.Parameter(log_variance)
        else:
            self.register_buffer("log_variance", log_variance)

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        return ((x - bias) ** 2 * torch.exp(-self.log_variance)).sum(-1) / 2

    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        quadratic = (field**2 - bias**2) * torch.exp(-self.log_variance) / 2
        return (quadratic + (math.log(2 * math.pi) + self.log_variance) / 2).sum(-1)

    def mean_(self, field: Tensor) -> Tensor:
        return field

    def mode(self, field: Tensor) -> Tensor:
        return field.clone()

    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        noise = random.normal(mean.shape, mean.dtype, mean.device)
        return torch.add(mean, noise.mul_(torch.exp(self.log_variance / 2)), out=out)

    def bias_from_data(self, mean: Tensor) -> Tensor:
        return mean.clone()

    def interaction(self, x: Tensor) -> Tensor:
        return x * torch.exp(-self.log_variance)

    def bias_statistic(self, x: Tensor, bias: Tensor) -> Tensor:
        """−∂E/∂b = (x − b)/σ²."""
        return (x - bias) * torch.exp(-self.log_variance)

    def slope_of_mean(self, mean: Tensor) -> Tensor:
        return torch.ones_like(mean)

    def log_variance_statistic(self, x: Tensor, bias: Tensor, input: Tensor) -> Tensor:
        """−∂E/∂log σ² per unit and row: (x − b)²/2σ² − x·input/σ², with input = W s(h) (..., n)."""
        return ((x - bias) ** 2 / 2 - x * input) * torch.exp(-self.log_variance)

    def check(self, X: Any, name: str = "the data") -> None:
        if not self.learn_sigma:
            check_standardised(X, name=name)

    def spec(self) -> dict:
        return {**super().spec(), "learn_sigma": self.learn_sigma}
