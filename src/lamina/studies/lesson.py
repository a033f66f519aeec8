"""What a generative model is taught from: rows, labels, sizes and passes as told or by the data's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.studies.defaults import BATCH
from lamina.training import RedrawnInput, Schedule
from lamina.training.rules import GradientRule
from lamina.units import Bernoulli, Family, Gaussian


@dataclass(frozen=True)
class Lesson:
    """What is learnt from and how: ``X`` (n, n_features) scaled rows, ``y`` (n,) codes with −1 for none, or None."""

    X: Any
    y: np.ndarray | None
    n_classes: int
    shape: tuple[int, ...]
    units: str
    hidden: tuple[int, ...] | None
    epochs: int | None
    seed: int
    device: str | None
    checkpoint: Path
    callbacks: Callable[[str], Sequence[Any]]
    traced: Callable[[nn.Module], Sequence[Any]] = lambda model: ()

    @property
    def n_features(self) -> int:
        return int(self.X.shape[1])

    @property
    def binary(self) -> bool:
        """Whether values are probabilities of binary units."""
        return self.units == "bernoulli"

    @property
    def family(self) -> Family:
        return Bernoulli(self.n_features) if self.binary else Gaussian(self.n_features)

    @property
    def mean(self) -> Tensor:
        """Mean of each column over up to 50,000 rows."""
        return torch.from_numpy(np.asarray(self.X[:50_000], np.float64).mean(0))

    @property
    def random(self) -> Random:
        return Random(self.seed).child("generative")

    def passes(self, steps: int) -> int:
        """Epochs that make about ``steps`` steps, between 3 and 300 (half the steps where rows are few), or as told."""
        if self.epochs is not None:
            return self.epochs
        few = len(self.X) < 20_000
        return max(3, min(300, round(steps / (2 if few else 1) / -(-len(self.X) // BATCH))))

    def sizes(self, default: Sequence[int], *, exactly: int | None = None) -> tuple[int, ...]:
        """Sizes of the hidden layers as told, or ``default``, narrower where rows or features are few."""
        if self.hidden is not None:
            if exactly is not None and len(self.hidden) != exactly:
                raise SettingError(
                    f"--hidden names {len(self.hidden)} layers; expected {exactly} for this kind of model"
                )
            return self.hidden
        most = max(16, min(4 * self.n_features, len(self.X) // 4))
        return tuple(min(n, most) for n in default)

    def redrawn(self, rule: GradientRule) -> GradientRule:
        """``rule`` on pixels drawn anew for every batch, where values are probabilities."""
        return RedrawnInput(rule, Bernoulli(self.n_features)) if self.binary else rule

    def common(self, stage: str) -> dict[str, Any]:
        """What all calls of the loop share."""
        return {
            "batch_size": BATCH,
            "random_state": self.random.child(stage),
            "device": self.device,
            "checkpoint": self.checkpoint / stage.replace(" ", "-"),
        }


def falling_to_zero(first: float, epochs: int) -> Schedule:
    """A learning rate that falls linearly to nearly nothing: persistent chains then catch up with the weights."""
    return Schedule(((0.0, first), (float(epochs), first / 100)), linear=True)
