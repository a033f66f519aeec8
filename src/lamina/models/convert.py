"""A trained stack becomes something else: one function each, all by copying weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.models.networks import MLP
from lamina.models.stack import Stack
from lamina.units import Bernoulli, Gaussian

# The activation whose value is the family's mean: σ(f) for Bernoulli units, f for Gaussian ones.
_ACTIVATION_OF = {Bernoulli: "sigmoid", Gaussian: "identity"}


@torch.no_grad()
def classifier(
    stack: Stack,
    n_classes: int,
    *,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    random_state: int | Random | None = 0,
) -> MLP:
    """A network whose hidden layers compute exactly ``stack.encode``, with a fresh softmax head of ``n_classes``.

    A Gaussian visible side's 1/σ² is folded into the first weights. The head starts at 0, so that the first steps of
    fine-tuning do not send random errors down into the trained layers.
    """
    activation = _common_activation(stack)
    first = next(stack.parameters())
    sizes = [stack.n_visible, *stack.sizes, n_classes]
    network = MLP(
        sizes,
        activation=activation,
        dropout=dropout,
        input_dropout=input_dropout,
        dtype=first.dtype,
        random_state=random_state,
    ).to(first.device)
    for k, layer in enumerate(stack.layers):
        network.W[k].copy_(_input_weights(layer))
        network.b[k].copy_(layer.c)
    network.W[-1].zero_()
    return network


@torch.no_grad()
def rectified_classifier(stack: Stack, n_classes: int, *, random_state: int | Random | None = 0) -> MLP:
    """A network of rectified, batch-normalised units that look where the stack's units look.

    Every unit keeps the direction of its weights, its filter; their length is set to √2, which is what He et al. (2015)
    draw on average, and its bias to 0, both of which normalisation makes up for. Unlike `classifier` this does not
    compute ``stack.encode``: it is for training on, where saturated sigmoid units would let too little gradient through
    (measured in docs/design/few-labels.md).
    """
    _common_activation(stack)
    first = next(stack.parameters())
    sizes = [stack.n_visible, *stack.sizes, n_classes]
    network = MLP(sizes, activation="relu", normalise=True, dtype=first.dtype, random_state=random_state).to(
        first.device
    )
    for k, layer in enumerate(stack.layers):
        W = _input_weights(layer)
        network.W[k].copy_(W * (math.sqrt(2) / W.norm(dim=0).clamp(min=1e-12)))
    return network


def _input_weights(layer: Any) -> Tensor:
    """The weights that the hidden units put on the visible values themselves: a Gaussian side's 1/σ² is folded in."""
    ones = torch.ones(layer.n_visible, dtype=layer.W.dtype, device=layer.W.device)
    return layer.visible.interaction(ones)[:, None] * layer.W


def _common_activation(stack: Stack) -> str:
    names = set()
    for layer in stack.layers:
        if not isinstance(layer, RBM):
            raise SettingError(f"a {type(layer).__name__} layer cannot become part of a perceptron: only RBMs can")
        names.add(_ACTIVATION_OF[type(layer.hidden)])
    if len(names) > 1:
        raise SettingError(f"the layers need different activations ({', '.join(sorted(names))}): use one hidden family")
    return names.pop()
