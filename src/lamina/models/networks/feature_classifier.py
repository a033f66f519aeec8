"""A classifier on features that no perceptron computes: fixed layers below, a perceptron above.

output(x) = head(encode(x)), ``encode`` that of a stack. Where the layers are perceptrons themselves (machines of binary
units, autoencoders) `lamina.models.convert.classifier` makes one network of layers and head, which can be fine-tuned
whole; sparse codes are found by a search, and stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.networks.mlp import MLP


class FeatureClassifier(nn.Module):
    """``features`` (anything with ``encode``, ``n_visible`` and ``n_hidden``, a `Stack` say) below ``head``.

    ``head`` takes the features' ``n_hidden`` values. No slope reaches the features: the head alone can be trained, by
    `lamina.training.train_head` on encoded rows. Raises `SettingError` where the sizes do not fit.
    """

    def __init__(self, features: nn.Module, head: MLP) -> None:
        super().__init__()
        if not hasattr(features, "encode"):
            raise SettingError(
                f"features are a {type(features).__name__}, which cannot encode; expected a stack: Stack([layer])"
            )
        if features.n_hidden != head.n_visible:
            raise SettingError(
                f"the features have {features.n_hidden} values but the head expects {head.n_visible}; expected equal "
                f"sizes: MLP(({features.n_hidden}, n_classes))"
            )
        self.features, self.head = features, head

    @property
    def n_visible(self) -> int:
        return int(self.features.n_visible)  # type: ignore[arg-type]

    @property
    def n_hidden(self) -> int:
        return int(self.features.n_hidden)  # type: ignore[arg-type]

    @property
    def n_out(self) -> int:
        return self.head.n_out

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The features: (..., n_visible) → (..., n_hidden)."""
        return self.features.encode(x)  # type: ignore[operator]

    def forward(self, x: Tensor, random: Random | None = None, track: bool = False) -> Tensor:
        """Outputs before any softmax: (n, n_visible) → (n, n_out); ``random`` and ``track`` are the head's."""
        return self.head(self.encode(x), random, track)

    def spec(self) -> dict:
        """What JSON must hold to build this classifier again; the arrays are the state dict."""
        return {"class": "FeatureClassifier", "features": self.features.spec(), "head": self.head.spec()}  # type: ignore[operator]

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> FeatureClassifier:
        """The classifier that `spec` describes; ``build`` makes features and head."""
        return cls(build(spec["features"]), build(spec["head"]))
