"""Gradients of a plain multi-layer perceptron, by hand: what autograd finds, with less work around the matrix products.

With h_0 = x, z_k = h_{k−1} W_k + b_k, h_k = φ(z_k), outputs z_L and δ_L = ∂C/∂z_L (docs/mathematics.md, eq. 236-237)::

    ∂C/∂W_k = h_{k−1}ᵀ δ_k,    ∂C/∂b_k = Σ_rows δ_k,    δ_{k−1} = (δ_k W_kᵀ) ∘ φ'(z_{k−1}).

φ' of the activations below is a function of h, so that no field is kept; products are written into ``.grad`` itself,
the decay of the weights within the same call. Plain means: no dropout, no normalisation, an activation of `SLOPES`.

Source: Rumelhart, Hinton, Williams 1986.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lamina.models.networks import MLP

_aten = torch.ops.aten

# name: fields → values, in place
ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
    "relu": torch.relu_,
}

# name: (slopes at the values h, h) → slopes at the fields
SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda delta, h: delta,
    "sigmoid": _aten.sigmoid_backward.default,
    "tanh": _aten.tanh_backward.default,
    "relu": lambda delta, h: _aten.threshold_backward.default(delta, h, 0),
}


def is_plain(model: Any) -> bool:
    """Whether `PlainGradients` can stand for autograd on ``model``."""
    return (
        type(model) is MLP
        and model.activation in SLOPES
        and not (model.dropout or model.input_dropout or model.normalise)
    )


class PlainGradients:
    """Values and gradients of one plain network, which keeps its parameters' ``.grad`` from step to step.

    To be called where autograd is off.
    """

    def __init__(self, model: MLP) -> None:
        self.layers = list(zip(model.W, model.b, strict=True))
        self.activate, self.slopes = ACTIVATE[model.activation], SLOPES[model.activation]

    def values(self, x: Tensor) -> list[Tensor]:
        """Rows ``x`` (n, n_in), hidden values (n, n_k) from the lowest layer up, and the outputs (n, n_out)."""
        values = [x]
        for W, b in self.layers[:-1]:
            values.append(self.activate(torch.addmm(b, values[-1], W)))
        W, b = self.layers[-1]
        values.append(torch.addmm(b, values[-1], W))
        return values

    def gradients(self, values: list[Tensor], delta: Tensor, decay: float = 0.0) -> None:
        """Set every ``.grad``: ∂C/∂b of biases, ∂C/∂W + ``decay`` · W of weights.

        ``values`` are those of `values`, ``delta`` (n, n_out) the slopes of C at the outputs.
        """
        for k in range(len(self.layers) - 1, -1, -1):
            W, b = self.layers[k]
            torch.addmm(W, values[k].T, delta, beta=decay, out=W.grad)
            torch.sum(delta, 0, out=b.grad)
            if k:
                delta = self.slopes(delta @ W.T, values[k])
