"""One small float64 model of each convolutional and recurrent autoencoder, every value drawn at random."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models.autoencoders import ConvolutionalAutoencoder, RecurrentAutoencoder

DOUBLE = {"dtype": torch.float64}


def random_values(model: nn.Module, seed: int = 0, scale: float = 0.7) -> nn.Module:
    """``model`` with all its parameters drawn from N(0, scale²)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model


def small_models() -> dict[str, nn.Module]:
    both = {"heads": ("reconstruction", "forecasting"), "horizon": 2}
    found = {
        "convolutional autoencoder": ConvolutionalAutoencoder((2, 3, 4), (3, 2), 3, (2, 3), **DOUBLE),
        "convolutional autoencoder, switches": ConvolutionalAutoencoder(
            (1, 5, 5), 2, (3, 1), downsampling="switches", tied=True, output="identity", **DOUBLE
        ),
        "convolutional autoencoder, strides and code": ConvolutionalAutoencoder(
            (1, 4, 5), 2, 3, downsampling="stride", code=3, code_activation="tanh", activation="sigmoid", **DOUBLE
        ),
        "convolutional autoencoder, 1-D": ConvolutionalAutoencoder((2, 7), 3, 3, code=2, tied=True, **DOUBLE),
        "recurrent autoencoder": RecurrentAutoencoder(3, 4, **DOUBLE),
        "recurrent autoencoder, two heads": RecurrentAutoencoder(3, 4, **both, **DOUBLE),
        "recurrent autoencoder, conditional": RecurrentAutoencoder(
            3, 4, **both, conditional=True, output="sigmoid", **DOUBLE
        ),
        "recurrent autoencoder, forecasting": RecurrentAutoencoder(
            3, 4, heads="forecasting", horizon=3, conditional=True, **DOUBLE
        ),
    }
    return {name: random_values(model, seed) for seed, (name, model) in enumerate(found.items())}
