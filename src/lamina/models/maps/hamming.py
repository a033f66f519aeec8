"""The Hamming network: a layer that counts agreeing bits with each stored row, and MAXNET, which lets the best win.

matches      y_μ = (n + ξ_μ · s) / 2                                   agreeing values of pattern ξ_μ and probe s (±1)
MAXNET       y_μ ← max(0, y_μ − ε Σ_{ν≠μ} y_ν),   0 < ε < 1/(P − 1)                      (docs/mathematics.md, eq. 67)

Repeated, MAXNET leaves one positive unit, the one with the most agreeing bits: the maximum-likelihood classifier of
rows sent through a channel that flips every bit with the same probability. Rows that tie for the maximum fall together.
The repetition is `lamina.inference.recall.winner_take_all`. Memory P·n against n² of a Hopfield network, without its
spurious states.

Source: R. P. Lippmann (1987), An introduction to computing with neural nets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.models.energy.hopfield import check_signs


class HammingNetwork(nn.Module):
    """``n_patterns`` stored rows of ``n`` values ±1; all +1 until `store` is called."""

    def __init__(self, n: int, n_patterns: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        check_number("number of units", n, low=1, integer=True)
        check_number("n_patterns", n_patterns, low=1, integer=True)
        self.patterns = nn.Parameter(torch.ones(int(n_patterns), int(n), dtype=dtype), requires_grad=False)

    @property
    def n(self) -> int:
        return self.patterns.shape[1]

    @property
    def n_patterns(self) -> int:
        return self.patterns.shape[0]

    @property
    def inhibition(self) -> float:
        """ε of MAXNET: 1/P, inside the range for any number of rows."""
        return 1.0 / self.n_patterns

    def extra_repr(self) -> str:
        return f"{self.n}, n_patterns={self.n_patterns}"

    @torch.no_grad()
    def store(self, patterns: Tensor) -> HammingNetwork:
        """Keep ``patterns`` (n_patterns, n) of ±1. Returns itself."""
        if patterns.shape != self.patterns.shape:
            raise DataError(
                f"the patterns have shape {tuple(patterns.shape)}; expected {tuple(self.patterns.shape)}: this network "
                f"holds {self.n_patterns} rows of {self.n} values"
            )
        check_signs(patterns, "the patterns")
        self.patterns.copy_(patterns)
        return self

    def matches(self, s: Tensor) -> Tensor:
        """Number of agreeing values with each stored row: (..., n) → (..., n_patterns)."""
        if s.dim() == 0 or s.shape[-1] != self.n:
            raise DataError(f"states have shape {tuple(s.shape)}; expected (..., {self.n}): one value per unit")
        return (self.n + s @ self.patterns.T) / 2

    def compete(self, activity: Tensor) -> Tensor:
        """One step of MAXNET: (..., n_patterns) → (..., n_patterns), never negative."""
        others = activity.sum(-1, keepdim=True) - activity
        return (activity - self.inhibition * others).clamp_min(0)

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the stored rows are the state dict."""
        return {"class": "HammingNetwork", "n": self.n, "n_patterns": self.n_patterns}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> HammingNetwork:
        """The network that `spec` describes."""
        return cls(spec["n"], spec["n_patterns"])
