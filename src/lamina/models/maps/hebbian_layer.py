"""Linear units y = (x − b) W: what Hebbian rules learn.

    y_j = Σ_i (x_i − b_i) W_ij,     back again:  x = b + y Wᵀ

b is the mean of the rows, set from the data; W learns by `lamina.training.hebbian_learning` (docs/mathematics.md, eq.
228 and 229).

Source: E. Oja (1982), A simplified neuron model as a principal component analyzer, Journal of Mathematical Biology 15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random


class HebbianLayer(nn.Module):
    """``HebbianLayer(n_visible, n_hidden)``: W (n_visible, n_hidden) with columns of length 0.1 in random directions,
    b (n_visible,) = 0, which no rule moves."""

    def __init__(
        self, n_visible: int, n_hidden: int, *, dtype: torch.dtype = torch.float32, random_state: int | Random = 0
    ) -> None:
        super().__init__()
        check_number("n_visible", n_visible, low=1, integer=True)
        check_number("n_hidden", n_hidden, low=1, integer=True)
        W = as_random(random_state).child("HebbianLayer").normal((int(n_visible), int(n_hidden)), dtype)
        self.W = nn.Parameter(0.1 * W / torch.linalg.vector_norm(W, dim=0))
        self.b = nn.Parameter(torch.zeros(int(n_visible), dtype=dtype), requires_grad=False)

    @property
    def n_visible(self) -> int:
        return self.W.shape[0]

    @property
    def n_hidden(self) -> int:
        return self.W.shape[1]

    def extra_repr(self) -> str:
        return f"{self.n_visible}, {self.n_hidden}"

    def check_rows(self, x: Tensor, name: str = "the data") -> None:
        """Raise `DataError` unless ``x`` holds rows (n_rows, n_visible)."""
        if x.dim() != 2 or x.shape[1] != self.n_visible:
            raise DataError(f"{name} have shape {tuple(x.shape)}; expected (rows, {self.n_visible})")

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(x − b) W: (n, n_visible) → (n, n_hidden)."""
        return (x - self.b) @ self.W

    @torch.no_grad()
    def decode(self, y: Tensor) -> Tensor:
        """b + y Wᵀ, the best reconstruction where the columns of W are orthonormal: (n, n_hidden) → (n, n_visible)."""
        return self.b + y @ self.W.T

    def spec(self) -> dict:
        """What JSON must hold to build this layer again; W and b are the state dict."""
        return {"class": "HebbianLayer", "n_visible": self.n_visible, "n_hidden": self.n_hidden}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> HebbianLayer:
        """The layer that `spec` describes."""
        return cls(spec["n_visible"], spec["n_hidden"])
