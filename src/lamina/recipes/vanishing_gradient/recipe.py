"""The vanishing gradient: how much of the error arrives at each layer, by activation, depth and pre-training.

On its way down the error is multiplied by W and by the slope φ′ at every layer. If weights are independent of slopes,
its length changes from one layer to the one below by the factor                            (docs/mathematics.md, 200)

    √(n · Var W · E[φ′²])        n units above,

which is about 1/4 for sigmoid units that start by Glorot's rule (φ′ ≤ 1/4, n · Var W = 1) and 1 for rectified ones that
start by He's. Perceptrons of one to seven layers are looked at before the first step and after each pass: norms of the
gradient of every layer, and beside them the errors that they end with.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch

from lamina.core.errors import DivergenceError
from lamina.core.random import Random
from lamina.models import MLP, Stack
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, Part, mnist
from lamina.recipes.perceptrons import first, first_layers, judged, mean_sd
from lamina.recipes.record import Lines, Measured, Outcome
from lamina.training import BackPropagation, fit
from lamina.training.layer_kinds import layered, pretrain_kind

NAME = "vanishing_gradient"
TITLE = "The vanishing gradient: sigmoid, tanh and rectified units, with and without pre-training"
PAPER = (
    "X. Glorot, Y. Bengio (2010) Understanding the difficulty of training deep feedforward neural networks. "
    "International Conference on Artificial Intelligence and Statistics"
)
MINUTES = 4

WIDTH = 100
DEPTHS, QUICK_DEPTHS = (1, 3, 5, 7), (1, 2)
ROWS, HELD = 5000, 2000
BATCH = 50
EPOCHS, QUICK_EPOCHS = 10, 2
LAYER_EPOCHS, QUICK_LAYER_EPOCHS = 5, 1
RATES = (0.01, 0.03, 0.1, 0.3)
SEEDS, QUICK_SEEDS = 3, 1
TRAINED = "sigmoid, pre-trained"
KINDS = ("sigmoid", TRAINED, "tanh", "relu")


def run(context: Context) -> Outcome:
    digits = mnist(context)
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    found: dict[str, dict[int, list[dict]]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for depth in QUICK_DEPTHS if context.quick else DEPTHS:
            tried = {rate: watched(context, digits, kind, depth, rate, seeds[0]) for rate in RATES}
            rate = min(RATES, key=lambda rate: loss_of(tried[rate]))
            found[kind][depth] = [watched(context, digits, kind, depth, rate, seed) for seed in seeds]
            error = np.mean([one["test"] for one in found[kind][depth]])
            context.say(f"{kind}, {depth} layers: {error:.2f} % at rate {rate:g}")
    return Outcome(rows(found), deviations(context), seeds, figures(found), reading(found))


def watched(context: Context, digits: Digits, kind: str, depth: int, rate: float, seed: int) -> dict[str, Any]:
    """One run with a look inside after each pass; read back where it has been run."""
    return context.keep(f"{kind} {depth} {rate:g} {seed}", partial(one_run, context, digits, kind, depth, rate, seed))  # type: ignore[no-any-return]


def one_run(context: Context, digits: Digits, kind: str, depth: int, rate: float, seed: int) -> dict[str, Any]:
    train, validation = first(digits.train, ROWS), first(digits.validation, HELD)
    network = started(context, train, kind, depth, seed)
    factors = expected_factors(network, torch.from_numpy(train.X[:256]))
    try:
        history = fit(
            network,
            (train.X, train.y),
            BackPropagation(),
            epochs=QUICK_EPOCHS if context.quick else EPOCHS,
            batch_size=BATCH,
            learning_rate=rate,
            optimiser="momentum",
            random_state=Random(seed).child("steps"),
            device=context.device,
            health=True,
        )
    except DivergenceError:
        return {"rate": rate, "validation": None, "train": 100.0, "test": 100.0}  # no gradients to show
    return {
        "rate": rate,
        "factors": factors,
        "gradients": [history.start["gradient norm"], *(record.health["gradient norm"] for record in history)],
        "train": judged(network, train)["error"],
        "validation": judged(network, validation)["loss"],
        "test": judged(network, digits.test)["error"],
    }


def started(context: Context, part: Part, kind: str, depth: int, seed: int) -> MLP:
    """The network before it learns; with pre-training, all but the head comes from a stack of machines."""
    activation = "sigmoid" if kind == TRAINED else kind
    network = MLP([part.X.shape[1], *[WIDTH] * depth, 10], activation=activation, random_state=seed)
    if kind == TRAINED:
        lower: MLP = first_layers(greedy(context, part, seed), depth).classifier(10)  # type: ignore[assignment]
        with torch.no_grad():
            for k in range(depth):
                network.W[k].copy_(lower.W[k])
                network.b[k].copy_(lower.b[k])
    return network


def greedy(context: Context, part: Part, seed: int) -> Stack:
    """Restricted Boltzmann machines on top of one another, as many as the deepest network has layers."""
    depth = max(QUICK_DEPTHS if context.quick else DEPTHS)

    def make() -> Stack:
        stack = layered("rbm", [part.X.shape[1], *[WIDTH] * depth])
        epochs = QUICK_LAYER_EPOCHS if context.quick else LAYER_EPOCHS
        context.say(f"pre-training: {depth} layers, {epochs} passes each over {len(part):,} rows")
        pretrain_kind(
            stack, part.X, "rbm", epochs=epochs, random_state=Random(seed).child("layers"), device=context.device
        )
        return stack

    return context.model(f"machines {seed}", make)  # type: ignore[no-any-return]


def loss_of(one: dict[str, Any]) -> float:
    """Validation loss, infinite after a divergence."""
    return math.inf if one["validation"] is None else float(one["validation"])


@torch.no_grad()
def expected_factors(network: MLP, X: torch.Tensor) -> list[float]:
    """By what the length of the error changes from each layer to the one below it, by the formula of the module.

    One number per hidden layer but the highest, the lowest first: √(n · mean W² · mean φ′²), W the weights above it.
    """
    found = []
    for k, a in enumerate(network.hidden_means(X.to(network.W[0]))[:-1]):
        slope = {"sigmoid": a * (1 - a), "tanh": 1 - a**2, "relu": (a > 0).to(a)}[network.activation]
        above = network.W[k + 1]
        found.append(math.sqrt(above.shape[1] * float(above.square().mean()) * float(slope.square().mean())))
    return found


Found = dict[str, dict[int, list[dict]]]


def whole(runs: list[dict]) -> list[dict]:
    """Those that did not diverge: never none, as the rate was chosen by one that did not."""
    return [one for one in runs if "gradients" in one]


def mean_gradients(runs: list[dict], epoch: int) -> np.ndarray:
    """Geometric mean over seeds of each layer's gradient norm; epoch 0 is before the first step."""
    return np.exp(np.mean([np.log(np.maximum(one["gradients"][epoch], 1e-30)) for one in whole(runs)], 0))


