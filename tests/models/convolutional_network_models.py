"""Small convolutional networks, one of each variant, for the battery of model folders."""

from __future__ import annotations

import torch
from torch import nn

from lamina.core.random import Random
from lamina.models.networks import (
    Convolution,
    ConvolutionalNetwork,
    Dense,
    Dropout,
    GlobalMeanPooling,
    MaxPooling,
    MeanPooling,
    Subsampling,
    lenet5,
    lenet1989,
)

TABLE = ((0, 1), (1,), (0,))


def drawn(model: ConvolutionalNetwork, seed: int = 0) -> ConvolutionalNetwork:
    """``model`` with every parameter drawn at random, biases and slopes too."""
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.copy_(Random(seed).child("drawn", k).normal(parameter.shape, parameter.dtype).mul_(0.4))
    return model


def small_models() -> dict[str, nn.Module]:
    """Every kind of layer, activation of its own kind, and both numbers of axes."""
    double = {"dtype": torch.float64}
    every = [
        Convolution(2, (3, 2), stride=(2, 1), padding=(1, 0), background=-1.0, biases="unit"),
        MaxPooling((1, 2)),
        Convolution(3, 2, table=TABLE, activation="prelu"),
        Subsampling(2, activation="tanh"),
        Dropout(0.3),
        Dense(4, activation="maxout"),
    ]
    signals = [Convolution(4, 3, padding=1, activation="maxout"), MeanPooling(2, stride=1), GlobalMeanPooling()]
    tables = [Convolution(3, 2, table=TABLE, activation="maxout", biases="unit"), MaxPooling(3)]
    found = {
        "ConvolutionalNetwork of all layers": ConvolutionalNetwork((1, 9, 10), every, 3, **double),
        "ConvolutionalNetwork of signals": ConvolutionalNetwork((2, 7), signals, 2, pieces=3, output="tanh", **double),
        "ConvolutionalNetwork by a table of maxout": ConvolutionalNetwork((2, 5, 5), tables, 2, initial=0.1, **double),
        "ConvolutionalNetwork without layers": ConvolutionalNetwork((1, 2, 3), [], 2, initial="lecun", **double),
    }
    return {name: drawn(model) for name, model in found.items()}


def lenets(dtype: torch.dtype = torch.float64) -> dict[str, ConvolutionalNetwork]:
    """The two networks of LeCun et al."""
    return {"1989": lenet1989(dtype=dtype), "1998": lenet5(dtype=dtype)}
