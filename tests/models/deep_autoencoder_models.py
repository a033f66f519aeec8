"""Small deep autoencoders, one of each variant, for the battery of model folders."""

from __future__ import annotations

import torch
from torch import nn

from lamina import RBM, Gaussian, Spin, Stack
from lamina.models.autoencoders import DeepAutoencoder


def small_models() -> dict[str, nn.Module]:
    """float64, all values drawn at random."""
    mixed = Stack([RBM(Gaussian(4, sigma=0.7), 3, dtype=torch.float64), RBM(3, Spin(2), dtype=torch.float64)])
    found: dict[str, nn.Module] = {
        "deep autoencoder": DeepAutoencoder((5, 4, 3, 2), dtype=torch.float64),
        "deep autoencoder, tied": DeepAutoencoder((4, 3, 2), tied=True, output="identity", dtype=torch.float64),
        "deep autoencoder, mixed": DeepAutoencoder(
            (4, 3, 3, 2), activation=("relu", "tanh"), down="elu", code="sigmoid", dtype=torch.float64
        ),
        "deep autoencoder, unrolled": mixed.autoencoder(),
        "deep autoencoder, one layer": DeepAutoencoder((4, 2), dtype=torch.float64),
    }
    generator = torch.Generator().manual_seed(0)
    for model in found.values():
        for array in model.state_dict().values():
            array.copy_(torch.randn(array.shape, generator=generator, dtype=array.dtype))
    return found
