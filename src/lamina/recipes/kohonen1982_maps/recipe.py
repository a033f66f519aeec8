"""Maps that order themselves: a net that unfolds into a square, and a sheet of digits on which neighbours look alike.

First the paper's own experiment: units on a grid see points of a square, one at a time; each pulls the unit nearest to
it and that unit's neighbours. From a knot at the middle, the net unfolds until it fills the square, on grids that are
rectangular, hexagonal, or closed to a torus. Then 784 columns in place of two: digits, by the batch rule. Their map
shows kinds of digits side by side; ridges of the U-matrix part them; units named after the class that they win most
often classify test digits they never saw, though no label took part in learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lamina.core.random import Random
from lamina.metrics import error_rate, majority_labels
from lamina.models.maps import SelfOrganisingMap
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, mnist
from lamina.recipes.kohonen1982_maps.pictures import cells, mosaic, scattered, threads
from lamina.recipes.record import Images, Measured, Nets, Outcome, Points
from lamina.training import BatchMap, OnlineMap, Schedule, fit, prototypes_from_plane, shrinking

NAME = "kohonen1982_maps"
TITLE = "Self-organising maps: a square, and a sheet of digits"
PAPER = (
    "T. Kohonen (1982) Self-organized formation of topologically correct feature maps. Biological Cybernetics 43, "
    "59-69; T. Kohonen (2013) Essentials of the self-organizing map. Neural Networks 37 (batch rule)"
)
MINUTES = 3


@dataclass(frozen=True)
class Grid:
    """A kind of grid."""

    topology: str = "rectangular"
    toroidal: bool = False


GRIDS = {
    "rectangular": Grid(),
    "hexagonal": Grid("hexagonal"),
    "rectangular torus": Grid(toroidal=True),
    "hexagonal torus": Grid("hexagonal", True),
}
SQUARE_SIDE, POINTS, SQUARE_RADIUS, SQUARE_RATE = 12, 10_000, (6.0, 0.6), (0.5, 0.02)
SEEN = (0, 30, 100, 300, 1000, 2000, 4000)  # points after which the net is drawn, beside the last
SIDE, ROWS, PASSES = 20, 20_000, 15
QUICK_SIDE, QUICK_POINTS, QUICK_PASSES = 10, 1000, 5
LAST_RADIUS = 0.7
SHOWN_PIXELS = ((7, 14), (10, 10), (10, 18), (14, 14), (18, 10), (18, 18), (21, 14), (24, 14))  # (row, column)
DOTS = 4000


def run(context: Context) -> Outcome:
    digits = mnist(context)
    found, maps = {}, {}
    for name in GRIDS:
        maps[name] = learnt(context, digits, name)
        found[name] = context.keep(f"measures {name}", partial(measures, digits, maps[name]))
        context.say(f"{name}: {found[name]['test error']:.1f} % wrong, map folded at {found[name]['fold']:.1f} %")
    figures: list[Images | Nets | Points] = [
        unfolding(context),
        squares(context),
        prototypes(maps["hexagonal"]),
        ridges(maps),
        planes(maps["hexagonal"]),
        hits(context, digits, maps["hexagonal"]),
    ]
    return Outcome(results(context, found), deviations(context), [context.seed], figures)


# the square -----------------------------------------------------------------------------------------------------------


class Filmed(OnlineMap):
    """Keeps the prototypes as they are before some of the steps."""

    def begin(self, steps: Sequence[int]) -> Filmed:
        self.steps = set(steps)
        self.film: dict[int, list] = {}
        return self

    def gradients(self, model: Any, batch: Any, step: int, random: Random) -> Any:
        if step in self.steps:
            self.film[step] = model.weights.detach().tolist()
        return super().gradients(model, batch, step, random)


def empty(name: str) -> SelfOrganisingMap:
    """A map of the square on one kind of grid, a knot at its middle."""
    grid = GRIDS[name]
    model = SelfOrganisingMap(2, SQUARE_SIDE, SQUARE_SIDE, topology=grid.topology, toroidal=grid.toroidal)
    model.weights.data.mul_(0.2).add_(0.5)
    return model


def filmed(context: Context, name: str) -> dict[str, list]:
    """Prototypes after so many points of the square, one at a time: number of points → (units, 2)."""
    points = QUICK_POINTS if context.quick else POINTS

    def make() -> dict[int, list]:
        model = empty(name)
        rule = Filmed(shrinking(*SQUARE_RADIUS, points)).begin(SEEN)
        fit(
            model,
            Random(context.seed).child("square").numpy().random((points, 2), dtype=np.float32),
            rule,
            epochs=1,
            batch_size=1,
            learning_rate=Schedule(((0.0, SQUARE_RATE[0]), (1.0, SQUARE_RATE[1])), linear=True),
            random_state=context.seed,
            callbacks=context.callbacks(f"square, {name}"),
        )
        return {**rule.film, points: model.weights.detach().tolist()}

    return context.keep(f"square {name}", make)  # type: ignore[no-any-return]


def unfolding(context: Context) -> Nets:
    film = filmed(context, "rectangular")
    note = (
        f"{SQUARE_SIDE} × {SQUARE_SIDE} units; knots are prototypes, threads join units that touch. The radius falls "
        f"from {SQUARE_RADIUS[0]:g} to {SQUARE_RADIUS[1]:g}."
    )
    lines = threads(empty("rectangular"))
    captions = tuple(f"{int(n):,} points" for n in film)
    return Nets("A net unfolds into a square", list(map(np.array, film.values())), [lines] * len(film), captions, note)


def squares(context: Context) -> Nets:
    ends = [np.array(list(filmed(context, name).values())[-1]) for name in GRIDS]
    note = "A torus cannot be laid into a square without folds: its threads run from edge to edge, twice over."
    return Nets("Four grids in one square", ends, [threads(empty(name)) for name in GRIDS], tuple(GRIDS), note)


# digits ---------------------------------------------------------------------------------------------------------------


def learnt(context: Context, digits: Digits, name: str) -> SelfOrganisingMap:
    """The map of digits on one kind of grid, from this run's memory if it is there."""
    grid = GRIDS[name]
    side, passes = (QUICK_SIDE, QUICK_PASSES) if context.quick else (SIDE, PASSES)

    def make() -> SelfOrganisingMap:
        X = digits.train.X[:ROWS]
        context.say(f"{name}: {side} × {side} units, {passes} passes over {len(X):,} digits")
        model = SelfOrganisingMap(784, side, side, topology=grid.topology, toroidal=grid.toroidal)
        fit(
            prototypes_from_plane(model, X, 5000),
            X,
            BatchMap(shrinking(side / 2, LAST_RADIUS, passes)),
            epochs=passes,
            batch_size=5000,
            random_state=context.seed,
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=context.callbacks(name),
        )
        return model

    return context.model(name, make)  # type: ignore[no-any-return]


