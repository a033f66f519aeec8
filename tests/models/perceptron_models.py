"""Small perceptrons of every kind, for the battery of model folders."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models import MLP
from lamina.models.networks import Perceptron


def small_models() -> dict[str, nn.Module]:
    """One of each variant of the multi-layer perceptron that is newer than the battery, and of Rosenblatt's."""
    double = {"dtype": torch.float64, "random_state": 3}
    return {
        "MLP of maxout units": MLP((5, 4, 3, 2), activation="maxout", pieces=3, dropout=0.5, **double),
        "MLP of maxout units, normalised": MLP((5, 4, 2), activation="maxout", normalise=True, **double),
        "MLP with learnt slopes": MLP((5, 4, 3, 2), activation="prelu", **double),
        "MLP of leaky units": MLP((5, 4, 2), activation="leaky_relu", initial="glorot", **double),
        "MLP of scaled tanh units": MLP((5, 4, 2), activation="scaled_tanh", initial=0.1, **double),
        "Perceptron of two classes": Perceptron(5, initial=0.5, **double),
        "Perceptron of three classes": Perceptron(5, 3, initial=0.5, **double),
    }
