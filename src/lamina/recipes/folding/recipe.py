"""Folding: two spots in the plane are one class, and the first layer folds the plane so that they are one spot.

No straight line tells the two spots from what surrounds them, and to a layer above that sees x and y alone they are two
things to learn. A layer of two units whose answer is the larger of two affine fields can fold the plane: |x| and y. The
spots then lie on top of one another, and what comes above has one to learn (Montúfar et al. 2014: every layer folds,
so that a region of the last one stands for exponentially many of the input). First by hand, then learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lamina.core.random import Random
from lamina.models import MLP
from lamina.recipes.context import Context
from lamina.recipes.digits import Part
from lamina.recipes.perceptrons import judged, mean_sd
from lamina.recipes.record import Measured, Outcome, Points
from lamina.training import BackPropagation, falling, fit

NAME = "folding"
TITLE = "Folding: the first layer lays two spots of the plane on top of one another"
PAPER = (
    "G. Montúfar, R. Pascanu, K. Cho, Y. Bengio (2014) On the number of linear regions of deep neural networks. "
    "Advances in Neural Information Processing Systems 27"
)
MINUTES = 1

SPOT, RADIUS, CLEAR = 1.5, 0.5, 0.8  # centres at (±SPOT, 0); nothing else is nearer to one than CLEAR
SIDE = 2.5  # the plane is [−SIDE, SIDE]²
N, N_TEST = 1000, 2000
N_UPPER = 8  # units of the second layer
RATE, EPOCHS, QUICK_EPOCHS = 0.01, 60, 15
SEEDS, QUICK_SEEDS = 20, 2
GROUPS = ("left spot", "right spot", "left rest", "right rest")


@dataclass(frozen=True)
class Plane:
    """Points (n, 2) float32, their class (1 in a spot) and their group, an index into `GROUPS`."""

    part: Part
    group: np.ndarray


def run(context: Context) -> Outcome:
    n_seeds = QUICK_SEEDS if context.quick else SEEDS
    seeds = [context.seed + k for k in range(n_seeds)]
    shown = plane(Random(context.seed).child("shown"), N_TEST)
    networks = [learnt(context, seed) for seed in seeds]
    found = [
        context.keep(f"measures {seed}", partial(measures, one, seed))
        for seed, one in zip(seeds, networks, strict=True)
    ]
    context.say(f"{sum(one['folded'] for one in found)} of {n_seeds} networks fold")
    hand = by_hand()
    figures = [
        picture("The plane", shown.part.X, shown, "Two spots are one class, the rest the other."),
        picture("After one layer, weights set by hand", hidden(hand, shown), shown, "|x| and y: a fold along x = 0."),
        *learnt_pictures(networks, found, shown),
    ]
    return Outcome(rows(hand, found), deviations(context), seeds, figures, reading(found))


def plane(random: Random, n: int) -> Plane:
    """``n`` points, half of them in the spots, evenly within each region."""
    n_spot = n // 2
    draw = random.child("spots").uniform((n_spot, 3), torch.float64).numpy()
    radius, angle, side = RADIUS * np.sqrt(draw[:, 0]), 2 * np.pi * draw[:, 1], np.where(draw[:, 2] < 0.5, -1, 1)
    spots = np.stack([side * SPOT + radius * np.cos(angle), radius * np.sin(angle)], 1)
    around = SIDE * (2 * random.child("rest").uniform((6 * n, 2), torch.float64).numpy() - 1)
    near = np.hypot(np.abs(around[:, 0]) - SPOT, around[:, 1])
    rest = around[near > CLEAR][: n - n_spot]
    X = np.concatenate([spots, rest]).astype(np.float32)
    y = np.repeat([1, 0], [n_spot, n - n_spot])
    return Plane(Part(X, y), 2 * (1 - y) + (X[:, 0] > 0))


@torch.no_grad()
def by_hand() -> MLP:
    """(|x|, y), then (||x| − SPOT|, |y|): a spot is where their sum is below a limit. Four maxout units in all."""
    made = MLP((2, 2, 2, 2), activation="maxout")
    made.W[0].copy_(torch.tensor([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]))
    made.W[1].copy_(torch.tensor([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]))
    made.b[1].copy_(torch.tensor([-SPOT, SPOT, 0.0, 0.0]))
    made.W[2].copy_(torch.tensor([[0.0, -1.0], [0.0, -1.0]]))
    made.b[2].copy_(torch.tensor([0.0, (np.sqrt(2) * RADIUS + CLEAR) / 2]))  # between the spot and what is clear of it
    return made


def learnt(context: Context, seed: int) -> MLP:
    """A network of the same first layer, learnt from random weights."""

    def make() -> MLP:
        network = MLP((2, 2, N_UPPER, 2), activation="maxout", random_state=seed)
        part = plane(Random(seed).child("train"), N).part
        epochs = QUICK_EPOCHS if context.quick else EPOCHS
        fit(
            network,
            (part.X, part.y),
            BackPropagation(),
            epochs=epochs,
            batch_size=50,
            learning_rate=falling(RATE, epochs),
            optimiser="adam",
            random_state=Random(seed).child("steps"),
            device=context.device,
        )
        return network

    return context.model(f"network {seed}", make)  # type: ignore[no-any-return]


@torch.no_grad()
def hidden(network: MLP, shown: Plane) -> np.ndarray:
    """Where the first layer puts the points: (n, 2)."""
    return network.hidden_means(torch.from_numpy(shown.part.X).to(network.W[0]))[0].cpu().numpy()


def gap(places: np.ndarray, group: np.ndarray) -> float:
    """Distance between the middles of the two spots over their root mean square radius: 0 where they coincide."""
    left, right = places[group == 0], places[group == 1]
    radius = np.mean([np.sqrt(((spot - spot.mean(0)) ** 2).sum(1).mean()) for spot in (left, right)])
    return float(np.linalg.norm(left.mean(0) - right.mean(0)) / max(radius, 1e-12))


def measures(network: MLP, seed: int) -> dict[str, Any]:
    """Test error in percent; the spots' gap in the plane and after the first layer, and whether they overlap there."""
    test = plane(Random(seed).child("test"), N_TEST)
    after = gap(hidden(network, test), test.group)
    return {
        "error": judged(network, test.part)["error"],
        "before": gap(test.part.X, test.group),
        "gap": after,
        "folded": after < 1,
    }


