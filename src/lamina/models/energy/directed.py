"""A directed layer: a generative direction downward and a recognition direction upward, each with its own weights.

    p(x | y) with field b + W s_y(y)        generation      (docs/mathematics.md, eq. 70)
    q(y | x) with field c + s_x(x) R        recognition     (docs/mathematics.md, eq. 71)

x is the lower side (``visible``), y the upper one (``hidden``); units of one side are independent given the other. A
layer copied from a machine has R = W (tied); learning by wake-sleep lets the two part.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lamina.core.errors import DataError
from lamina.core.random import Random, as_random
from lamina.models.energy.rbm import RBM
from lamina.units import Family, as_family


class DirectedLayer(nn.Module):
    """Generative weights W (n_visible, n_hidden) with biases b, recognition weights R of the same shape with biases c.

    Integers mean Bernoulli units: a layer of a sigmoid belief network (Neal 1992). Starts tied, at N(0, 0.01²).
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
        self.visible, self.hidden = as_family(visible), as_family(hidden)
        shape = (self.visible.n, self.hidden.n)
        start = as_random(random_state).child("weights").normal(shape, dtype).mul_(0.01)
        self.W = nn.Parameter(start)
        self.R = nn.Parameter(start.clone())
        self.b = nn.Parameter(torch.zeros(self.visible.n))
        self.c = nn.Parameter(torch.zeros(self.hidden.n))
        self.to(dtype)

    @property
    def n_visible(self) -> int:
        return self.visible.n

    @property
    def n_hidden(self) -> int:
        return self.hidden.n

    @torch.no_grad()
    def tie_to(self, rbm: RBM) -> DirectedLayer:
        """Take the weights of ``rbm`` in both directions, and what its families have learnt."""
        for mine, given in ((self.W, rbm.W), (self.R, rbm.W), (self.b, rbm.b), (self.c, rbm.c)):
            mine.copy_(given)
        self.visible.load_state_dict(rbm.visible.state_dict())
        self.hidden.load_state_dict(rbm.hidden.state_dict())
        return self

    # both directions ------------------------------------------------------------------------------------------------

    def field_v(self, h: Tensor) -> Tensor:
        """b + W s_h(h), generation: (..., n_hidden) → (..., n_visible)."""
        _check_width(h, self.n_hidden, "hidden")
        return self.hidden.interaction(h) @ self.W.T + self.b

    def field_h(self, v: Tensor) -> Tensor:
        """c + s_v(v) R, recognition: (..., n_visible) → (..., n_hidden)."""
        _check_width(v, self.n_visible, "visible")
        return self.visible.interaction(v) @ self.R + self.c

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """E_p[v | h]: (..., n_hidden) → (..., n_visible)."""
        return self.visible.mean(self.field_v(h))

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """E_q[h | v]: (..., n_visible) → (..., n_hidden)."""
        return self.hidden.mean(self.field_h(v))

    @torch.no_grad()
    def sample_v_from_h(self, h: Tensor, random: Random) -> Tensor:
        """v ~ p(v | h): (..., n_hidden) → (..., n_visible)."""
        return self.visible.sample(self.field_v(h), random)

    @torch.no_grad()
    def sample_h_from_v(self, v: Tensor, random: Random) -> Tensor:
        """h ~ q(h | v): (..., n_visible) → (..., n_hidden)."""
        return self.hidden.sample(self.field_h(v), random)

    def log_p_v_from_h(self, v: Tensor, h: Tensor) -> Tensor:
        """log p(v | h): (..., n_visible), (..., n_hidden) → (...)."""
        return _log_probability(self.visible, v, self.field_v(h), self.b)

    def log_q_h_from_v(self, h: Tensor, v: Tensor) -> Tensor:
        """log q(h | v): (..., n_hidden), (..., n_visible) → (...)."""
        return _log_probability(self.hidden, h, self.field_h(v), self.c)

    def extra_repr(self) -> str:
        return f"visible={self.visible!r}, hidden={self.hidden!r}"


def _log_probability(family: Family, x: Tensor, field: Tensor, bias: Tensor) -> Tensor:
    """log p(x | f) = −E(x; b) + s(x)·(f − b) − Γ(f; b), summed over units (docs/mathematics.md, eq. 72)."""
    linear = (family.interaction(x) * (field - bias)).sum(-1)
    return linear - family.energy(x, bias) - family.cumulant(field, bias)


def _check_width(x: Tensor, expected: int, side: str) -> None:
    if x.shape[-1] != expected:
        raise DataError(
            f"{side} values have shape {tuple(x.shape)}; expected (..., {expected}): this layer has {expected} "
            f"{side} units"
        )
