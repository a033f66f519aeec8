"""The network that read zip codes: weights shared over places, learnt by back-propagation from the pixels.

Twelve maps of 8 × 8 units look at an image through 5 × 5 kernels, twelve maps of 4 × 4 look at eight of those each, 30
units look at everything, 10 answer: 1,256 units, 64,660 connections, and 9,760 numbers to learn. Beside it stands a
network without maps, 40 hidden units that see every pixel, with more numbers to learn. Both learn from the 7,291 digits
of the training part for the paper's 23 passes, and are asked about the 2,007 of the test part once. How large the
steps are is chosen before, for each network by itself, on rows of the training part kept aside. In a third row LeNet
learns in a way of today: Adam, and digits that are moved a little anew in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.data import load
from lamina.models.networks import ConvolutionalNetwork, Dense, lenet1989
from lamina.recipes.context import Context
from lamina.recipes.digits import Part
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import BackPropagation, falling, fit
from lamina.training.distortions import ElasticDistortion

NAME = "lecun1989_zipcode"
TITLE = "LeNet 1989: zip code digits"
PAPER = (
    "Y. LeCun, B. Boser, J. S. Denker, D. Henderson, R. E. Howard, W. Hubbard, L. D. Jackel (1989) Backpropagation "
    "applied to handwritten zip code recognition. Neural Computation 1"
)
MINUTES = 11

QUICK_EPOCHS = 2
LAST = 5  # passes over whose mean error on the rows kept aside a way of learning is chosen
SEEDS, QUICK_SEEDS = 3, 1
HELD = 1291  # the last rows of the training part: to choose by
QUICK_ROWS, QUICK_TEST = 1500, 500
SHOWN = 4  # digits whose maps are drawn


@dataclass(frozen=True)
class Way:
    """How a network learns: the ``rate`` it starts from, which falls to a hundredth over the second half of
    ``epochs`` passes, and what moves the digits, if anything."""

    rate: float
    optimiser: str = "sgd"
    batch: int = 10
    epochs: int = 23
    distortion: ElasticDistortion | None = None


TODAY = partial(Way, 4e-3, "adam", 32, 36)  # and what moves the digits
SHIFT, TURNS = 1.0, {"rotation": 8.0, "scaling": 0.08, "shear": 0.1}  # pixels; degrees, shares
LENET, PLAIN, LATER = "LeNet 1989", "fully connected, 40 hidden units", "LeNet 1989 learning in today's way"
WAYS: dict[str, dict[str, Way]] = {
    LENET: {f"{rate:g}": Way(rate) for rate in (0.01, 0.02, 0.04)},
    PLAIN: {f"{rate:g}": Way(rate) for rate in (0.01, 0.02, 0.04)},
    LATER: {
        "as they are": TODAY(),
        "shifted": TODAY(ElasticDistortion(1.0, 0.0, (1, 16, 16), shift=SHIFT)),
        "shifted and turned": TODAY(ElasticDistortion(1.0, 0.0, (1, 16, 16), shift=SHIFT, **TURNS)),
    },
}


def network(name: str, seed: int) -> ConvolutionalNetwork:
    if name != PLAIN:
        return lenet1989(random_state=seed)
    options = {"activation": "scaled_tanh", "output": "scaled_tanh", "initial": "lecun"}
    return ConvolutionalNetwork((1, 16, 16), [Dense(40)], 10, **options, random_state=seed)  # type: ignore[arg-type]


def run(context: Context) -> Outcome:
    train, test = zip_codes(context)
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    found: dict[str, list[dict]] = {name: [] for name in WAYS}
    learnt: dict[tuple[str, int], ConvolutionalNetwork] = {}
    for name, seed in product(WAYS, seeds):
        way = WAYS[name][chosen(context, name, train)]
        learnt[name, seed] = trained(context, f"{name} {seed}", name, way, train, seed)
        measured = partial(measures, learnt[name, seed], train, test)
        found[name].append(context.keep(f"measures {name} {seed}", measured))
        context.say(f"{name}, seed {seed}: test error {found[name][-1]['test']:.2f} %")
    lenet = learnt[LENET, context.seed]
    figures: list[Images | Lines] = [kernels(lenet), maps(lenet, test), curves(context, train)]
    return Outcome(rows(found), deviations(context), seeds, figures, choices(context, train))


def zip_codes(context: Context) -> tuple[Part, Part]:
    """The official parts, values −1 (paper) to 1 (ink); in a quick run the first rows of each."""
    data = load("usps")
    assert data.y is not None  # the digits have labels and a test part
    assert data.X_test is not None
    assert data.y_test is not None
    n, n_test = (QUICK_ROWS, QUICK_TEST) if context.quick else (len(data.X), len(data.X_test))
    found = [(data.X[:n], data.y[:n]), (data.X_test[:n_test], data.y_test[:n_test])]
    train, test = (Part(np.asarray(X, np.float32), np.asarray(y)) for X, y in found)
    return train, test


class ToTargets(BackPropagation):
    """The squared error to targets of ±1; on rows kept aside it measures how many are answered wrongly."""

    def __init__(self, distortion: ElasticDistortion | None) -> None:
        super().__init__("squared", augment=distortion)

    @torch.no_grad()
    def validate(
        self, model: ConvolutionalNetwork, values: tuple[Tensor, ...], train: tuple[Tensor, ...]
    ) -> dict[str, float]:
        return {"validation error": wrong(model(values[0]), values[1].argmax(1))}


def trained(
    context: Context, title: str, name: str, way: Way, train: Part, seed: int, held: Part | None = None
) -> ConvolutionalNetwork:
    """The network ``name`` after the passes of ``way`` over ``train``; its errors on ``held`` are kept as "history"."""
    epochs = QUICK_EPOCHS if context.quick else way.epochs

    def make() -> ConvolutionalNetwork:
        made = network(name, seed)
        context.say(f"{title}: {epochs} passes over {len(train):,} rows at a rate of {way.rate:g}")
        history = fit(
            made,
            (train.X, targets(train.y)),
            ToTargets(way.distortion),
            epochs=epochs,
            batch_size=way.batch,
            learning_rate=falling(way.rate, epochs),
            optimiser=way.optimiser,
            validation=None if held is None else (held.X, targets(held.y)),
            random_state=Random(seed).child(name),
            device=context.device,
            checkpoint=context.stage(title) / "checkpoint",
            callbacks=context.callbacks(title),
        )
        if held is not None:
            context.keep(f"history {title}", lambda: [100 * e for e in history["validation error"]])  # type: ignore[operator]
        return made

    return context.model(title, make, {"shape": (1, 16, 16)})  # type: ignore[no-any-return]


def held_errors(context: Context, name: str, label: str, train: Part) -> np.ndarray:
    """Errors in percent on the last rows of ``train``, pass by pass, of a network that learns from the others only."""
    held = min(HELD, len(train) // 4)
    first, last = Part(train.X[:-held], train.y[:-held]), Part(train.X[-held:], train.y[-held:])
    title = f"held out {name} {label}"
    trained(context, title, name, WAYS[name][label], first, context.seed, last)
    return np.array(context.keep(f"history {title}", list))


def tried(context: Context, name: str, train: Part) -> dict[str, float]:
    """Mean error over the last passes, on rows kept aside, for every way tried; in a quick run the first alone."""
    labels = list(WAYS[name])[: 1 if context.quick else None]
    return {label: float(held_errors(context, name, label, train)[-LAST:].mean()) for label in labels}


def chosen(context: Context, name: str, train: Part) -> str:
    errors = tried(context, name, train)
    return min(errors, key=lambda label: errors[label])


def targets(y: np.ndarray) -> np.ndarray:
    """1 for the class, −1 for the nine others: (n,) → (n, 10)."""
    return np.where(y[:, None] == np.arange(10), 1, -1).astype(np.float32)


def wrong(outputs: Tensor, y: Tensor) -> float:
    return float((outputs.argmax(1) != y).double().mean())


@torch.no_grad()
def measures(network: ConvolutionalNetwork, train: Part, test: Part) -> dict[str, float]:
    """Shares of rows of the wrong class, in percent."""
    place = network.W[0]
    found = {}
    for name, part in (("train", train), ("test", test)):
        X, y = torch.from_numpy(part.X).to(place), torch.from_numpy(part.y).to(place.device)
        found[name] = 100 * wrong(network(X), y)
    return found


def rows(found: dict[str, list[dict]]) -> list[Measured]:
    """Mean and standard deviation over seeds of both errors of each network."""
    results = []
    for name, runs in found.items():
        for part, what in (("test", "test error"), ("train", "training error")):
            errors = [run[part] for run in runs]
            sd = float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0
            each = ", ".join(f"{error:.2f}" for error in errors)
            mean = float(np.mean(errors))
            note = f"seed by seed: {each}"
            results.append(Measured(f"{what}, {name}", mean, sd, None, "%", higher_is_better=False, note=note))
    return results


def kernels(lenet: ConvolutionalNetwork) -> Images:
    """What the twelve maps of the first layer look for, and the eight kernels of the first map of the second."""
    first = lenet.W[0].detach().cpu().numpy()[:, 0]
    note = "White raises the unit's field, black lowers it; every kernel on its own scale."
    return Images("The twelve kernels of the first layer", first, signed=True, note=note)


@torch.no_grad()
def maps(lenet: ConvolutionalNetwork, test: Part) -> Images:
    """Some digits beside what the twelve maps of either layer make of them, all enlarged to the digits' size."""
    chosen = [int(np.flatnonzero(test.y == digit)[0]) for digit in np.unique(test.y)[:SHOWN]]
    X = torch.from_numpy(test.X[chosen]).to(lenet.W[0])
    layers = [m.cpu().numpy() for m in lenet.maps(X)[:2]]
    pictures, captions = [], []
    for k, row in enumerate(chosen):
        for number, layer in enumerate(layers, start=1):
            enlarged = np.kron(layer[k], np.ones((1, 16 // layer.shape[2], 16 // layer.shape[3])))
            pictures.append(np.concatenate([test.X[row].reshape(1, 16, 16) / 2 + 0.5, enlarged / (2 * 1.7159) + 0.5]))
            captions.append(f"{test.y[row]}, layer {number}")
    note = "On the left the image, then the twelve maps of 8 × 8 (first layer) or 4 × 4 units (second), black to white."
    return Images("Feature maps", np.stack(pictures), tuple(captions), note=note)


def curves(context: Context, train: Part) -> Lines:
    """Errors on rows kept aside, pass by pass, by the ways that were chosen."""
    series = {}
    for name in WAYS:
        errors = held_errors(context, name, chosen(context, name, train), train)
        series[name] = (np.arange(1, len(errors) + 1), errors)
    note = (
        f"Networks that never see the last {min(HELD, len(train) // 4):,} rows of the training part; errors on those."
    )
    return Lines("Learning", "pass over the rows", "error on rows kept aside, %", series, note=note)


def choices(context: Context, train: Part) -> list[str]:
    """What was tried on rows kept aside."""
    found = []
    for name in WAYS:
        what = "what is done to the digits" if name == LATER else "rate"
        told = ", ".join(f"{label}: {error:.2f} %" for label, error in tried(context, name, train).items())
        found.append(f"{name}: mean error of the last {LAST} passes on rows kept aside, by {what}: {told}.")
    return found


def deviations(context: Context) -> list[str]:
    rates = ", ".join(WAYS[LENET])
    later = TODAY()
    found = [
        "The digits are those given away with Hastie, Tibshirani, Friedman, The Elements of Statistical Learning: 16 x "
        "16 and the paper's numbers of rows, but whether they are cut and scaled as the paper's is not known.",
        "Stochastic gradient descent over batches of 10, at a rate that falls to a hundredth over the second half "
        "(paper: row by row, with step sizes from a diagonal approximation of second derivatives).",
        "Which 8 of the 12 first maps each map of the second layer sees is not in the paper: groups of four here.",
        f"The rate was chosen among {rates}, for each network by itself, on the last {HELD:,} rows of the training "
        f"part with the others to learn from; then all rows are learnt from.",
        "1.7159 tanh(2x/3), targets of 1 and -1, the squared error, initial values and the number of passes are the "
        "paper's; the weights of the last pass count.",
        f"{LATER}: Adam over batches of {later.batch} at {later.rate:g}, {later.epochs} passes, digits shifted within "
        f"{SHIFT:g} pixel, turned within {TURNS['rotation']:g} degrees, scaled and sheared by up to "
        f"{TURNS['scaling']:g} and {TURNS['shear']:g}, whatever of it the rows kept aside chose. This row was added "
        "after the first two had been measured on the test part, and LeNet had stayed above the paper's error: it is "
        "exploratory.",
        "Published numbers are quoted from memory of the paper.",
    ]
    if context.quick:
        found.insert(0, f"QUICK: {QUICK_ROWS:,} rows, {QUICK_EPOCHS} passes, one seed: shows only that all runs.")
    return found
