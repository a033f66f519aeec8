"""The autoencoder layer: a code of the rows, and the rows back from the code.

h = φ(c + v W),  r = ρ(b + h Vᵀ)                                              (docs/mathematics.md, eq. 110, 111)

with W and V (n_visible, n_hidden), b (n_visible,), c (n_hidden,). Tied weights are V = W (Vincent et al. 2010). With
sigmoids on both sides and tied weights these are the two mean-field half-steps of a binary RBM with the same W, b, c.

The layer only maps. What makes its code useful is in the rule: the error, corruption of the input, and what is asked
of the code (`lamina.training.Reconstruction`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random
from lamina.models.activations import ACTIVATIONS, check_activation
from lamina.models.autoencoders.slopes import SLOPES

MARGIN = 0.01  # a pixel that is never on would get a bias of −∞: means are kept so far from the ends of their range


class Autoencoder(nn.Module):
    """``n_hidden`` code units φ (``activation``) that give ``n_visible`` values back through ρ (``output``).

    ``output="sigmoid"`` suits values in [0, 1], ``"identity"`` real ones. ``tied`` decodes with the encoder's weights;
    otherwise the decoder has its own, ``V``. Weights start by Glorot & Bengio (2010), U(±√(6/(n_visible + n_hidden))),
    biases at 0; `initialise` sets them from a stream and the data's mean.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        activation: str = "sigmoid",
        output: str = "sigmoid",
        tied: bool = True,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("n_visible", n_visible, low=1, integer=True)
        check_number("n_hidden", n_hidden, low=1, integer=True)
        check_activation(activation)
        check_activation(output, "output")
        self.n_visible, self.n_hidden = int(n_visible), int(n_hidden)
        self.activation, self.output, self.tied = activation, output, bool(tied)
        self.W = nn.Parameter(torch.empty(self.n_visible, self.n_hidden, dtype=dtype))
        self.b = nn.Parameter(torch.zeros(self.n_visible, dtype=dtype))
        self.c = nn.Parameter(torch.zeros(self.n_hidden, dtype=dtype))
        if not self.tied:
            self.V = nn.Parameter(torch.empty(self.n_visible, self.n_hidden, dtype=dtype))
        self.initialise(random_state)

    def extra_repr(self) -> str:
        tied = "tied" if self.tied else "free"
        return f"{self.n_visible}, {self.n_hidden}, activation={self.activation!r}, output={self.output!r}, {tied}"

    @property
    def decoder(self) -> Tensor:
        """The decoder's weights (n_visible, n_hidden): W itself where they are tied."""
        return self.W if self.tied else self.V

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> Autoencoder:
        """Draw the weights afresh; c to 0, and b so that a code of 0 gives the data's mean (0 without ``data_mean``).

        Outputs other than sigmoid, tanh and identity start from b = 0.
        """
        random = as_random(random_state).child("weights")
        limit = math.sqrt(6 / (self.n_visible + self.n_hidden))
        for name, weights in (("W", self.W), *(() if self.tied else (("V", self.V),))):
            stream = random.child(name)
            weights.copy_(stream.uniform(weights.shape, weights.dtype, weights.device).mul_(2).sub_(1).mul_(limit))
        self.c.zero_()
        self.b.zero_()
        if data_mean is not None:
            self.b.copy_(_field_of_mean(self.output, data_mean.to(self.b)))
        return self

    # fields ---------------------------------------------------------------------------------------------------------

    def field_h(self, v: Tensor) -> Tensor:
        """c + v W: (..., n_visible) → (..., n_hidden)."""
        self._check_width(v, self.n_visible, "visible")
        return _affine(self.c, v, self.W)

    def field_v(self, h: Tensor) -> Tensor:
        """b + h Vᵀ, V = W where tied: (..., n_hidden) → (..., n_visible)."""
        self._check_width(h, self.n_hidden, "code")
        return _affine(self.b, h, self.decoder.T)

    # the functions of a layer ---------------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """The code h = φ(c + v W): (..., n_visible) → (..., n_hidden). No noise: corruption belongs to the rule."""
        return ACTIVATIONS[self.activation](self.field_h(v))

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """The reconstruction r = ρ(b + h Vᵀ): (..., n_hidden) → (..., n_visible)."""
        return ACTIVATIONS[self.output](self.field_v(h))

    def code_jacobian(self, v: Tensor) -> Tensor:
        """∂h_j/∂v_i = φ′(a_j) W_ij: (..., n_visible) → (..., n_hidden, n_visible)."""
        a = self.field_h(v)
        slope = SLOPES[self.activation](a, ACTIVATIONS[self.activation](a))
        return slope[..., None] * self.W.T

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this layer again; the arrays are the state dict."""
        return {
            "class": "Autoencoder",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "activation": self.activation,
            "output": self.output,
            "tied": self.tied,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> Autoencoder:
        """The layer that `spec` describes."""
        options = {name: spec[name] for name in ("activation", "output", "tied")}
        return cls(spec["n_visible"], spec["n_hidden"], **options)

    def _check_width(self, x: Tensor, expected: int, side: str) -> None:
        if x.shape[-1] != expected:
            raise DataError(
                f"{side} values have shape {tuple(x.shape)}; expected (..., {expected}): this layer has {expected} "
                f"{side} units"
            )


def _affine(bias: Tensor, x: Tensor, weights: Tensor) -> Tensor:
    return torch.addmm(bias, x, weights) if x.dim() == 2 else x @ weights + bias


def _field_of_mean(output: str, mean: Tensor) -> Tensor:
    """The field at which ``output`` gives ``mean``: the inverse of ρ, kept finite; 0 where ρ has none in use."""
    if output == "identity":
        return mean
    if output == "sigmoid":
        return torch.logit(mean.clamp(MARGIN, 1 - MARGIN))
    if output == "tanh":
        return torch.atanh(mean.clamp(MARGIN - 1, 1 - MARGIN))
    return torch.zeros_like(mean)
