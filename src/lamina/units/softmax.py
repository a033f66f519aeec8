"""Softmax units: groups of ``n_values`` units of which exactly one is on, E(x; b) = −b x (eq. 21).

Within a group p(x = e_k | f) = e^{f_k} / Σ_j e^{f_j}; the cumulant is the sum over groups of log Σ_j e^{f_j}. Biases of
a group may be shifted together without changing anything but a constant in the energy. Used for labels (Hinton,
Osindero, Teh 2006) and ratings (Salakhutdinov, Mnih, Hinton 2007).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random
from lamina.units.family import Family, digits
from lamina.units.limits import check_limits, check_width


class Softmax(Family):
    """``n_groups`` variables with ``n_values`` values each, one-of-K: n = n_values · n_groups units, group after group.

    Rows that hold probabilities within each group are taken as such, like grey pixels.
    """

    def __init__(self, n_values: int, n_groups: int = 1) -> None:
        check_number("n_values", n_values, low=1, integer=True)
        check_number("n_groups", n_groups, low=1, integer=True)
        super().__init__(int(n_values) * int(n_groups))
        self.n_values, self.n_groups = int(n_values), int(n_groups)

    def groups(self, x: Tensor) -> Tensor:
        """(..., n) as (..., n_groups, n_values): a view where it can be one."""
        return x.unflatten(-1, (self.n_groups, self.n_values))

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        return -(x @ bias)

    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        return torch.logsumexp(self.groups(field), -1).sum(-1)

    def mean_(self, field: Tensor) -> Tensor:
        return field.copy_(torch.softmax(self.groups(field), -1).flatten(-2))

    def mode(self, field: Tensor) -> Tensor:
        return self._one_hot(self.groups(field).argmax(-1), torch.empty_like(field))

    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        """By inverting the distribution function, one uniform number per group: a value of mean 0 is never drawn."""
        upto = self.groups(mean.detach()).cumsum(-1)
        uniform = random.uniform(upto.shape[:-1], mean.dtype, mean.device)
        chosen = (upto <= (uniform * upto[..., -1])[..., None]).sum(-1)
        return self._one_hot(chosen.clamp_(max=self.n_values - 1), torch.empty_like(mean) if out is None else out)

    def _one_hot(self, chosen: Tensor, out: Tensor) -> Tensor:
        """Numbers of the units that are on, (..., n_groups) int64, as rows of zeros and ones in ``out`` (..., n)."""
        first = torch.arange(0, self.n, self.n_values, device=chosen.device)
        return out.zero_().scatter_(-1, chosen + first, 1.0)

    def bias_from_data(self, mean: Tensor) -> Tensor:
        """Logarithms of the means, a value that never occurs counted as a hundredth of an even share."""
        return torch.log(mean.clamp(min=0.01 / self.n_values))

    @property
    def n_states(self) -> int:
        return self.n_values**self.n_groups

    def states_at(self, index: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        chosen = digits(index, self.n_values, self.n_groups)
        return self._one_hot(chosen, torch.empty(len(index), self.n, dtype=dtype, device=index.device))

    def check(self, X: Any, name: str = "the data") -> None:
        check_width(X, self.n, name, "softmax units")
        hint = f"code each group of {self.n_values} values as one-of-{self.n_values}"
        check_limits(X, 0, 1, name, "softmax units", hint)
        step = max(1, (1 << 23) // self.n)  # rows of 64 MiB at most, so that a memory map is not loaded whole
        for start in range(0, X.shape[0], step):
            rows = np.asarray(X[start : start + step], dtype=np.float64)
            sums = rows.reshape(-1, self.n_groups, self.n_values).sum(2)
            row, group = np.unravel_index(np.abs(sums - 1).argmax(), sums.shape)
            if abs(sums[row, group] - 1) > 1e-3:
                raise DataError(
                    f"{name}: row {start + row}, group {group} sums to {sums[row, group]:g}; expected 1 in every group "
                    f"of {self.n_values} columns: {hint}, or give probabilities"
                )

    def spec(self) -> dict:
        return {"class": "Softmax", "n_values": self.n_values, "n_groups": self.n_groups}

    def extra_repr(self) -> str:
        return f"n_values={self.n_values}, n_groups={self.n_groups}"
