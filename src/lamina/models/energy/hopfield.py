"""The Hopfield network: N units of ±1 with symmetric weights, a memory for patterns.

E(s) = −½ sᵀ W s − bᵀ s,   field f(s) = W s + b,   s_i ← sign f_i (kept where f_i = 0)     (docs/mathematics.md, eq. 63)

Rows of patterns are written into W by the storage rules of `lamina.training.hebbian`; the dynamics are in
`lamina.inference.recall`. W is symmetric with a zero diagonal, which is what makes the energy fall when one unit
after another is updated.

Source: J. J. Hopfield (1982), Neural networks and physical systems with emergent collective computational abilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError


class Hopfield(nn.Module):
    """A network of ``n`` units of ±1, empty (W = 0, b = 0) until patterns are stored.

    W (n, n) and b (n,) are parameters that no optimiser moves: storage rules set them.
    """

    def __init__(self, n: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        check_number("number of units", n, low=1, integer=True)
        self.W = nn.Parameter(torch.zeros(int(n), int(n), dtype=dtype), requires_grad=False)
        self.b = nn.Parameter(torch.zeros(int(n), dtype=dtype), requires_grad=False)

    @property
    def n(self) -> int:
        return self.W.shape[0]

    @property
    def n_visible(self) -> int:
        return self.n

    def extra_repr(self) -> str:
        return str(self.n)

    def field(self, s: Tensor) -> Tensor:
        """W s + b: (..., n) → (..., n)."""
        self.check_width(s)
        return s @ self.W + self.b

    def energy(self, s: Tensor) -> Tensor:
        """E(s) = −½ sᵀ W s − bᵀ s: (..., n) → (...)."""
        self.check_width(s)
        return -(s * (s @ self.W)).sum(-1) / 2 - s @ self.b

    def is_stable(self, s: Tensor) -> Tensor:
        """Whether no unit would flip: (..., n) → (...) bool. A unit whose field is 0 stays."""
        return (s * self.field(s) >= 0).all(-1)

    def overlap(self, s: Tensor, patterns: Tensor) -> Tensor:
        """m = s · ξ / n with each pattern ξ (P, n): (..., n) → (..., P), in [−1, 1]."""
        self.check_width(s)
        self.check_width(patterns)
        return s @ patterns.T / self.n

    def check_width(self, s: Tensor) -> None:
        """Raise `DataError` unless the last dimension of ``s`` counts this network's units."""
        if s.dim() == 0 or s.shape[-1] != self.n:
            raise DataError(f"states have shape {tuple(s.shape)}; expected (..., {self.n}): one value per unit")

    def check_states(self, s: Tensor, name: str = "the states") -> None:
        """Raise `DataError` unless ``s`` holds rows (n_rows, n) of −1 and +1."""
        self.check_width(s)
        check_signs(s, name)

    def spec(self) -> dict:
        """What JSON must hold to build this network again; W and b are the state dict."""
        return {"class": "Hopfield", "n": self.n}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> Hopfield:
        """The network that `spec` describes."""
        return cls(spec["n"])


def check_signs(s: Tensor, name: str) -> None:
    """Raise `DataError` unless ``s`` is a non-empty matrix of −1 and +1."""
    if s.dim() != 2 or not len(s):
        raise DataError(f"{name} have shape {tuple(s.shape)}; expected at least one row: (rows, units)")
    if not bool((s.abs() == 1).all()):
        low, high = float(s.min()), float(s.max())
        hint = "map 0/1 data with 2·x − 1" if low >= 0 and high <= 1 else "take the signs of centred data"
        raise DataError(f"{name} lie in [{low:g}, {high:g}]; expected −1 and +1 alone: {hint}")
