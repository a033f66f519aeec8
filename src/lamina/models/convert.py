"""A trained stack becomes something else: one function each, all by copying weights."""

from __future__ import annotations

import torch

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
    fine-tuning do not send random errors down into the trained layers (Hinton, Osindero, Teh 2006, section 6.2,
    train the head first for the same reason).
    """
    activation = _common_activation(stack)
    first = next(stack.parameters())
    sizes = [stack.n_visible, *(layer.n_hidden for layer in stack.layers), n_classes]
    network = MLP(
        sizes,
        activation=activation,
        dropout=dropout,
        input_dropout=input_dropout,
        dtype=first.dtype,
        random_state=random_state,
    ).to(first.device)
    for k, layer in enumerate(stack.layers):
        ones = torch.ones(layer.n_visible, dtype=first.dtype, device=first.device)
        network.W[k].copy_(layer.visible.interaction(ones)[:, None] * layer.W)
        network.b[k].copy_(layer.c)
    network.W[-1].zero_()
    return network


def _common_activation(stack: Stack) -> str:
    names = set()
    for layer in stack.layers:
        if not isinstance(layer, RBM):
            raise SettingError(f"a {type(layer).__name__} layer cannot become part of a perceptron: only RBMs can")
        names.add(_ACTIVATION_OF[type(layer.hidden)])
    if len(names) > 1:
        raise SettingError(f"the layers need different activations ({', '.join(sorted(names))}): use one hidden family")
    return names.pop()