def measures(digits: Digits, model: SelfOrganisingMap) -> dict:
    """Errors of the map on test rows (quantisation in grey values, the others in percent), units that win nothing."""
    X, y = digits.train.X[:ROWS], digits.train.y[:ROWS]
    winners = winners_of(model, X)
    names = majority_labels(winners, y, model.n_units, 10)
    named = torch.from_numpy(np.flatnonzero(names >= 0))
    rows = torch.from_numpy(digits.test.X).to(model.weights)
    best = torch.cdist(rows, model.weights.detach()[named.to(rows.device)]).argmin(1).cpu()
    predicted = names[named[best].numpy()]
    return {
        "test error": 100 * error_rate(digits.test.y, predicted),
        "quantisation": float(model.errors(rows).mean()),
        "fold": 100 * float(model.topographic_error(rows).mean()),
        "empty": int(model.n_units - len(np.unique(winners))),
    }


def winners_of(model: SelfOrganisingMap, X: np.ndarray) -> np.ndarray:
    parts = torch.from_numpy(X).to(model.weights).split(5000)
    return torch.cat([model.winners(part) for part in parts]).cpu().numpy()


def results(context: Context, found: dict[str, dict]) -> list[Measured]:
    side = QUICK_SIDE if context.quick else SIDE
    rows = []
    for name, one in found.items():
        note = f"{side} × {side} units named after their most frequent class; {one['empty']} win no training row"
        what = f"test error by majority labels, {name}"
        rows.append(Measured(what, one["test error"], unit="%", higher_is_better=False, note=note))
    for name, one in found.items():
        note = "mean distance of a test row to its winner, grey values 0 to 1"
        rows.append(Measured(f"quantisation error, {name}", one["quantisation"], higher_is_better=False, note=note))
    for name, one in found.items():
        note = "test rows whose two nearest units do not touch"
        rows.append(Measured(f"topographic error, {name}", one["fold"], unit="%", higher_is_better=False, note=note))
    return rows


def prototypes(model: SelfOrganisingMap) -> Images:
    note = f"All {model.n_units} prototypes of the hexagonal map, each where its unit stands."
    return Images("A sheet of digits", mosaic(model, (28, 28))[None].clip(0, 1), note=note)


def ridges(maps: dict[str, SelfOrganisingMap]) -> Images:
    pictures = [cells(model, model.u_matrix().cpu().numpy()) for model in maps.values()]
    width = max(one.shape[1] for one in pictures)
    padded = [np.pad(one, ((0, 0), (0, width - one.shape[1])), constant_values=np.nan) for one in pictures]
    note = "Mean distance of a prototype to its neighbours', light where it is large: ridges between kinds of digits."
    return Images("U-matrix", np.stack(padded), tuple(maps), note=note)


def planes(model: SelfOrganisingMap) -> Images:
    found = model.planes().cpu().numpy()
    pictures = [cells(model, found[28 * row + column]) for row, column in SHOWN_PIXELS]
    captions = tuple(f"{row}, {column}" for row, column in SHOWN_PIXELS)
    note = "What the prototypes of the hexagonal map hold at eight pixels (row, column), each on its own scale."
    return Images("Component planes", np.stack(pictures), captions, note=note)


def hits(context: Context, digits: Digits, model: SelfOrganisingMap) -> Points:
    X, y = digits.test.X[:DOTS], digits.test.y[:DOTS]
    places = scattered(model, winners_of(model, X), context.seed)
    note = f"{len(X):,} test digits at the unit of the hexagonal map that they win, coloured by class."
    return Points("Where digits fall", places, y, tuple("0123456789"), note)


def deviations(context: Context) -> list[str]:
    found = [
        "The paper gives no numbers to compare with, and knows no digits, no batch rule and no torus; its square is "
        "learnt by its own rule here, on a grid of 12 × 12 units, with a Gaussian neighbourhood.",
        f"Digits: the first {ROWS:,} training rows, {PASSES} passes, radius from half the side to {LAST_RADIUS:g}, "
        f"begun in the plane of the first two principal components. All settings were fixed beforehand.",
        "One seed: the maps of digits begin and learn without random numbers, the squares with one set of points.",
    ]
    if context.quick:
        found.insert(0, "QUICK: smaller maps, 3,750 rows and few passes; the numbers show only that all runs.")
    return found
