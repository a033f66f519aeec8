"""One small autoencoder layer of each kind, for the batteries that run on every model."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models import RBM, Stack
from lamina.models.autoencoders import Autoencoder


def small_models() -> dict[str, nn.Module]:
    """Names and models in float64: tied and free weights, real and bounded outputs, alone and in a stack."""
    double = {"dtype": torch.float64}
    return {
        "autoencoder layer, tied": Autoencoder(6, 4, **double),
        "autoencoder layer, free, real": Autoencoder(5, 7, activation="relu", output="identity", tied=False, **double),
        "autoencoder layer, tanh": Autoencoder(4, 3, activation="tanh", output="tanh", **double),
        "stack of an RBM and an autoencoder layer": Stack([RBM(6, 4, **double), Autoencoder(4, 3, **double)]),
    }
