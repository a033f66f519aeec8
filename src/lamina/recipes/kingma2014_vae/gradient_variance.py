"""How much the two estimators of the encoder's gradient scatter, on the same rows and the same model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.recipes.record import Lines
from lamina.training import Variational
from lamina.training.sources import Batch

ROWS = 50
DRAWS = (1, 2, 5, 10)
REPEATS, QUICK_REPEATS = 40, 10
WARMING = 20  # repeats that bring the running baseline up, and are not counted
ESTIMATORS: dict[str, dict[str, str]] = {
    "score function": {"estimator": "score-function"},
    "score function, running mean": {"estimator": "score-function", "baseline": "running"},
    "score function, leave one out": {"estimator": "score-function", "baseline": "leave-one-out"},
    "reparametrised": {"estimator": "reparametrised"},
}


def variances(model: Any, v: Tensor, random: Random, repeats: int) -> dict[str, dict[str, float]]:
    """Estimator → number of draws (as text) → total variance of the encoder's gradient over fresh draws.

    The total is the trace of the covariance, a sum over all weights of the encoder.
    """
    found: dict[str, dict[str, float]] = {}
    for name, options in ESTIMATORS.items():
        for draws in DRAWS:
            if draws > 1 or options.get("baseline") != "leave-one-out":
                rule = Variational(samples=draws, **options)  # type: ignore[arg-type]
                found.setdefault(name, {})[str(draws)] = _variance(rule, model, v, random, repeats)
    return found


def _variance(rule: Variational, model: Any, v: Tensor, random: Random, repeats: int) -> float:
    rows = torch.arange(len(v))
    parameters = list(model.encoder.parameters())
    skipped = WARMING if rule.baseline == "running" else 0
    mean, squares = [torch.zeros_like(p, dtype=torch.float64) for p in parameters], 0.0
    for k in range(-skipped, repeats):
        loss, _ = rule.loss(model, Batch((v,), rows, len(v)), random.at(skipped + k, rows))
        if k < 0:
            continue
        gradients = torch.autograd.grad(loss / len(v), parameters)
        for m, g in zip(mean, gradients, strict=True):  # Welford's sums
            before = g - m
            m += before / (k + 1)
            squares += float((before * (g - m)).sum())
    return squares / (repeats - 1)


def figures(found: dict[str, dict], passes: dict[str, int]) -> list[Lines]:
    """Over the passes of learning with ten draws, and over the number of draws at the end; ``passes`` by stage."""
    last = list(found)[-1]
    note = f"Total variance of the encoder's gradient on the same {ROWS} training rows"
    most = str(DRAWS[-1])
    done = np.cumsum([passes.get(stage, 0) for stage in found]).tolist()
    by_passes = {name: (done, [values[name][most] for values in found.values()]) for name in ESTIMATORS}
    by_draws = {name: ([int(n) for n in values], list(values.values())) for name, values in found[last].items()}
    return [
        Lines(
            "Variance of the gradient while learning",
            "pass",
            "variance",
            by_passes,
            log_y=True,
            note=f"{note}, {most} draws a row.",
        ),
        Lines(
            "Variance of the gradient by draws",
            "draws a row",
            "variance",
            by_draws,
            log_x=True,
            log_y=True,
            note=f"{note}, after the last stage.",
        ),
    ]
