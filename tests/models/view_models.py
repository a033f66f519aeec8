"""One small model of every class and variant with two signals or patches, for the battery of model folders."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models.autoencoders import BimodalAutoencoder, MaskedAutoencoder
from lamina.models.networks import VisionTransformer


def small_models() -> dict[str, nn.Module]:
    """float64, tiny, one of each."""
    network = {"width": 8, "depth": 2, "heads": 2, "hidden": 6, "dtype": torch.float64, "random_state": 1}
    decoder = {"decoder_width": 4, "decoder_heads": 1}
    outputs = ("identity", "sigmoid")
    return {
        "vision transformer": VisionTransformer((2, 4, 6), 2, **network),
        "vision transformer, class token and head": VisionTransformer(
            (1, 4, 6), 2, pooling="class", n_classes=3, **network
        ),
        "masked autoencoder": MaskedAutoencoder((2, 4, 6), 2, **decoder, **network),
        "masked autoencoder, variant": MaskedAutoencoder(
            (1, 4, 6), 2, pooling="class", normalise=True, masked=0.5, decoder_depth=0, **decoder, **network
        ),
        "bimodal": BimodalAutoencoder((3, 4), (2, 3), 2, dtype=torch.float64, random_state=1),
        "bimodal, deep": BimodalAutoencoder(
            (3, 4, 2), (2, 3), (4, 3), activation="tanh", outputs=outputs, dtype=torch.float64, random_state=1
        ),
    }