def picture(title: str, places: np.ndarray, shown: Plane, note: str) -> Points:
    return Points(title, places, shown.group, GROUPS, note)


def learnt_pictures(networks: list[MLP], found: list[dict], shown: Plane) -> list[Points]:
    """The network whose spots lie closest together after the first layer, and the one where they lie furthest apart."""
    order = np.argsort([one["gap"] for one in found])
    made = []
    for k, words in ((order[0], "closest together"), (order[-1], "furthest apart")):
        note = f"Of {len(found)} networks the one whose spots end {words}; test error {found[k]['error']:.1f} %."
        made.append(picture(f"After one layer, learnt: spots {words}", hidden(networks[k], shown), shown, note))
    return made


def rows(hand: MLP, found: list[dict]) -> list[Measured]:
    test = plane(Random(0).child("test"), N_TEST)
    folded = [one["error"] for one in found if one["folded"]]
    apart = [one["error"] for one in found if not one["folded"]]
    results = [
        Measured("networks that fold the spots together", 100 * len(folded) / len(found), unit="%"),
        Measured("gap of the spots in the plane, in radii", found[0]["before"], higher_is_better=False),
        Measured("gap after one layer, by hand", gap(hidden(hand, test), test.group), higher_is_better=False),
        Measured("test error, by hand", judged(hand, test.part)["error"], unit="%", higher_is_better=False),
    ]
    gaps = mean_sd([one["gap"] for one in found])
    results.append(
        Measured("gap after one layer, learnt", *gaps, higher_is_better=False, note="mean over all networks")
    )
    for what, errors in (("fold", folded), ("do not", apart)):
        if errors:
            mean, sd = mean_sd(errors)
            note = f"{len(errors)} of {len(found)} networks; median {np.median(errors):.2f} %"
            results.append(
                Measured(
                    f"test error of learnt networks that {what}", mean, sd, unit="%", higher_is_better=False, note=note
                )
            )
    return results


def reading(found: list[dict]) -> list[str]:
    folded = [one["error"] for one in found if one["folded"]]
    apart = [one["error"] for one in found if not one["folded"]]
    words = (
        f"{len(folded)} of {len(found)} networks put the spots on top of one another by themselves: nothing but the "
        f"error at the top asks them to."
    )
    if folded and apart:
        words += (
            f" Those that fold have {np.mean(folded):.2f} % test error, the others {np.mean(apart):.2f} %: these "
            f"bend the plane too, but leave the spots beside one another, as two things for the layer above to learn."
        )
    return [words]


def deviations(context: Context) -> list[str]:
    found = [
        "A figure of the paper's idea, not of its theorems: two maxout units make the fold that rectified networks "
        "make with more of them.",
        f"Spots of radius {RADIUS:g} at (±{SPOT:g}, 0), the rest at least {CLEAR:g} from their middles; {N} points "
        f"to learn from, {EPOCHS} passes of Adam at rate {RATE:g}, falling, chosen beforehand. A network counts as "
        f"folding where the middles of the spots end nearer to one another than their radius (root mean square).",
    ]
    if context.quick:
        found.insert(0, "QUICK: few passes and seeds; the numbers show only that all runs.")
    return found
