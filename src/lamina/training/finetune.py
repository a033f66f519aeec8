"""Fine-tuning a network on labelled rows, with or without the unlabelled ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.random import Random, as_random
from lamina.models.networks import MLP
from lamina.training.back_propagation import BackPropagation, FullBackPropagation
from lamina.training.history import History
from lamina.training.loop import fit
from lamina.training.schedules import Schedule
from lamina.training.virtual_adversarial import VirtualAdversarial

RADIUS_SHARE = 0.366  # of the distance between nearest rows: a row moved so far is still nearest to itself
METHODS = ("supervised", "adversarial")


def falling(learning_rate: float, epochs: int, hold: float = 0.5) -> Schedule:
    """``learning_rate`` for the share ``hold`` of the epochs, then a straight line down to a hundredth of it."""
    return Schedule(((hold * epochs, learning_rate), (float(epochs), learning_rate / 100)), linear=True)


@torch.no_grad()
def adversarial_radius(X: Any, random_state: int | Random | None = 0) -> float:
    """A radius ε for virtual adversarial training from the rows alone: `RADIUS_SHARE` of the median distance from a row
    to its nearest other row, among 2,000 rows. On MNIST this gives about 2, the value of Miyato et al. (2018)."""
    order = as_random(random_state).child("radius").permutation(len(X))[:2000]
    rows = np.sort(order)
    sample = X[torch.from_numpy(rows)] if isinstance(X, Tensor) else torch.from_numpy(np.array(X[rows]))
    distances = torch.cdist(sample, sample)
    distances.fill_diagonal_(float("inf"))
    return max(1e-3, RADIUS_SHARE * float(distances.min(1).values.median()))


def fine_tune(
    network: MLP,
    X: Any,
    y: Any,
    X_unlabelled: Any = None,
    *,
    method: str = "supervised",
    epochs: int = 50,
    batch_size: int = 100,
    learning_rate: float | Schedule = 1e-3,
    weight_decay: float = 0.0,
    radius: float = 2.0,
    entropy: float = 1.0,
    validation: Any = None,
    patience: int | None = None,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Sequence[Any] = (),
    health: bool | int = False,
) -> History:
    """Train all layers of ``network`` on rows ``X`` (n, features) with class codes ``y`` (n,), by Adam.

    ``method="supervised"`` is back-propagation on the labelled rows; ``"adversarial"`` adds smoothness and low entropy
    on ``X_unlabelled`` (virtual adversarial training), and an epoch is then a pass over those rows. ``health`` as in
    `fit`.
    """
    common: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate if isinstance(learning_rate, Schedule) else falling(learning_rate, epochs),
        "weight_decay": weight_decay,
        "optimiser": "adam",
        "validation": validation,
        "patience": patience,
        "random_state": random_state,
        "device": device,
        "checkpoint": checkpoint,
        "callbacks": callbacks,
        "health": health,
    }
    if method == "supervised":
        return fit(network, (X, y), BackPropagation(), **common)
    if method != "adversarial":
        raise SettingError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if X_unlabelled is None:
        raise SettingError("method 'adversarial' needs rows without labels: pass X_unlabelled")
    dtype = next(network.parameters()).dtype
    rule = VirtualAdversarial(
        _tensor(X, dtype), _tensor(y, torch.int64), radius=radius, entropy=entropy, labelled_batch=max(100, batch_size)
    )
    return fit(network, X_unlabelled, rule, **common)


def train_head(
    network: MLP,
    X: Any,
    y: Any,
    *,
    weight_decay: float = 1e-4,
    steps: int = 6,
    random_state: int | Random | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    """Fit the softmax head alone, the layers below frozen, by L-BFGS on mean cross-entropy + λ/2 ‖W‖²."""
    rule = FullBackPropagation(frozen=len(network.W) - 1)
    return fit(
        network,
        (X, y),
        rule,
        epochs=steps,
        batch_size=4096,
        weight_decay=weight_decay,
        random_state=random_state,
        checkpoint=checkpoint,
    )


def _tensor(array: Any, dtype: torch.dtype) -> Tensor:
    return (
        array.to(dtype)
        if isinstance(array, Tensor)
        else torch.from_numpy(np.require(array, requirements=["C", "W"])).to(dtype)
    )
