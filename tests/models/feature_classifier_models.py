"""Small classifiers on features, for the battery of model folders."""

from __future__ import annotations

import torch
from torch import nn

from lamina.models import MLP, RBM, Stack
from lamina.models.networks import FeatureClassifier
from lamina.models.sparse import SparseCoding


def small_models() -> dict[str, nn.Module]:
    """One of each variant: sparse codes below, and machines below, a linear head and a deeper one above."""
    double = {"dtype": torch.float64}
    coder = SparseCoding(5, 7, cost=0.1, random_state=3, **double)
    machines = Stack([RBM(5, 4, **double), RBM(4, 3, **double)])
    return {
        "FeatureClassifier of sparse codes": FeatureClassifier(
            Stack([coder]), MLP((7, 3), activation="identity", **double)
        ),
        "FeatureClassifier of machines": FeatureClassifier(machines, MLP((3, 6, 2), random_state=1, **double)),
    }
