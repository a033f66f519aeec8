"""The modern continuous Hopfield network: real states, stored rows kept as they are, one step of attention per update.

E(s) = −(1/β) log Σ_μ exp(β x_μ·s) + ½ s·s + (1/β) log P + ½ M²,   M = max_μ ‖x_μ‖
s ← Xᵀ softmax(β X s)                                                                   (docs/mathematics.md, eq. 68)

with X (P, n) the stored rows. The update is the concave-convex procedure on E, so the energy never rises, and E ≥ 0.
A small β averages many rows; from a β that depends on how well the rows are separated, each row has a fixed point of
its own, and rows on a sphere can be exponentially many in n. The price: P·n numbers are kept, not n² weights.

Source: H. Ramsauer et al. (2020), Hopfield networks is all you need, eq. 2 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError


class ModernHopfield(nn.Module):
    """``n_patterns`` rows of ``n`` real values, at inverse temperature ``beta``; zeros until `store` is used."""

    def __init__(self, n: int, n_patterns: int, beta: float = 1.0, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        check_number("number of units", n, low=1, integer=True)
        check_number("n_patterns", n_patterns, low=1, integer=True)
        check_number("beta", beta, low=1e-12)
        self.beta = float(beta)
        self.patterns = nn.Parameter(torch.zeros(int(n_patterns), int(n), dtype=dtype), requires_grad=False)

    @property
    def n(self) -> int:
        return self.patterns.shape[1]

    @property
    def n_patterns(self) -> int:
        return self.patterns.shape[0]

    def extra_repr(self) -> str:
        return f"{self.n}, n_patterns={self.n_patterns}, beta={self.beta:g}"

    @torch.no_grad()
    def store(self, patterns: Tensor) -> ModernHopfield:
        """Keep ``patterns`` (n_patterns, n) as they are. Returns itself."""
        if patterns.shape != self.patterns.shape:
            raise DataError(
                f"the patterns have shape {tuple(patterns.shape)}; expected {tuple(self.patterns.shape)}: this network "
                f"holds {self.n_patterns} rows of {self.n} values"
            )
        if not bool(torch.isfinite(patterns).all()):
            raise DataError("the patterns hold NaN or infinity; expected finite numbers: drop those rows")
        self.patterns.copy_(patterns)
        return self

    def attention(self, s: Tensor) -> Tensor:
        """softmax(β X s), how much each stored row takes part: (..., n) → (..., n_patterns)."""
        return torch.softmax(self._similarity(s), -1)

    def update(self, s: Tensor) -> Tensor:
        """The next state Xᵀ softmax(β X s): (..., n) → (..., n)."""
        return self.attention(s) @ self.patterns

    def energy(self, s: Tensor) -> Tensor:
        """E(s) ≥ 0: (..., n) → (...)."""
        log_sum = torch.logsumexp(self._similarity(s), -1)
        longest = self.patterns.square().sum(-1).max()
        return (math.log(self.n_patterns) - log_sum) / self.beta + ((s * s).sum(-1) + longest) / 2

    def _similarity(self, s: Tensor) -> Tensor:
        if s.dim() == 0 or s.shape[-1] != self.n:
            raise DataError(f"states have shape {tuple(s.shape)}; expected (..., {self.n}): one value per unit")
        return self.beta * (s @ self.patterns.T)

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the stored rows are the state dict."""
        return {"class": "ModernHopfield", "n": self.n, "n_patterns": self.n_patterns, "beta": self.beta}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ModernHopfield:
        """The network that `spec` describes."""
        return cls(spec["n"], spec["n_patterns"], spec["beta"])
