"""One small model of every class and variant of maps, float64: for the battery of model folders."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models.maps import CompetitiveLayer, CounterPropagation, HebbianLayer, SelfOrganisingMap


def small_models() -> dict[str, nn.Module]:
    options = {"dtype": torch.float64, "random_state": 3}
    return {
        "map": SelfOrganisingMap(4, 3, 2, **options),
        "hexagonal torus": SelfOrganisingMap(4, 2, 3, topology="hexagonal", toroidal=True, **options),
        "competitive": CompetitiveLayer(4, 3, **options),
        "counter-propagation": CounterPropagation(4, 2, 3, **options),
        "full counter-propagation": CounterPropagation(4, 2, 3, full=True, balance=0.5, **options),
        "hebbian": HebbianLayer(4, 2, **options),
    }
