"""Small sparse coders, one of each variant, for the battery of models."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models.sparse import SparseCoding


def small_models() -> dict[str, nn.Module]:
    options = {"dtype": torch.float64, "random_state": 5}
    return {
        "sparse coding": SparseCoding(6, 9, cost=0.3, **options),
        "sparse coding, positive": SparseCoding(6, 9, cost=0.3, positive=True, **options),
        "sparse coding, log penalty": SparseCoding(6, 9, cost=0.3, penalty="log", **options),
        "sparse coding, feature-sign": SparseCoding(6, 9, cost=0.3, solver="feature-sign", **options),
    }
