"""Rosenblatt's perceptron (1958): threshold units on the inputs themselves, one layer that learns and none hidden.

Two classes need one unit: ŷ = [x·w + b > 0]. More classes have a unit each, and the one with the largest field wins:
ŷ = argmax_k x·w_k + b_k. `lamina.training.PerceptronRule` teaches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random


class Perceptron(nn.Module):
    """``n_visible`` inputs, ``n_classes`` classes; weights ``W`` (n_visible, n_out), biases ``b`` (n_out,).

    n_out is 1 for two classes. Weights start at 0, as the rule's bound on mistakes supposes, or, with ``initial`` > 0,
    at N(0, initial²).
    """

    def __init__(
        self,
        n_visible: int,
        n_classes: int = 2,
        *,
        initial: float = 0.0,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("n_visible", n_visible, low=1, integer=True)
        check_number("n_classes", n_classes, low=2, integer=True)
        check_number("initial", initial, low=0.0)
        self.n_visible, self.n_classes, self.initial = int(n_visible), int(n_classes), float(initial)
        self.W = nn.Parameter(torch.empty(self.n_visible, self.n_out, dtype=dtype))
        self.b = nn.Parameter(torch.empty(self.n_out, dtype=dtype))
        self.initialise(random_state)

    @property
    def n_out(self) -> int:
        return 1 if self.n_classes == 2 else self.n_classes

    def extra_repr(self) -> str:
        return f"n_visible={self.n_visible}, n_classes={self.n_classes}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None) -> Perceptron:
        """Weights back to where they start; biases to 0."""
        self.W.zero_()
        self.b.zero_()
        if self.initial:
            self.W.copy_(as_random(random_state).child("weights").normal(self.W.shape, self.W.dtype).mul_(self.initial))
        return self

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The one layer: weights and biases."""
        return [[self.W, self.b]]

    def forward(self, x: Tensor, random: Random | None = None, track: bool = False) -> Tensor:
        """Fields x W + b: (..., n_visible) → (..., n_out). Nothing in it is random."""
        if x.shape[-1] != self.n_visible:
            raise DataError(
                f"inputs have shape {tuple(x.shape)}; expected (..., {self.n_visible}): pass the columns used in fit"
            )
        return x @ self.W + self.b

    def hidden_means(self, x: Tensor, random: Random | None = None, track: bool = False) -> list[Tensor]:
        """No layer is hidden."""
        return []

    def encode(self, x: Tensor) -> Tensor:
        """What the units see: the inputs as they are."""
        return x

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Class codes (...,) int64; a field of exactly 0 is class 0, of equal fields the first class wins."""
        fields = self(x)
        return (fields[..., 0] > 0).long() if self.n_out == 1 else fields.argmax(-1)

    def spec(self) -> dict:
        """What JSON must hold to build this perceptron again; the arrays are the state dict."""
        return {
            "class": "Perceptron",
            "n_visible": self.n_visible,
            "n_classes": self.n_classes,
            "initial": self.initial,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> Perceptron:
        """The perceptron that `spec` describes."""
        return cls(spec["n_visible"], spec["n_classes"], initial=spec["initial"])
