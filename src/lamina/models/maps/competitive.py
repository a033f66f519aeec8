"""A layer of units that compete: the nearest prototype wins the row, and it alone answers.

It learns by `lamina.training.competitive` (docs/mathematics.md, eq. 225 and 226); with no neighbourhood, units are in
no order. The prototypes that it learns are those of k-means, one row at a time.

Source: D. E. Rumelhart, D. Zipser (1985), Feature discovery by competitive learning, Cognitive Science 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lamina.models.maps.prototypes import Prototypes


class CompetitiveLayer(Prototypes):
    """``CompetitiveLayer(n_visible, n_units)``: prototypes ``weights`` (n_units, n_visible)."""

    def extra_repr(self) -> str:
        return f"{self.n_visible}, {self.n_units}"

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """1 for the winner and 0 for all others: (n, n_visible) → (n, n_units)."""
        return torch.nn.functional.one_hot(self.winners(x), self.n_units).to(self.weights)

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        """The prototypes that ``h`` names, Σ_j h_j w_j: (n, n_units) → (n, n_visible)."""
        return h @ self.weights

    def spec(self) -> dict:
        """What JSON must hold to build this layer again; the weights are the state dict."""
        return {"class": "CompetitiveLayer", "n_visible": self.n_visible, "n_units": self.n_units}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> CompetitiveLayer:
        """The layer that `spec` describes."""
        return cls(spec["n_visible"], spec["n_units"])
