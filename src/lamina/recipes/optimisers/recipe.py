"""A race of optimisers: the same network from the same start, each optimiser at the learning rate that suits it best.

A learning rate that is fair to one optimiser is not to another. So every optimiser first tries a grid of rates on a run
of full length and keeps the one with the lowest validation loss; then all run again, from three other starts. L-BFGS
has no rate: it goes over all rows for every step, and is drawn by its evaluations of the whole objective.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lamina.core.errors import DivergenceError
from lamina.core.random import Random
from lamina.models import MLP
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, mnist
from lamina.recipes.perceptrons import first, judged, mean_sd
from lamina.recipes.record import Lines, Measured, Outcome
from lamina.training import BackPropagation, fit
from lamina.training.optimisers import LBFGS

NAME = "optimisers"
TITLE = "Optimisers: a race on digits, each at its best learning rate"
PAPER = (
    "D. P. Kingma, J. Ba (2015) Adam: a method for stochastic optimization. International Conference on Learning "
    "Representations (its comparison on MNIST)"
)
MINUTES = 3

GRIDS: dict[str, tuple[float, ...]] = {
    "sgd": (0.03, 0.1, 0.3, 1.0),
    "momentum": (0.003, 0.01, 0.03, 0.1),
    "nesterov": (0.003, 0.01, 0.03, 0.1),
    "adagrad": (0.003, 0.01, 0.03, 0.1),
    "rmsprop": (0.0003, 0.001, 0.003, 0.01),
    "adam": (0.0003, 0.001, 0.003, 0.01),
}
ROWS, HELD = 10_000, 5_000
N_HIDDEN = 128
EPOCHS, QUICK_EPOCHS = 6, 2
SEEDS, QUICK_SEEDS = 3, 1
BATCH = 100
ITERATIONS, QUICK_ITERATIONS = 20, 3  # of L-BFGS, each on all rows


def run(context: Context) -> Outcome:
    digits = mnist(context)
    best = {}
    for name, grid in GRIDS.items():
        tried = {rate: raced(context, digits, name, rate, "tuning", context.seed) for rate in grid}
        best[name] = (min(grid, key=lambda rate: last(tried[rate])), {rate: last(one) for rate, one in tried.items()})
        context.say(f"{name}: best rate {best[name][0]:g}")
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    found = {name: [raced(context, digits, name, rate, "race", s) for s in seeds] for name, (rate, _) in best.items()}
    found["lbfgs"] = [raced(context, digits, "lbfgs", 0.0, "race", seed) for seed in seeds]
    return Outcome(rows(found, best), deviations(context), seeds, figures(found, best), reading(found, best))


def raced(context: Context, digits: Digits, name: str, rate: float, what: str, seed: int) -> dict[str, Any]:
    """One run: curves over passes, and the test error at its end; read back where it has been run."""
    return context.keep(f"{what} {name} {rate:g} {seed}", partial(one_run, context, digits, name, rate, what, seed))  # type: ignore[no-any-return]


def one_run(context: Context, digits: Digits, name: str, rate: float, what: str, seed: int) -> dict[str, Any]:
    random = Random(seed).child(what)
    network = MLP((784, N_HIDDEN, 10), random_state=random)
    train, validation = first(digits.train, ROWS), first(digits.validation, HELD)
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    if name == "lbfgs":
        epochs = QUICK_ITERATIONS if context.quick else ITERATIONS
    try:
        history = fit(
            network,
            (train.X, train.y),
            BackPropagation(),
            epochs=epochs,
            batch_size=20 * BATCH if name == "lbfgs" else BATCH,  # there only the rows that go together
            learning_rate=rate,
            optimiser=LBFGS(searches=1) if name == "lbfgs" else name,
            validation=(validation.X, validation.y),
            random_state=random,
            device=context.device,
        )
    except DivergenceError:
        return {"passes": [], "training": [], "validation": [], "validation error": [], "test": None, "seconds": None}
    evaluations = [1 if value is None else value for value in history["evaluations"]]
    return {
        "passes": np.cumsum(evaluations),
        "training": history["objective" if name == "lbfgs" else "training loss"],
        "validation": history["validation loss"],
        "validation error": [100 * value for value in history["validation error"] if value is not None],
        "test": judged(network, digits.test)["error"],
        "seconds": history.seconds,
    }


def last(one: dict[str, Any]) -> float:
    """The validation loss of the last epoch; infinite after a divergence."""
    return float(one["validation"][-1]) if one["validation"] else float("inf")


Best = dict[str, tuple[float, dict[float, float]]]


def rows(found: dict[str, list[dict]], best: Best) -> list[Measured]:
    results = []
    for what, key, unit in (
        ("test error", "test", "%"),
        ("validation loss", "validation", "nats"),
        ("training loss of the last pass", "training", "nats"),
    ):
        for name, runs in found.items():
            mean, sd = mean_sd([one[key] if key == "test" else one[key][-1] for one in runs])
            results.append(
                Measured(f"{what}, {name}", mean, sd, unit=unit, higher_is_better=False, note=how(name, runs, best))
            )
    return results


def how(name: str, runs: list[dict], best: Best) -> str:
    """The rate, whether it lies at an end of its grid, the passes and the seconds."""
    passes = (
        f"{np.mean([one['passes'][-1] for one in runs]):.0f} passes, {np.mean([one['seconds'] for one in runs]):.1f} s"
    )
    if name not in best:
        return f"line searches, {passes}"
    rate, grid = best[name][0], GRIDS[name]
    edge = ", at an end of the grid" if rate in (grid[0], grid[-1]) else ""
    return f"rate {rate:g}{edge}; {passes}"


def figures(found: dict[str, list[dict]], best: Best) -> list[Lines]:
    note = "Means over seeds, each optimiser at its best rate. L-BFGS: evaluations of the loss of all rows."
    made = [
        Lines(title, "passes over the rows", label, curves(found, key), True, log, note)
        for title, label, key, log in (
            ("Training loss", "nats", "training", True),
            ("Validation loss", "nats", "validation", True),
            ("Validation error", "%", "validation error", False),
        )
    ]
    rates = {name: (list(tried), [finite(v) for v in tried.values()]) for name, (_, tried) in best.items()}
    note = "Loss after a run of full length, one start; a gap where it diverged."
    made.append(Lines("How much the rate matters", "learning rate", "validation loss (nats)", rates, True, True, note))
    return made


def finite(value: float) -> float:
    return value if np.isfinite(value) else float("nan")


def curves(found: dict[str, list[dict]], key: str) -> dict[str, tuple]:
    series = {}
    for name, runs in found.items():
        passes, values = (np.array([one[k] for one in runs]) for k in ("passes", key))
        series[name] = (passes.mean(0), values.mean(0), values.std(0, ddof=1) if len(runs) > 1 else values.std(0))
    return series


def reading(found: dict[str, list[dict]], best: Best) -> list[str]:
    loss = {name: float(np.mean([one["validation"][-1] for one in runs])) for name, runs in found.items()}
    early = {
        name: float(np.mean([one["training"][1] for one in runs])) for name, runs in found.items() if name != "lbfgs"
    }
    order = sorted(best, key=loss.__getitem__)
    spread = {name: max(tried.values()) / min(tried.values()) for name, (_, tried) in best.items()}
    tolerant = min(spread, key=spread.__getitem__)
    stuck = sum(abs(one["training"][-1] - one["training"][-2]) < 1e-5 for one in found["lbfgs"])
    return [
        f"At their best rates the optimisers that take a step per batch end with validation losses from "
        f"{loss[order[0]]:.3f} ({order[0]}) to {loss[order[-1]]:.3f} nats ({order[-1]}); the order is "
        f"{', '.join(order)}. After two passes {min(early, key=early.__getitem__)} has the lowest training loss, "
        f"{min(early.values()):.3f}.",
        f"How much the rate matters: over a grid of a factor of about 30 the final validation loss varies by a factor "
        f"of {spread[tolerant]:.2f} for {tolerant}, and of "
        + ", ".join(f"{spread[n]:.2f} ({n})" for n in spread if n != tolerant)
        + ".",
        f"L-BFGS needs all rows for every step, of which an epoch of the others has {ROWS // BATCH}: after "
        f"{np.mean([one['passes'][-1] for one in found['lbfgs']]):.0f} passes its validation loss is "
        f"{loss['lbfgs']:.3f} ({stuck} of {len(found['lbfgs'])} runs stood still at the end, on a line search that "
        f"found no lower point). On many similar rows a step on few of them is nearly as good as one on all.",
    ]


def deviations(context: Context) -> list[str]:
    grids = "; ".join(f"{name} {', '.join(f'{rate:g}' for rate in grid)}" for name, grid in GRIDS.items())
    found = [
        f"One hidden layer of {N_HIDDEN} rectified units on the first {ROWS:,} training rows for {EPOCHS} passes, "
        f"batches of {BATCH} (paper: two layers of 1000, all rows, longer): only order and shape of "
        f"curves can be compared.",
        f"Rates out of these, by validation loss at the end of a run from a start of its own: {grids}. Constant in "
        f"time; momentum 0.9 for momentum and nesterov; other constants as PyTorch has them.",
        f"Validation: {HELD:,} rows kept aside. L-BFGS: {ITERATIONS} iterations with a memory of 100, one per "
        f"call of PyTorch's, which begins each by an evaluation that a longer call would not need: about half of its "
        f"passes.",
    ]
    if context.quick:
        found.insert(0, "QUICK: 3,750 rows and two passes; the numbers show only that all runs.")
    return found
