"""Fine-tuning an autoencoder in the ways that the recipe compares, each remembered stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch

from lamina.core.random import Random
from lamina.models.autoencoders import DeepAutoencoder
from lamina.recipes.context import Context
from lamina.training import FullReconstruction, Reconstruction, Rule, Schedule, fit

CHUNK = 2000


def adam(context: Context, name: str, begin: Callable[[], Any], X: Any, X_test: Any, loss: str, **options: Any) -> Any:
    """An autoencoder trained by Adam, its rate warmed up for half an epoch and then falling to a fiftieth.

    It falls over all ``epochs``, or over ``falls`` epochs where they are given.
    """
    rate, falls = options.pop("learning_rate"), options.pop("falls", options["epochs"])
    schedule = Schedule(((0.0, rate / 5), (min(0.5, falls / 4), rate), (float(falls), rate / 50)), linear=True)
    return _tuned(
        context,
        name,
        begin,
        X,
        X_test,
        Reconstruction(loss),
        optimiser="adam",
        learning_rate=schedule,
        **options,
    )


def conjugate_gradients(
    context: Context,
    name: str,
    begin: Callable[[], Any],
    X: Any,
    X_test: Any,
    *,
    epochs: Sequence[int],
    batch_size: int,
) -> Any:
    """The paper's way: three line searches on every batch. In parts of ``epochs``, each of which is kept."""
    rule = FullReconstruction("cross-entropy", minimiser="cg", searches=3, per_batch=True)
    network = None
    for part, n in enumerate(epochs, start=1):
        start = begin if network is None else partial(deepcopy, network)
        network = _tuned(context, f"{name} {part}", start, X, X_test, rule, epochs=n, batch_size=batch_size)
    return network


def _tuned(
    context: Context, name: str, begin: Callable[[], Any], X: Any, X_test: Any, rule: Rule, **options: Any
) -> Any:
    def make() -> DeepAutoencoder:
        network = begin()
        context.say(f"{name}: {options['epochs']} epochs over {len(X):,} rows")
        history = fit(
            network,
            X,
            rule,
            validation=X_test,
            random_state=Random(context.seed).child(name),
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=context.callbacks(name),
            **options,
        )
        width = X.shape[1]
        found: dict[str, Any] = {
            "error": [width * value for value in history["validation reconstruction error"]],
            "seconds": history.seconds,
        }
        if "evaluations" in history.names:
            found["evaluations"] = history["evaluations"]
        context.keep(f"curve {name}", lambda: found)
        return network

    return context.model(name, make)


def curve(context: Context, name: str, parts: int = 0) -> dict:
    """Test error per epoch, seconds, and evaluations per batch where they were counted, of a stage or of its parts."""
    names = [f"{name} {part}" for part in range(1, parts + 1)] or [name]
    found = [context.keep(f"curve {one}", dict) for one in names]
    return {
        "error": [value for one in found for value in one.get("error", [])],
        "seconds": sum(one.get("seconds", 0.0) for one in found),
        "evaluations": [value for one in found for value in one.get("evaluations", [])],
    }


@torch.no_grad()
def squared_error(reconstruct: Callable[[torch.Tensor], torch.Tensor], X: np.ndarray, device: Any = None) -> float:
    """Squared error per row, summed over its pixels and averaged over rows."""
    total = 0.0
    for rows in torch.from_numpy(X).split(CHUNK):
        given = rows.to(device or "cpu")
        total += float(((reconstruct(given) - given).double() ** 2).sum())
    return total / len(X)
