"""Activation functions in one deep perceptron: each at the learning rate that suits it, from weights drawn to suit it.

Five hidden layers are deep enough for the choice to matter: slopes multiply on the way down. All networks have the same
number of parameters, up to what their units need themselves (a parametric slope each, or the second piece of a maxout
unit, for which there are fewer units). A network of identity units, which is linear, shows what depth alone gives.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lamina.core.errors import DivergenceError
from lamina.core.random import Random
from lamina.models import MLP
from lamina.models.activations import NETWORK_ACTIVATIONS
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, mnist
from lamina.recipes.perceptrons import first, judged, mean_sd
from lamina.recipes.record import Lines, Measured, Outcome
from lamina.training import BackPropagation, fit

NAME = "activations"
TITLE = "Activation functions: a race in a perceptron of five hidden layers"
PAPER = (
    "X. Glorot, A. Bordes, Y. Bengio (2011) Deep sparse rectifier neural networks. International Conference on "
    "Artificial Intelligence and Statistics"
)
MINUTES = 3

WIDTH, DEPTH = 100, 5
MAXOUT_WIDTH = 58  # two pieces each: as many parameters as the others
RATES = (3e-4, 1e-3, 3e-3)
ROWS, HELD = 8_000, 5_000
EPOCHS, QUICK_EPOCHS = 6, 1
SEEDS, QUICK_SEEDS = 3, 1
NAMES = tuple(sorted(NETWORK_ACTIVATIONS))


def run(context: Context) -> Outcome:
    digits = mnist(context)
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    best, found = {}, {}
    for name in NAMES:
        tried = {rate: raced(context, digits, name, rate, "tuning", context.seed) for rate in RATES}
        best[name] = min(RATES, key=lambda rate: last(tried[rate]))
        found[name] = [raced(context, digits, name, best[name], "race", seed) for seed in seeds]
        context.say(f"{name}: {np.mean([one['test'] for one in found[name]]):.2f} % at rate {best[name]:g}")
    return Outcome(rows(found, best), deviations(context), seeds, figures(found), reading(found))


def sizes(name: str) -> tuple[int, ...]:
    return (784, *[MAXOUT_WIDTH if name == "maxout" else WIDTH] * DEPTH, 10)


def raced(context: Context, digits: Digits, name: str, rate: float, what: str, seed: int) -> dict[str, Any]:
    """One run: losses per epoch, slopes of the lowest layer, test error; read back where it has been run."""
    return context.keep(f"{what} {name} {rate:g} {seed}", partial(one_run, context, digits, name, rate, what, seed))  # type: ignore[no-any-return]


def one_run(context: Context, digits: Digits, name: str, rate: float, what: str, seed: int) -> dict[str, Any]:
    random = Random(seed).child(what)
    network = MLP(sizes(name), activation=name, random_state=random)
    train, validation = first(digits.train, ROWS), first(digits.validation, HELD)
    try:
        history = fit(
            network,
            (train.X, train.y),
            BackPropagation(),
            epochs=QUICK_EPOCHS if context.quick else EPOCHS,
            learning_rate=rate,
            optimiser="adam",
            validation=(validation.X, validation.y),
            random_state=random,
            device=context.device,
            health=True,
        )
    except DivergenceError:
        return {"training": [], "validation": [], "validation error": [], "test": 100.0, "gradients": [], "seconds": 0}
    return {
        "training": history["training loss"],
        "validation": history["validation loss"],
        "validation error": [100 * value for value in history["validation error"] if value is not None],
        "test": judged(network, digits.test)["error"],
        "gradients": history.start["gradient norm"],
        "seconds": history.seconds,
    }


def last(one: dict[str, Any]) -> float:
    """The validation loss of the last epoch; infinite after a divergence."""
    return float(one["validation"][-1]) if one["validation"] else float("inf")


def rows(found: dict[str, list[dict]], best: dict[str, float]) -> list[Measured]:
    results = []
    for what, unit in (("test error", "%"), ("validation loss", "nats"), ("training loss of the last pass", "nats")):
        key = what.split()[0]
        for name in ordered(found):
            runs = found[name]
            mean, sd = mean_sd([one[key] if key == "test" else one[key][-1] for one in runs])
            edge = ", at an end of the grid" if best[name] in (RATES[0], RATES[-1]) else ""
            note = f"rate {best[name]:g}{edge}; {np.mean([one['seconds'] for one in runs]):.1f} s"
            results.append(Measured(f"{what}, {name}", mean, sd, unit=unit, higher_is_better=False, note=note))
    return results


def ordered(found: dict[str, list[dict]]) -> list[str]:
    """Names by mean validation loss, the best first."""
    return sorted(found, key=lambda name: float(np.mean([last(one) for one in found[name]])))


def figures(found: dict[str, list[dict]]) -> list[Lines]:
    epochs = np.arange(1, 1 + len(next(iter(found.values()))[0]["training"]))
    names = ordered(found)
    note = "Means over seeds, each at its best rate; the best by validation loss first."
    made = []
    for key, title, unit, log in (
        ("training", "Training loss", "nats", True),
        ("validation error", "Validation error", "%", True),
    ):
        series = {name: (epochs, np.mean([one[key] for one in found[name]], 0)) for name in names}
        made.append(Lines(title, "epoch", unit, series, log_y=log, note=note))
    layers = np.arange(1, DEPTH + 2)
    slopes = {name: (layers, np.mean([one["gradients"] for one in found[name]], 0)) for name in names}
    note = "At the start, on 256 training rows: ∂loss/∂(weights and biases) of each layer. 6 is the head."
    made.append(Lines("Gradient norm before the first step", "layer", "norm", slopes, log_y=True, note=note))
    return made


def reading(found: dict[str, list[dict]]) -> list[str]:
    names = ordered(found)
    test = {name: float(np.mean([one["test"] for one in found[name]])) for name in names}
    fade = {name: np.mean([one["gradients"] for one in found[name]], 0) for name in names}
    share = {name: float(fade[name][0] / fade[name][-2]) for name in names}
    weakest = min(share, key=share.__getitem__)
    spread = float(np.mean([np.std([one["test"] for one in found[name]]) for name in names]))
    near = [name for name in names if test[name] <= min(test.values()) + 2 * spread]
    return [
        f"By validation loss the order is {', '.join(names)}. Within two standard deviations ({2 * spread:.2f} % of "
        f"test error, taken over seeds) of the best lie {', '.join(near)}: between these the race does not decide.",
        f"The gradient that arrives at the lowest layer, as a share of that at the highest hidden one, is smallest for "
        f"{weakest} ({share[weakest]:.2g}) and {share['relu']:.2g} for relu, {share['tanh']:.2g} for tanh. Sigmoid "
        f"units end at {test['sigmoid']:.2f} % test error, rectified ones at {test['relu']:.2f} %, the linear network "
        f"at {test['identity']:.2f} %.",
    ]


def deviations(context: Context) -> list[str]:
    found = [
        f"{DEPTH} hidden layers of {WIDTH} units (maxout: {MAXOUT_WIDTH} of two pieces), the first {ROWS:,} training "
        f"rows, {EPOCHS} passes of Adam in batches of 100 (paper: three layers of 1000, more rows, gradient descent, "
        f"with and without denoising pre-training): orders can be compared, errors cannot.",
        f"Rate out of {', '.join(f'{rate:g}' for rate in RATES)}, constant, by validation loss ({HELD:,} rows kept "
        f"aside) after a run of full length from a start of its own. Weights start by He for rectified units and their "
        f"kin, by Glorot for all others.",
        "No dropout, no weight decay, no batch normalisation, which would bring the activations closer together.",
    ]
    if context.quick:
        found.insert(0, "QUICK: 3,750 rows and one pass; the numbers show only that all runs.")
    return found
