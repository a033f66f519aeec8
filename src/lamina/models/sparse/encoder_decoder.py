"""An encoder, a sparsifying logistic and a decoder: sparse codes by energy, with nothing but gradients.

    z̄ = η e^{βz} / (η e^{βz} + (1 − η) ζ) = σ(βz − log((1 − η) ζ/η))                      (docs/mathematics.md, eq. 151)
    E(v, z) = (tie/2) ‖z − (v − b) W‖² + ½ ‖v − b − z̄ Dᵀ‖²                                (eq. 152)

ζ_j is a running mean of e^{βz_j} over the rows seen, so that z̄_j is large only where z_j is far above its own past:
each unit is active on a share of about η of the rows, and no unit is left out. After training ζ is a constant, and the
logistic a sigmoid with biases. The columns of D (n_visible, n_hidden) have length 1: else z would shrink and D grow.

The code of a row is the z of least energy, found by gradient descent from the encoder's guess z = (v − b) W; after
training the guess is close to it and is used alone.

Source: Ranzato, Poultney, Chopra, LeCun 2006, Efficient learning of sparse representations with an energy-based model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.random import Random, as_random
from lamina.models.sparse.width import check_width

FASTER, SLOWER = 1.25, 0.5  # a step's size after one that lowered a row's energy, and after one that did not


@dataclass(frozen=True)
class EnergyCodes:
    """``z`` (n, n_hidden) and their energies (n,), and the energies (n,) of the encoder's guesses."""

    z: Tensor
    energy: Tensor
    guessed_energy: Tensor


