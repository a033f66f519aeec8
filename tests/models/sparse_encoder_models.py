"""One small model of every learnt encoder and convolutional sparse coder, float64, for shared batteries."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models.sparse import (
    ConvolutionalSparseCoding,
    DeconvolutionalNetwork,
    PredictiveSparseCoding,
    SparseEncoderDecoder,
)

DOUBLE = {"dtype": torch.float64}


def small_models() -> dict[str, nn.Module]:
    """Name → model, as its constructor leaves it."""
    return {
        "predictive": PredictiveSparseCoding(4, 6, cost=0.3, tie=0.5, iterations=7, tolerance=0.1, **DOUBLE),
        "predictive, soft threshold": PredictiveSparseCoding(4, 3, encoder="shrink", **DOUBLE),
        "encoder and decoder": SparseEncoderDecoder(4, 6, eta=0.1, beta=2.0, tie=0.5, iterations=3, **DOUBLE),
        "convolutional sparse coding": ConvolutionalSparseCoding(
            2, 3, (2, 3), cost=0.2, positive=True, iterations=5, tolerance=0.1, **DOUBLE
        ),
        "deconvolutional network": DeconvolutionalNetwork(
            [ConvolutionalSparseCoding(1, 3, 3, **DOUBLE), ConvolutionalSparseCoding(3, 2, 2, **DOUBLE)], (2, 1)
        ),
    }
