"""Small variational autoencoders, one of each kind, for batteries over all models."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models.autoencoders import VariationalAutoencoder

KINDS: dict[str, dict] = {
    "variational": {"hidden": (5, 4)},
    "variational, gaussian": {"hidden": (4,), "likelihood": "gaussian", "activation": "softplus"},
    "variational, fixed variance": {"hidden": (4,), "likelihood": "gaussian", "variance": 0.25},
    "variational, predicted variance": {"hidden": (4,), "likelihood": "gaussian", "variance": "predicted"},
    "variational, linear": {"hidden": (), "likelihood": "gaussian"},
}


def small_models() -> dict[str, nn.Module]:
    """Models of 6 visible and 2 latent units in float64, all values drawn at random."""
    found: dict[str, nn.Module] = {}
    generator = torch.Generator().manual_seed(3)
    for name, options in KINDS.items():
        model = found[name] = VariationalAutoencoder(6, 2, dtype=torch.float64, **options)
        with torch.no_grad():
            for array in model.state_dict().values():
                array.copy_(0.5 * torch.randn(array.shape, generator=generator, dtype=array.dtype))
    return found