class SparseEncoderDecoder(nn.Module):
    """``n_hidden`` units that are active on a share ``eta`` of the rows, with slope ``beta`` of the logistic.

    ``tie`` weighs the encoder's error against the decoder's; ``iterations`` are steps of the search for a code.
    Parameters: ``W`` and ``D`` (n_visible, n_hidden), of D only the directions count; the offset ``b`` (n_visible,) is
    set by `initialise` and not learnt. The buffer ``log_zeta`` (n_hidden,) is moved by the rule. Raises `SettingError`.
    """

    log_zeta: Tensor

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        eta: float = 0.02,
        beta: float = 1.0,
        tie: float = 1.0,
        iterations: int = 10,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        for name, value in (("n_visible", n_visible), ("n_hidden", n_hidden), ("iterations", iterations)):
            check_number(name, value, low=1, integer=True)
        check_number("eta", eta, low=1e-6, high=1 - 1e-6)
        check_number("beta", beta, low=1e-6)
        check_number("tie", tie, low=1e-6)
        self.eta, self.beta, self.tie, self.iterations = float(eta), float(beta), float(tie), int(iterations)
        n_visible, n_hidden = int(n_visible), int(n_hidden)
        self.W = nn.Parameter(torch.empty(n_visible, n_hidden, dtype=dtype))
        self.D = nn.Parameter(torch.empty(n_visible, n_hidden, dtype=dtype))
        self.b = nn.Parameter(torch.zeros(n_visible, dtype=dtype), requires_grad=False)
        self.register_buffer("log_zeta", torch.zeros(n_hidden, dtype=dtype))
        self.initialise(random_state)

    @property
    def n_visible(self) -> int:
        return self.W.shape[0]

    @property
    def n_hidden(self) -> int:
        return self.W.shape[1]

    def extra_repr(self) -> str:
        return (
            f"{self.n_visible}, {self.n_hidden}, eta={self.eta:g}, beta={self.beta:g}, tie={self.tie:g}, "
            f"iterations={self.iterations}"
        )

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> SparseEncoderDecoder:
        """Draw W from N(0, 1/n_visible) and the columns of D on the sphere; ζ = 1, the value at z = 0. Set b to the
        data's mean (0 where it is not given)."""
        random = as_random(random_state).child("weights")
        self.W.copy_(random.normal(self.W.shape, self.W.dtype, self.W.device) / math.sqrt(self.n_visible))
        self.D.copy_(random.normal(self.D.shape, self.D.dtype, self.D.device))
        self.D.copy_(self.dictionary())
        self.log_zeta.zero_()
        if data_mean is None:
            self.b.zero_()
        else:
            self.b.copy_(data_mean)
        return self

    def dictionary(self) -> Tensor:
        """The decoder's columns at length 1, (n_visible, n_hidden)."""
        return functional.normalize(self.D, dim=0, eps=1e-30)

    # the functions of a layer ---------------------------------------------------------------------------------------

    def field_h(self, v: Tensor) -> Tensor:
        """The encoder's guess z = (v − b) W: (..., n_visible) → (..., n_hidden)."""
        check_width(v, self.n_visible, "visible")
        return (v - self.b) @ self.W

    def sparse(self, z: Tensor) -> Tensor:
        """The sparsifying logistic z̄, eq. 151: (..., n_hidden) → (..., n_hidden) in (0, 1)."""
        return torch.sigmoid(self.beta * z - self.log_zeta + math.log(self.eta / (1 - self.eta)))

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """z̄ of the encoder's guess: (..., n_visible) → (..., n_hidden)."""
        return self.sparse(self.field_h(v))

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """b + h Dᵀ of sparse codes h = z̄: (..., n_hidden) → (..., n_visible)."""
        check_width(h, self.n_hidden, "hidden")
        return self.b + h @ self.dictionary().T

    # energy ---------------------------------------------------------------------------------------------------------

    def energy(self, v: Tensor, z: Tensor) -> Tensor:
        """E(v, z), eq. 152: (..., n_visible), (..., n_hidden) → (...)."""
        guessed = (z - self.field_h(v)).square().sum(-1)
        return self.tie / 2 * guessed + (v - self.mean_v_from_h(self.sparse(z))).square().sum(-1) / 2

    @torch.no_grad()
    def codes(self, v: Tensor, iterations: int | None = None) -> EnergyCodes:
        """The z of least energy of rows ``v`` (n, n_visible), by gradient descent from the encoder's guess.

        Every row has a step of its own, which grows while the energy falls; a step that would raise a row's energy is
        not taken and halves the row's next one. So the energy never rises; it may end in a local minimum.
        """
        guess = self.field_h(v)
        rows, D, z = v - self.b, self.dictionary(), guess
        h = self.sparse(z)
        error = h @ D.T - rows
        energy = first = error.square().sum(1) / 2
        step = torch.full_like(energy, 1.0 / (self.tie + self.beta**2 / 4)).unsqueeze(1)
        for _ in range(self.iterations if iterations is None else iterations):
            slope = self.tie * (z - guess) + self.beta * (error @ D) * h * (1 - h)
            z_new = z - step * slope
            h_new = self.sparse(z_new)
            error_new = h_new @ D.T - rows
            energy_new = self.tie / 2 * (z_new - guess).square().sum(1) + error_new.square().sum(1) / 2
            lower = (energy_new <= energy).unsqueeze(1)
            z, h, error = (torch.where(lower, new, old) for new, old in ((z_new, z), (h_new, h), (error_new, error)))
            energy = torch.minimum(energy_new, energy)
            step = torch.where(lower, step * FASTER, step * SLOWER)
        return EnergyCodes(z, energy, first)

    def code(self, v: Tensor) -> Tensor:
        """z̄ of the code of least energy, without a slope: (..., n_visible) → (..., n_hidden)."""
        check_width(v, self.n_visible, "visible")
        rows = v.detach().reshape(-1, self.n_visible)
        return self.sparse(self.codes(rows).z).reshape(*v.shape[:-1], self.n_hidden)

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this model again; the arrays are the state dict."""
        return {
            "class": "SparseEncoderDecoder",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "eta": self.eta,
            "beta": self.beta,
            "tie": self.tie,
            "iterations": self.iterations,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> SparseEncoderDecoder:
        """The model that `spec` describes."""
        settings = {name: value for name, value in spec.items() if name not in ("class", "n_visible", "n_hidden")}
        return cls(spec["n_visible"], spec["n_hidden"], **settings)
