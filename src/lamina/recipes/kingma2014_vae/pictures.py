"""What the autoencoder draws: its samples, ways between two digits, and a plane of codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.recipes.context import Context
from lamina.recipes.record import Images, Lines

ROWS, COLUMNS = 6, 12
WAYS, STEPS = 6, 11
PLANE = 12  # codes along each side


@torch.no_grad()
def samples(model: Any, random: Random) -> Images:
    like = model.decoder.W[0]
    h = random.normal((ROWS * COLUMNS, model.n_hidden), like.dtype, like.device)
    note = "Codes from N(0, I), decoded to the means of the pixels."
    return Images("Samples", _pictures(model.mean_v_from_h(h), ROWS), note=note)


@torch.no_grad()
def ways(model: Any, v: Tensor) -> Images:
    """From a test digit to another, in equal steps between the means of their codes."""
    codes = model.mean_h_from_v(v[: 2 * WAYS].to(model.decoder.W[0]))
    share = torch.linspace(0, 1, STEPS, dtype=codes.dtype, device=codes.device).view(1, -1, 1)
    between = (1 - share) * codes[:WAYS, None] + share * codes[WAYS:, None]
    note = "Test digits at both ends, as decoded; equal steps between the means of their codes."
    return Images("From one digit to another", _pictures(model.mean_v_from_h(between.flatten(0, 1)), WAYS), note=note)


@torch.no_grad()
def plane(model: Any) -> Images:
    """Codes at equal steps of probability along both axes of a model with two latent units."""
    like = model.decoder.W[0]
    quantiles = torch.special.ndtri((torch.arange(PLANE, dtype=torch.float64) + 0.5) / PLANE).to(like)
    grid = torch.stack(torch.meshgrid(quantiles, quantiles, indexing="ij"), -1).flatten(0, 1)
    note = "A model with two latent units: every picture is decoded from a code at equal steps of probability."
    return Images("The plane of codes", _pictures(model.mean_v_from_h(grid), PLANE), note=note)


def curves(context: Context, stages: list[str]) -> Lines:
    """The bound of the training rows over all passes."""
    bounds = [value for stage in stages for value in context.keep(f"history {stage}", dict)["bound"]]
    series = {"training rows": (list(range(1, len(bounds) + 1)), bounds)}
    note = "Evidence lower bound, the mean over a pass with one draw a row, pixels drawn anew."
    return Lines("Bound while learning", "pass", "nats per row", series, note=note)


def _pictures(rows: Tensor, n_rows: int) -> np.ndarray:
    return rows.reshape(n_rows, -1, 28, 28).cpu().numpy()
