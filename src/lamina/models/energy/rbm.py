"""The restricted Boltzmann machine: visible family + hidden family + weights.

E(v, h) = E_v(v; b) + E_h(h; c) − s_v(v)ᵀ W s_h(h)                                     (docs/mathematics.md, eq. 1)

with W (n_visible, n_hidden), b (n_visible,), c (n_hidden,). For Bernoulli units on both sides this is Smolensky's
harmonium, E = −bᵀv − cᵀh − vᵀWh; a Gaussian visible side gives Σ (v−b)²/2σ² − Σ (v/σ²) W h − cᵀh.

The model holds no loop, file or optimiser: sampling is in `lamina.inference`, learning in `lamina.training`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.units import Family, as_family


class RBM(nn.Module):
    """A restricted Boltzmann machine of two families of units; integers mean Bernoulli units.

    ``RBM(784, 500)``, ``RBM(Gaussian(351), 1024)``, ``RBM(Concatenated([Bernoulli(784), Softmax(10)]), 500)``. Any pair
    will do of which at least one side is bounded; two unbounded ones raise `SettingError`. Weights start at N(0, 0.01²)
    and biases at 0 (Hinton 2010, section 8); `initialise` sets them from a stream and the data's mean.
    """

    def __init__(
        self,
        visible: int | Family,
        hidden: int | Family,
        *,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        self.visible = as_family(visible)
        self.hidden = as_family(hidden)
        _check_sides(self.visible, self.hidden)
        self.W = nn.Parameter(torch.empty(self.visible.n, self.hidden.n))
        self.b = nn.Parameter(torch.zeros(self.visible.n))
        self.c = nn.Parameter(torch.zeros(self.hidden.n))
        self.to(dtype)
        self.initialise(random_state)

    @property
    def n_visible(self) -> int:
        return self.visible.n

    @property
    def n_hidden(self) -> int:
        return self.hidden.n

    def extra_repr(self) -> str:
        return f"visible={self.visible!r}, hidden={self.hidden!r}"

    @torch.no_grad()
    def initialise(
        self, random_state: int | Random | None, data_mean: Tensor | None = None, scale: float = 0.01
    ) -> RBM:
        """Draw W from N(0, scale²); set c to 0 and b so that the free visible units have the data's mean."""
        from lamina.core.random import as_random

        random = as_random(random_state).child("weights")
        self.W.copy_(random.normal(self.W.shape, self.W.dtype, self.W.device).mul_(scale))
        self.c.zero_()
        if data_mean is None:
            self.b.zero_()
        else:
            self.b.copy_(self.visible.bias_from_data(data_mean.to(self.b)))
        return self

    # fields ------------------------------------------------------------------------------------------------------

    def field_h(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        """c + s_v(v) W: (..., n_visible) → (..., n_hidden)."""
        self._check_width(v, self.n_visible, "visible")
        return _affine(self.c, self.visible.interaction(v), self.W, out)

    def field_v(self, h: Tensor, out: Tensor | None = None) -> Tensor:
        """b + W s_h(h): (..., n_hidden) → (..., n_visible)."""
        self._check_width(h, self.n_hidden, "hidden")
        return _affine(self.b, self.hidden.interaction(h), self.W.T, out)

    # the four functions of a layer ----------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """E[h | v]: (..., n_visible) → (..., n_hidden)."""
        return self.hidden.mean(self.field_h(v))

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """E[v | h]: (..., n_hidden) → (..., n_visible)."""
        return self.visible.mean(self.field_v(h))

    @torch.no_grad()
    def sample_h_from_v(self, v: Tensor, random: Random) -> Tensor:
        """h ~ p(h | v): (..., n_visible) → (..., n_hidden)."""
        return self.hidden.mean_and_sample_(self.field_h(v), random)[1]

    @torch.no_grad()
    def sample_v_from_h(self, h: Tensor, random: Random) -> Tensor:
        """v ~ p(v | h): (..., n_hidden) → (..., n_visible)."""
        return self.visible.mean_and_sample_(self.field_v(h), random)[1]

    # energies -------------------------------------------------------------------------------------------------------

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h): (..., n_visible), (..., n_hidden) → (...)."""
        interaction = (self.visible.interaction(v) @ self.W * self.hidden.interaction(h)).sum(-1)
        return self.visible.energy(v, self.b) + self.hidden.energy(h, self.c) - interaction

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = −log Σ_h exp(−E(v, h)) = E_v(v; b) − Γ_h(c + s_v(v) W): (..., n_visible) → (...)."""
        return self.visible.energy(v, self.b) - self.hidden.cumulant(self.field_h(v), self.c)

    def free_energy_h(self, h: Tensor) -> Tensor:
        """−log Σ_v exp(−E(v, h)) (an integral for real units): (..., n_hidden) → (...)."""
        return self.hidden.energy(h, self.c) - self.visible.cumulant(self.field_v(h), self.b)

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this machine again; the arrays are the state dict."""
        return {"class": "RBM", "visible": self.visible.spec(), "hidden": self.hidden.spec()}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> RBM:
        """The machine that `spec` describes; ``build`` makes its families."""
        return cls(build(spec["visible"]), build(spec["hidden"]))

    def _check_width(self, x: Tensor, expected: int, side: str) -> None:
        if x.shape[-1] != expected:
            raise DataError(
                f"{side} values have shape {tuple(x.shape)}; expected (..., {expected}): this machine has {expected} "
                f"{side} units"
            )


def _check_sides(visible: Family, hidden: Family) -> None:
    if not (visible.bounded or hidden.bounded):
        raise SettingError(
            f"both sides are unbounded ({visible!r} against {hidden!r}): strong weights would make the partition sum "
            f"infinite; expected at least one side of binary, softmax or binomial units"
        )


def _affine(bias: Tensor, x: Tensor, weights: Tensor, out: Tensor | None) -> Tensor:
    if x.dim() == 2:
        return torch.addmm(bias, x, weights, out=out)
    return torch.add(x @ weights, bias, out=out)
