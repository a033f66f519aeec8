"""The general Boltzmann machine: binary units, some of them visible, with symmetric weights among all of them.

E(s) = −½ sᵀ W s − bᵀ s,   s = (v, h),   p(s_i = 1 | all others) = σ(b_i + Σ_j W_ij s_j)   (docs/mathematics.md, eq. 60)

W (n_units, n_units) is symmetric with a zero diagonal, b (n_units,), visible units first. Its blocks are the lateral
weights of the visible units, visible-hidden weights, and lateral weights of the hidden units. With
``connections="semi-restricted"`` the last block stays 0: hidden units are then independent given the visible ones
and can be summed out. With "full" connections a sum over 2^n_hidden states takes its place, possible for small machines
alone.

Sources: Ackley, Hinton and Sejnowski 1985; Osindero and Hinton 2008 (semi-restricted).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.numerics import log1pexp
from lamina.core.random import Random, as_random
from lamina.models.energy.boltzmann_path import BoltzmannPath
from lamina.units import Bernoulli

CONNECTIONS = ("full", "semi-restricted")
MOST_SUMMED = 20  # units whose states are enumerated
TERMS_AT_ONCE = 1 << 22


class BoltzmannMachine(nn.Module):
    """``n_visible`` and ``n_hidden`` (0 allowed) units of 0 and 1.

    Weights start at N(0, 0.01²), biases at 0; `initialise` sets them from a stream and the data's mean.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int = 0,
        connections: str = "full",
        *,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        self.mask: Tensor
        check_number("n_visible", n_visible, low=1, integer=True)
        check_number("n_hidden", n_hidden, low=0, integer=True)
        if connections not in CONNECTIONS:
            raise SettingError(f"connections is {connections!r}; expected one of {', '.join(CONNECTIONS)}")
        self.n_visible, self.n_hidden, self.connections = int(n_visible), int(n_hidden), connections
        self.W = nn.Parameter(torch.empty(self.n_units, self.n_units))
        self.b = nn.Parameter(torch.zeros(self.n_units))
        self.register_buffer("mask", self._allowed(), persistent=False)
        self.to(dtype)
        self.initialise(random_state)

    def _allowed(self) -> Tensor:
        """1 where two units may be connected, (n_units, n_units)."""
        mask = 1 - torch.eye(self.n_units)
        if self.connections == "semi-restricted":
            mask[self.n_visible :, self.n_visible :] = 0
        return mask

    @property
    def n_units(self) -> int:
        return self.n_visible + self.n_hidden

    @property
    def has_coupled_hidden(self) -> bool:
        """Whether hidden units see each other: then nothing about them is exact in closed form."""
        return self.connections == "full" and self.n_hidden > 1

    @property
    def visible_to_hidden(self) -> Tensor:
        """The block (n_visible, n_hidden) of W."""
        return self.W[: self.n_visible, self.n_visible :]

    def extra_repr(self) -> str:
        return f"{self.n_visible}, {self.n_hidden}, connections={self.connections!r}"

    @torch.no_grad()
    def initialise(
        self, random_state: int | Random | None, data_mean: Tensor | None = None, scale: float = 0.01
    ) -> BoltzmannMachine:
        """Draw each pair's weight from N(0, scale²); biases 0, the visible ones so that free units have the mean."""
        random = as_random(random_state).child("weights")
        upper = random.normal(self.W.shape, self.W.dtype, self.W.device).mul_(scale).triu_(1)
        self.W.copy_((upper + upper.T) * self.mask)
        self.b.zero_()
        if data_mean is not None:
            self.b[: self.n_visible] = Bernoulli(self.n_visible).bias_from_data(data_mean.to(self.b))
        return self

    # energies and conditionals --------------------------------------------------------------------------------------

    def join(self, v: Tensor, h: Tensor | None = None) -> Tensor:
        """States of all units: (..., n_visible), (..., n_hidden) → (..., n_units)."""
        self._check_width(v, self.n_visible, "visible values")
        if h is None and self.n_hidden == 0:
            return v
        if h is None:
            raise DataError(f"the hidden values are missing; expected (..., {self.n_hidden}) of them")
        self._check_width(h, self.n_hidden, "hidden values")
        return torch.cat([v, h], -1)

    def field(self, s: Tensor) -> Tensor:
        """b + W s: (..., n_units) → (..., n_units)."""
        self._check_width(s, self.n_units, "states")
        return s @ self.W + self.b

    def mean_given_others(self, s: Tensor) -> Tensor:
        """p(s_i = 1 | all other units) for each unit i: (..., n_units) → (..., n_units)."""
        return torch.sigmoid(self.field(s))

    def energy(self, s: Tensor) -> Tensor:
        """E(s): (..., n_units) → (...)."""
        self._check_width(s, self.n_units, "states")
        return -(s * (s @ self.W)).sum(-1) / 2 - s @ self.b

    def field_h(self, v: Tensor) -> Tensor:
        """What hidden units see of the visible ones, b_h + W_vhᵀ v: (..., n_visible) → (..., n_hidden)."""
        self._check_width(v, self.n_visible, "visible values")
        return v @ self.visible_to_hidden + self.b[self.n_visible :]

    def visible_energy(self, v: Tensor) -> Tensor:
        """E(v, 0), the energy with all hidden units off: (..., n_visible) → (...)."""
        lateral = self.W[: self.n_visible, : self.n_visible]
        return -(v * (v @ lateral)).sum(-1) / 2 - v @ self.b[: self.n_visible]

    # exact sums -----------------------------------------------------------------------------------------------------

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = −log Σ_h exp(−E(v, h)): (..., n_visible) → (...).

        In closed form where hidden units do not see each other; otherwise a sum over 2^n_hidden states, and
        `SettingError` above 20 hidden units.
        """
        field = self.field_h(v)
        if not self.has_coupled_hidden:
            return self.visible_energy(v) - log1pexp(field).sum(-1)
        states = self._states(self.n_hidden)
        lateral = self.W[self.n_visible :, self.n_visible :]
        log_weights = field @ states.T + ((states @ lateral) * states).sum(-1) / 2
        return self.visible_energy(v) - torch.logsumexp(log_weights, -1)

    @torch.no_grad()
    def exact_log_partition(self) -> float:
        """log Z in float64 by a sum over all visible states (and hidden ones where they see each other).

        Exponential: `SettingError` above 20 visible units, or 20 coupled hidden ones.
        """
        rows = max(1, TERMS_AT_ONCE >> self.n_hidden)
        parts = [-self.free_energy(v).double() for v in self._states(self.n_visible).split(rows)]
        return float(torch.logsumexp(torch.cat(parts), 0))

    def _states(self, n: int) -> Tensor:
        if n > MOST_SUMMED:
            raise SettingError(f"{n} units have 2^{n} states; expected at most {MOST_SUMMED} units to sum over")
        return Bernoulli(n).states(self.W.dtype).to(self.W.device)

    # where samplers and files meet it -------------------------------------------------------------------------------

    def annealing_path(self, data_mean: Any = None) -> BoltzmannPath:
        """The path of annealed importance sampling to this machine (docs/mathematics.md, eq. 62)."""
        return BoltzmannPath(self, data_mean)

    def spec(self) -> dict:
        """What JSON must hold to build this machine again; W and b are the state dict."""
        return {
            "class": "BoltzmannMachine",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "connections": self.connections,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> BoltzmannMachine:
        """The machine that `spec` describes."""
        return cls(spec["n_visible"], spec["n_hidden"], spec["connections"])

    def _check_width(self, x: Tensor, expected: int, what: str) -> None:
        if x.dim() == 0 or x.shape[-1] != expected:
            raise DataError(f"{what} have shape {tuple(x.shape)}; expected (..., {expected}): one value per unit")