def share(runs: list[dict], epoch: int = 0) -> float:
    """Gradient of the lowest layer over that of the highest hidden one."""
    norms = mean_gradients(runs, epoch)
    return float(norms[0] / norms[-2])


def per_layer(runs: list[dict]) -> float:
    """Measured factor per layer at the start, between the second and the highest hidden layer (same shapes)."""
    norms = mean_gradients(runs, 0)[1:-1]
    return float((norms[0] / norms[-1]) ** (1 / (len(norms) - 1))) if len(norms) > 1 else math.nan


def rows(found: Found) -> list[Measured]:
    deepest = max(next(iter(found.values())))
    results = []
    for kind in KINDS:
        runs = found[kind][deepest]
        note = f"after {len(whole(runs)[0]['gradients']) - 1} passes {share(runs, -1):.2g}"
        if not math.isnan(per_layer(runs)):
            expected = np.exp(np.mean([np.log(one["factors"][1:]) for one in whole(runs)]))
            note += f"; per layer {per_layer(runs):.2f}, by the formula {expected:.2f}"
        what = f"gradient of the lowest of {deepest} layers as a share of the highest's, at the start, {kind}"
        results.append(Measured(what, share(runs), note=note))
    for key, words in (("train", "training"), ("test", "test")):
        for kind in KINDS:
            for depth, runs in found[kind].items():
                mean, sd = mean_sd([one[key] for one in runs])
                what = f"{words} error, {kind}, {depth} hidden layer{'s' if depth > 1 else ''}"
                note = f"rate {runs[0]['rate']:g}"
                results.append(Measured(what, mean, sd, unit="%", higher_is_better=False, note=note))
    return results


