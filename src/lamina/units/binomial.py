"""Binomial units: x ∈ {0, ..., N}, E(x; b) = −b x − log C(N, x): how many of N twin Bernoulli units are on (eq. 22).

The cumulant is N log(1 + e^f), the mean N σ(f). N copies of a unit with tied weights and bias give finer graded values
than one (Teh, Hinton 2001: "rate-coded" machines).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.numerics import log1pexp, logit
from lamina.core.random import Random
from lamina.units.family import Family, digits
from lamina.units.limits import check_limits


class Binomial(Family):
    """``n`` counts of ``trials`` each. Values between whole numbers are taken as means."""

    def __init__(self, n: int, trials: int) -> None:
        super().__init__(n)
        check_number("trials", trials, low=1, integer=True)
        self.trials = int(trials)

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        log_ways = math.lgamma(self.trials + 1) - torch.lgamma(x + 1) - torch.lgamma(self.trials - x + 1)
        return -(x @ bias) - log_ways.sum(-1)

    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        return self.trials * log1pexp(field).sum(-1)

    def mean_(self, field: Tensor) -> Tensor:
        return field.sigmoid_().mul_(self.trials)

    def mean(self, field: Tensor) -> Tensor:
        return self.trials * torch.sigmoid(field)

    def mode(self, field: Tensor) -> Tensor:
        return ((self.trials + 1) * torch.sigmoid(field)).floor_().clamp_(max=self.trials)

    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        """The sum of ``trials`` Bernoulli draws: exact, at the price of as many."""
        chance = mean.detach() / self.trials
        total = random.bernoulli(chance)
        once = torch.empty_like(total)
        for _ in range(self.trials - 1):
            total += random.bernoulli(chance, out=once)
        return total if out is None else out.copy_(total)

    def bias_from_data(self, mean: Tensor) -> Tensor:
        return logit(mean / self.trials, margin=0.01)

    def slope_of_mean(self, mean: Tensor) -> Tensor:
        return mean * (1 - mean / self.trials)

    @property
    def n_states(self) -> int:
        return (self.trials + 1) ** self.n

    def states_at(self, index: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        return digits(index, self.trials + 1, self.n).to(dtype)

    def check(self, X: Any, name: str = "the data") -> None:
        what = f"binomial units of {self.trials} trials"
        check_limits(X, 0, self.trials, name, what, "give counts, and as many trials as the largest")

    def spec(self) -> dict:
        return {**super().spec(), "trials": self.trials}

    def extra_repr(self) -> str:
        return f"{self.n}, trials={self.trials}"
