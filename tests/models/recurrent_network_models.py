"""One small float64 recurrent network of each kind, every learnt value drawn at random."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models.networks import RecurrentNetwork

DOUBLE = {"dtype": torch.float64}


def random_values(model: nn.Module, seed: int = 0, scale: float = 0.7) -> nn.Module:
    """``model`` with all its learnt parameters drawn from N(0, scale²)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model


def small_models() -> dict[str, nn.Module]:
    found = {
        "elman": RecurrentNetwork(3, 4, 2, **DOUBLE),
        "elman, two layers, both directions, each": RecurrentNetwork(
            3, (4, 2), 2, bidirectional=True, answer="each", dropout=0.3, **DOUBLE
        ),
        "fully recurrent": RecurrentNetwork(3, 4, 2, cell="fully-recurrent", answer="each", **DOUBLE),
        "fully recurrent, both directions, last": RecurrentNetwork(
            3, 2, 2, cell="fully-recurrent", bidirectional=True, **DOUBLE
        ),
        "lstm": RecurrentNetwork(3, (4, 3), 2, cell="lstm", answer="mean", **DOUBLE),
        "lstm, both directions, last": RecurrentNetwork(3, 4, 2, cell="lstm", bidirectional=True, **DOUBLE),
    }
    return {name: random_values(model, seed) for seed, (name, model) in enumerate(found.items())}
