"""The bidirectional associative memory: two layers of ±1 units that recall each other.

E(x, y) = −xᵀ W y − bᵀ x − cᵀ y,   y ← sign(Wᵀ x + c),   x ← sign(W y + b)              (docs/mathematics.md, eq. 66)

W (n_left, n_right) holds the sum of outer products of the stored pairs (`lamina.training.hebbian.hebbian_pairs`). Given
one layer, the units of the other do not see each other, so a whole layer moves at once and the energy still never
rises: every start ends at a stable pair. A unit whose field is 0 keeps its value.

Source: B. Kosko (1988), Bidirectional associative memories.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError


class BidirectionalAssociativeMemory(nn.Module):
    """``n_left`` and ``n_right`` units of ±1, empty until pairs are stored."""

    def __init__(self, n_left: int, n_right: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        check_number("n_left", n_left, low=1, integer=True)
        check_number("n_right", n_right, low=1, integer=True)
        self.W = nn.Parameter(torch.zeros(int(n_left), int(n_right), dtype=dtype), requires_grad=False)
        self.b = nn.Parameter(torch.zeros(int(n_left), dtype=dtype), requires_grad=False)
        self.c = nn.Parameter(torch.zeros(int(n_right), dtype=dtype), requires_grad=False)

    @property
    def n_left(self) -> int:
        return self.W.shape[0]

    @property
    def n_right(self) -> int:
        return self.W.shape[1]

    def extra_repr(self) -> str:
        return f"{self.n_left}, {self.n_right}"

    def field_right(self, x: Tensor) -> Tensor:
        """Wᵀ x + c: (..., n_left) → (..., n_right)."""
        self._check_width(x, self.n_left, "left")
        return x @ self.W + self.c

    def field_left(self, y: Tensor) -> Tensor:
        """W y + b: (..., n_right) → (..., n_left)."""
        self._check_width(y, self.n_right, "right")
        return y @ self.W.T + self.b

    def energy(self, x: Tensor, y: Tensor) -> Tensor:
        """E(x, y): (..., n_left), (..., n_right) → (...)."""
        return -(self.field_right(x) * y).sum(-1) - x @ self.b

    def is_stable(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether no unit of either layer would flip: (...) bool."""
        return (y * self.field_right(x) >= 0).all(-1) & (x * self.field_left(y) >= 0).all(-1)

    def spec(self) -> dict:
        """What JSON must hold to build this memory again; the arrays are the state dict."""
        return {"class": "BidirectionalAssociativeMemory", "n_left": self.n_left, "n_right": self.n_right}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> BidirectionalAssociativeMemory:
        """The memory that `spec` describes."""
        return cls(spec["n_left"], spec["n_right"])

    def _check_width(self, states: Tensor, expected: int, side: str) -> None:
        if states.dim() == 0 or states.shape[-1] != expected:
            raise DataError(
                f"{side} states have shape {tuple(states.shape)}; expected (..., {expected}): this memory has as many "
                f"{side} units"
            )
