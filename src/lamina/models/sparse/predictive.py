"""Predictive sparse decomposition: a sparse coder with an encoder that learns to guess its codes.

    E(v, h) = ½ ‖v − b − h Dᵀ‖² + cost Σ |h_j| + tie ‖h − F(v)‖²                          (docs/mathematics.md, eq. 150)
    F(v) = g ⊙ tanh(c + (v − b) W)   or   F(v) = g ⊙ S(c + (v − b) W, θ)

with D (n_visible, n_hidden), columns of length 1, and the soft threshold S(x, θ) = sign(x) max(0, |x| − θ). The code of
least energy needs a search; F is one product. In training F follows the codes and, by the last term, the codes stay
where F can follow; afterwards F(v) alone is the code (`mean_h_from_v`), hundreds of times faster.

Sources: Kavukcuoglu, Ranzato, LeCun 2008 (tanh; arXiv:1010.3467); the soft threshold as an encoder: Gregor, LeCun 2010.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.core.random import Random, as_random
from lamina.models.sparse.solvers import Codes, coordinate_descent
from lamina.models.sparse.width import check_width

ENCODERS = ("tanh", "shrink")


class PredictiveSparseCoding(nn.Module):
    """A dictionary of ``n_hidden`` atoms and the encoder "tanh" or "shrink" (soft threshold) that guesses its codes.

    ``cost`` weighs the sum of magnitudes, ``tie`` how much a code must be what the encoder says (0: plain sparse
    coding, which the encoder follows as it can). A code is done when no optimality condition is violated by more than
    ``tolerance`` · cost, or after ``iterations`` sweeps of coordinate descent.

    Parameters: ``D`` (n_visible, n_hidden), of which only directions count (every function divides by the columns'
    lengths); ``W`` (n_visible, n_hidden), ``c``, ``g`` (n_hidden,) and, for "shrink", ``theta`` (n_hidden,) at least 0;
    the offset ``b`` (n_visible,) is set by `initialise` and not learnt. Raises `SettingError`.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        cost: float = 1.0,
        tie: float = 1.0,
        encoder: str = "tanh",
        iterations: int = 100,
        tolerance: float = 1e-2,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        for name, value in (("n_visible", n_visible), ("n_hidden", n_hidden), ("iterations", iterations)):
            check_number(name, value, low=1, integer=True)
        check_number("cost", cost, low=1e-30)
        check_number("tie", tie, low=0.0)
        check_number("tolerance", tolerance, low=0.0)
        if encoder not in ENCODERS:
            raise SettingError(f"encoder is {encoder!r}; expected 'tanh' or 'shrink' (soft threshold)")
        self.cost, self.tie, self.encoder = float(cost), float(tie), encoder
        self.iterations, self.tolerance = int(iterations), float(tolerance)
        n_visible, n_hidden = int(n_visible), int(n_hidden)
        self.D = nn.Parameter(torch.empty(n_visible, n_hidden, dtype=dtype))
        self.W = nn.Parameter(torch.empty(n_visible, n_hidden, dtype=dtype))
        self.c = nn.Parameter(torch.zeros(n_hidden, dtype=dtype))
        self.g = nn.Parameter(torch.ones(n_hidden, dtype=dtype))
        if encoder == "shrink":
            self.theta = nn.Parameter(torch.zeros(n_hidden, dtype=dtype))
        self.b = nn.Parameter(torch.zeros(n_visible, dtype=dtype), requires_grad=False)
        self.initialise(random_state)

    @property
    def n_visible(self) -> int:
        return self.D.shape[0]

    @property
    def n_hidden(self) -> int:
        return self.D.shape[1]

    def extra_repr(self) -> str:
        return (
            f"{self.n_visible}, {self.n_hidden}, encoder={self.encoder!r}, cost={self.cost:g}, tie={self.tie:g}, "
            f"iterations={self.iterations}, tolerance={self.tolerance:g}"
        )

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> PredictiveSparseCoding:
        """Draw atoms from N(0, 1), brought to length 1; W = D, g = 1, c = 0, θ = cost: the first step of a search for
        codes begun at 0. Set b to the data's mean (0 where it is not given)."""
        random = as_random(random_state).child("weights")
        self.D.copy_(random.normal(self.D.shape, self.D.dtype, self.D.device))
        self.D.copy_(self.dictionary())
        self.W.copy_(self.D)
        self.c.zero_()
        self.g.fill_(1.0)
        if self.encoder == "shrink":
            self.theta.fill_(self.cost)
        if data_mean is None:
            self.b.zero_()
        else:
            self.b.copy_(data_mean)
        return self

    def dictionary(self) -> Tensor:
        """Atoms of length 1, (n_visible, n_hidden)."""
        return functional.normalize(self.D, dim=0, eps=1e-30)

    # codes ----------------------------------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """The encoder's guess F(v): (..., n_visible) → (..., n_hidden)."""
        check_width(v, self.n_visible, "visible")
        field = self.c + (v - self.b) @ self.W
        if self.encoder == "tanh":
            return self.g * torch.tanh(field)
        return self.g * field.sign() * functional.relu(field.abs() - self.theta.clamp(min=0))

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """b + h Dᵀ: (..., n_hidden) → (..., n_visible)."""
        check_width(h, self.n_hidden, "hidden")
        return self.b + h @ self.dictionary().T

    @torch.no_grad()
    def codes(self, v: Tensor, **limits: Any) -> Codes:
        """The codes of least energy of rows ``v`` (n, n_visible), searched from the encoder's guess.

        The quadratic terms are those of one dictionary [D; √(2 tie) I] for the rows [v − b, √(2 tie) F(v)].
        ``iterations`` and ``tolerance`` are this model's unless given. `DataError` for NaN or another width.
        """
        check_width(v, self.n_visible, "visible")
        limits = {"iterations": self.iterations, "tolerance": self.tolerance, **limits}
        guess, D, rows = self.mean_h_from_v(v), self.dictionary(), v - self.b
        if self.tie:
            root = (2 * self.tie) ** 0.5
            rows = torch.cat([rows, root * guess], 1)
            D = torch.cat([D, root * torch.eye(self.n_hidden, dtype=D.dtype, device=D.device)])
        return coordinate_descent(rows, D, self.cost, start=guess, **limits)

    def code(self, v: Tensor) -> Tensor:
        """The code of least energy, without a slope: (..., n_visible) → (..., n_hidden)."""
        check_width(v, self.n_visible, "visible")
        rows = v.detach().reshape(-1, self.n_visible)
        return self.codes(rows).h.reshape(*v.shape[:-1], self.n_hidden)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h), eq. 150: (..., n_visible), (..., n_hidden) → (...). Differentiable in all parameters but b."""
        apart = (v - self.mean_v_from_h(h)).square().sum(-1) / 2
        guessed = (h - self.mean_h_from_v(v)).square().sum(-1)
        return apart + self.cost * h.abs().sum(-1) + self.tie * guessed

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this model again; the arrays are the state dict."""
        return {
            "class": "PredictiveSparseCoding",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "cost": self.cost,
            "tie": self.tie,
            "encoder": self.encoder,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> PredictiveSparseCoding:
        """The model that `spec` describes."""
        settings = {name: value for name, value in spec.items() if name not in ("class", "n_visible", "n_hidden")}
        return cls(spec["n_visible"], spec["n_hidden"], **settings)