def figures(found: Found) -> list[Lines]:
    depths = sorted(next(iter(found.values())))
    deepest, n_epochs = depths[-1], len(whole(found[KINDS[0]][depths[-1]])[0]["gradients"]) - 1
    layers, epochs = np.arange(1, deepest + 2), np.arange(n_epochs + 1)
    at = lambda epoch: {kind: (layers, mean_gradients(found[kind][deepest], epoch)) for kind in KINDS}  # noqa: E731
    lowest = {
        kind: (epochs, [mean_gradients(found[kind][deepest], int(epoch))[0] for epoch in epochs]) for kind in KINDS
    }
    shares = {kind: (depths[1:], [share(found[kind][depth]) for depth in depths[1:]]) for kind in KINDS}
    note = (
        f"∂loss/∂(weights and biases) on 256 training rows, {deepest} hidden layers; layer {deepest + 1} is the head."
    )
    made = [
        Lines("Gradient norm before the first step", "layer", "norm", at(0), log_y=True, note=note),
        Lines(f"Gradient norm after {n_epochs} passes", "layer", "norm", at(n_epochs), log_y=True, note=note),
        Lines("Gradient norm of the lowest layer", "passes", "norm", lowest, log_y=True, note=note),
        Lines(
            "What arrives at the lowest layer",
            "hidden layers",
            "gradient norm, lowest over highest hidden layer",
            shares,
            log_y=True,
            note="Before the first step.",
        ),
    ]
    for key, words in (("train", "Training"), ("test", "Test")):
        series = {}
        for kind in KINDS:
            means, sds = zip(*(mean_sd([one[key] for one in found[kind][depth]]) for depth in depths), strict=True)
            series[kind] = (depths, means, sds)
        made.append(Lines(f"{words} error", "hidden layers", "%", series, note="Mean and deviation over seeds."))
    return made


def reading(found: Found) -> list[str]:
    deepest = max(next(iter(found.values())))
    runs = {kind: found[kind][deepest] for kind in KINDS}
    part = {kind: share(runs[kind]) for kind in KINDS}
    test = {kind: float(np.mean([one["test"] for one in runs[kind]])) for kind in KINDS}
    train = {kind: float(np.mean([one["train"] for one in runs[kind]])) for kind in KINDS}
    expected = {kind: np.exp(np.mean([np.log(one["factors"]) for one in whole(runs[kind])])) for kind in KINDS}
    words = [
        f"With {deepest} layers, the lowest one starts with {part['sigmoid']:.1g} of the highest hidden one's gradient "
        f"where units are sigmoid, {part['tanh']:.2g} with tanh, {part['relu']:.2g} with rectified units. After "
        f"pre-training it is {part[TRAINED]:.2g}, although the formula, which takes weights for independent of what "
        f"passes through them, expects a factor of {expected[TRAINED]:.2f} per layer there ({expected['sigmoid']:.2f} "
        f"from random weights): learnt weights are no such thing, they pass on a few directions, in which signals and "
        f"errors travel alike.",
        f"Errors, training and test, with {deepest} layers: "
        + "; ".join(f"{kind} {train[kind]:.1f} and {test[kind]:.1f} %" for kind in KINDS)
        + ".",
    ]
    if train["sigmoid"] > 50:
        words.append("Where the training error is that high, nothing was learnt at all: no case for regularisation.")
    return words


def deviations(context: Context) -> list[str]:
    found = [
        f"{WIDTH} units per layer, the first {ROWS:,} training rows with and without labels, {EPOCHS} passes of "
        f"gradient descent with momentum 0.9 in batches of {BATCH} (paper: 1000 units, several data sets, "
        f"until convergence); rectified units and pre-training are not the paper's.",
        f"Rate out of {', '.join(f'{rate:g}' for rate in RATES)} for every activation and depth, by validation loss "
        f"({HELD:,} rows) of the first seed. Weights start by Glorot, of rectified units by He; pre-trained layers by "
        f"{LAYER_EPOCHS} passes of contrastive divergence each, their head drawn like the others'.",
    ]
    if context.quick:
        found.insert(0, "QUICK: one and two layers, two passes; the numbers show only that all runs.")
    return found
