"""Learning of the digits' variational autoencoder, in stages that a killed run goes on from."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.recipes.context import Context
from lamina.training import RedrawnInput, Schedule, Variational, fit
from lamina.units import Bernoulli

N_HIDDEN, HIDDEN = 50, (200, 200)
BATCH = 200
HELD = ((60, 3e-3), (19, 1.6e-3), (25, 1e-3), (140, 1e-3))  # passes at a constant rate; the last rate then falls
FALLING = 120  # passes on which it falls to a hundredth of itself
SHARPER = (14, 4e-4, 5)  # passes on the importance-weighted bound, their first rate, draws a row
FLAT_ROWS, FLAT_PASSES = 10_000, 10  # of the model with two latent units
QUICK_PASSES = 3  # of every stage
DIGIT = {"shape": (1, 28, 28)}


def falling_to_a_hundredth(rate: float, passes: int) -> Schedule:
    return Schedule(((0.0, rate), (float(passes), rate / 100)), linear=True)


def stages(quick: bool) -> list[tuple[str, int, float | Schedule]]:
    """Name, passes and learning rate of every stage: constant ones, then a straight line to a hundredth."""
    falling = QUICK_PASSES if quick else FALLING
    fall = falling_to_a_hundredth(HELD[-1][1], falling)
    held = [(f"held {k + 1}", QUICK_PASSES if quick else passes, rate) for k, (passes, rate) in enumerate(HELD)]
    return [*held, ("falling", falling, fall)]


def learnt(context: Context, X: np.ndarray, listen: Callable[[str, VariationalAutoencoder], Any]) -> Any:
    """The model after all stages on grey rows ``X``; ``listen(stage, model)`` is called before and after each."""
    model = VariationalAutoencoder(X.shape[1], N_HIDDEN, hidden=HIDDEN)
    model.initialise(Random(context.seed).child("model"), torch.from_numpy(X.mean(0)))
    listen("untrained", model)
    for stage, passes, rate in stages(context.quick):
        make = partial(go_on, context, model, X, stage, passes, rate)
        model = context.model(f"digits {stage}", make, DIGIT)
        listen(stage, model)
    return model


def sharpened(context: Context, X: np.ndarray, model: VariationalAutoencoder) -> Any:
    """``model`` after more passes, in which the importance-weighted bound is ascended."""
    passes, rate, draws = SHARPER
    passes = QUICK_PASSES if context.quick else passes

    def make() -> VariationalAutoencoder:
        fall = falling_to_a_hundredth(rate, passes)
        return go_on(context, deepcopy(model), X, "importance", passes, fall, Variational(importance=draws))

    return context.model("digits importance", make, DIGIT)


def flat(context: Context, X: np.ndarray) -> Any:
    """A model with two latent units, whose codes are a picture."""

    def make() -> VariationalAutoencoder:
        model = VariationalAutoencoder(X.shape[1], 2, hidden=HIDDEN)
        model.initialise(Random(context.seed).child("flat model"), torch.from_numpy(X.mean(0)))
        passes = QUICK_PASSES if context.quick else FLAT_PASSES
        return go_on(context, model, X[:FLAT_ROWS], "flat", passes, falling_to_a_hundredth(HELD[0][1], passes))

    return context.model("digits flat", make, DIGIT)


def go_on(
    context: Context,
    model: VariationalAutoencoder,
    X: np.ndarray,
    stage: str,
    passes: int,
    rate: float | Schedule,
    rule: Variational | None = None,
) -> VariationalAutoencoder:
    """``model`` after more passes by Adam; pixels are drawn anew from the grey values for every batch."""
    context.say(f"{stage}: {passes} passes over {len(X):,} rows")
    history = fit(
        model,
        X,
        RedrawnInput(rule or Variational(), Bernoulli(X.shape[1])),
        epochs=passes,
        batch_size=BATCH,
        learning_rate=rate,
        optimiser="adam",
        random_state=Random(context.seed).child(stage),
        device=context.device,
        checkpoint=context.stage(f"digits {stage}") / "checkpoint",
        callbacks=context.callbacks(stage),
    )
    context.keep(f"history {stage}", lambda: {name: history[name] for name in ("bound", "kl")})
    return model


def binarised(context: Context, X: np.ndarray, what: str) -> Tensor:
    """Rows of 0 and 1, drawn once from grey values: the stream is named by the seed and ``what``."""
    return Random(context.seed).child("binarised", what).bernoulli(torch.from_numpy(X))
