"""Elastic distortions: a digit stays the same digit when the hand shakes, so let every pass see new shakes.

A small convolutional network learns MNIST four times in the same way but for what is done to the rows: nothing, random
rotations and the like, random smooth displacements of the pixels, and both. Rows kept aside say which of the last two
is better; that one then teaches a network for longer, on all 60,000 rows, which at last goes on for some passes with
milder distortions and without dropout. Beside it stands the network of the paper. The test part is looked at once per
network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.models.networks import Convolution, ConvolutionalNetwork, Dense, Dropout, MaxPooling
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, Part, mnist
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import BackPropagation, falling, fit
from lamina.training.distortions import ElasticDistortion

NAME = "simard2003_elastic"
TITLE = "A convolutional network with elastic distortions on MNIST"
PAPER = (
    "P. Y. Simard, D. Steinkraus, J. C. Platt (2003) Best practices for convolutional neural networks applied to "
    "visual document analysis. International Conference on Document Analysis and Recognition"
)
MINUTES = 35

SHORT, QUICK_SHORT = 8, 1
LONG, QUICK_LONG = 30, 1
PAPERS, QUICK_PAPERS = 16, 1
SEEDS, QUICK_SEEDS = 1, 1
RATE, BATCH = 2e-3, 128
SIGMA, ALPHA = 4.0, 34.0  # pixels: the paper's
AFFINE: dict[str, Any] = {"rotation": 12.0, "scaling": 0.12, "shear": 0.12, "shift": 1.5}
DISTORTIONS: dict[str, ElasticDistortion | None] = {
    "no distortions": None,
    "affine distortions": ElasticDistortion(SIGMA, 0.0, **AFFINE),
    "elastic distortions": ElasticDistortion(SIGMA, ALPHA),
    "elastic and affine distortions": ElasticDistortion(SIGMA, ALPHA, **AFFINE),
}
MILDER, AS_THEY_ARE = 0.5, 0.25  # strength, and the share of rows left as they are, of the last passes
LAST, QUICK_LAST = 7, 1
CANDIDATES = ("elastic distortions", "elastic and affine distortions")  # for the long run
SHOWN = 12


class Mostly:
    """The ``distortion`` for some rows; the share ``spared``, drawn anew in every pass, stays as it is."""

    def __init__(self, distortion: ElasticDistortion, spared: float) -> None:
        self.distortion, self.spared = distortion, spared

    def apply(self, x: Tensor, random: Random) -> Tensor:
        spared = random.bernoulli(torch.full_like(x[:, :1], self.spared)) > 0
        return torch.where(spared, x, self.distortion.apply(x, random))

    def describe(self) -> dict:
        return {**self.distortion.describe(), "spared": self.spared}


def wide(seed: int) -> ConvolutionalNetwork:
    layers = [
        Convolution(24, 5),
        MaxPooling(2),
        Convolution(48, 5),
        MaxPooling(2),
        Dropout(0.2),
        Dense(150),
        Dropout(0.4),
    ]
    return ConvolutionalNetwork((1, 28, 28), layers, 10, random_state=seed)


def of_the_paper(seed: int) -> ConvolutionalNetwork:
    """5 maps of 13 x 13, 50 of 5 x 5, 100 units. One row and column around the image bring it to the size that fits."""
    layers = [Convolution(5, 5, stride=2, padding=1), Convolution(50, 5, stride=2), Dense(100)]
    return ConvolutionalNetwork((1, 28, 28), layers, 10, activation="tanh", random_state=seed)


@dataclass(frozen=True)
class Plan:
    """One network to be learnt: how it is made, its distortion, passes, and whether it sees ``all`` 60,000 rows."""

    make: Callable[[int], ConvolutionalNetwork]
    distortion: str
    epochs: int
    everything: bool


def run(context: Context) -> Outcome:
    digits = mnist(context)
    short, long, papers = (QUICK_SHORT, QUICK_LONG, QUICK_PAPERS) if context.quick else (SHORT, LONG, PAPERS)
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    short_plans = {name: Plan(wide, name, short, False) for name in DISTORTIONS}
    compared = {name: learnt(context, digits, name, plan, context.seed) for name, plan in short_plans.items()}
    best = min(CANDIDATES, key=lambda name: compared[name]["validation"])
    plan = Plan(wide, best, long, True)
    final = [learnt(context, digits, "long", plan, seed) for seed in seeds]
    milder = [gone_on(context, digits, plan, seed) for seed in seeds]
    paper = learnt(context, digits, "paper", Plan(of_the_paper, "elastic distortions", papers, True), context.seed)
    results = [
        measured("elastic distortions, all rows, long", final, f"{best}, {long} passes over {len(digits.full):,} rows"),
        measured("elastic distortions, all rows, then milder and without dropout", milder, "the same, going on"),
        measured("the paper's network, elastic distortions", [paper], f"{papers} passes over all rows"),
        *(
            measured(
                name,
                [one],
                f"{short} passes over {len(digits.train):,} rows; error on the others {one['validation']:.2f} %",
            )
            for name, one in compared.items()
        ),
    ]
    last = context.model(f"milder {seeds[0]}", lambda: continued(context, digits, plan, seeds[0]))
    figures: list[Images | Lines] = [distortions(digits), curves(compared), mistakes(digits, last)]
    return Outcome(results, deviations(context), seeds, figures)


def trained(context: Context, digits: Digits, name: str, plan: Plan, seed: int) -> ConvolutionalNetwork:
    """The network of ``plan`` after its last pass; its measures by pass are kept as "history"."""
    title = f"{name} {seed}"
    part = digits.full if plan.everything else digits.train

    def make() -> ConvolutionalNetwork:
        network = plan.make(seed)
        context.say(f"{title}: {plan.epochs} passes over {len(part):,} rows, {plan.distortion}")
        history = fit(
            network,
            (part.X, part.y),
            BackPropagation(augment=DISTORTIONS[plan.distortion]),
            epochs=plan.epochs,
            batch_size=BATCH,
            learning_rate=falling(RATE, plan.epochs, hold=0.3),
            optimiser="adam",
            validation=None if plan.everything else (digits.validation.X, digits.validation.y),
            random_state=Random(seed).child(name),
            device=context.device,
            checkpoint=context.stage(title) / "checkpoint",
            callbacks=context.callbacks(title),
        )
        context.keep(f"history {title}", lambda: {key: history[key] for key in history.names})
        return network

    return context.model(title, make, {"shape": (1, 28, 28)})  # type: ignore[no-any-return]


def learnt(context: Context, digits: Digits, name: str, plan: Plan, seed: int) -> dict:
    """Errors of the network of ``plan`` in percent, on test rows and, where it has not learnt from them, on rows kept
    aside; and how these fell."""
    network = trained(context, digits, name, plan, seed)

    def measures() -> dict[str, float]:
        found = {"test": error(network, digits.test)}
        return found if plan.everything else found | {"validation": error(network, digits.validation)}

    found = context.keep(f"measures {name} {seed}", measures)
    context.say(f"{name}, seed {seed}: test error {found['test']:.2f} %")
    return {**found, "history": context.keep(f"history {name} {seed}", dict)}


def gone_on(context: Context, digits: Digits, plan: Plan, seed: int) -> dict:
    """Errors of the network of the long run after its last, milder passes."""
    network = context.model(f"milder {seed}", lambda: continued(context, digits, plan, seed), {"shape": (1, 28, 28)})
    found = context.keep(f"measures milder {seed}", lambda: {"test": error(network, digits.test)})
    context.say(f"milder, seed {seed}: test error {found['test']:.2f} %")
    return found  # type: ignore[no-any-return]


def continued(context: Context, digits: Digits, plan: Plan, seed: int) -> ConvolutionalNetwork:
    """The network of the long run without its dropout, after some passes with milder elastic distortions."""
    learnt_before = trained(context, digits, "long", plan, seed)
    layers = [layer for layer in learnt_before.layers if not isinstance(layer, Dropout)]
    network = ConvolutionalNetwork((1, 28, 28), layers, 10)
    network.load_state_dict(learnt_before.state_dict())
    epochs = QUICK_LAST if context.quick else LAST
    context.say(f"milder {seed}: {epochs} passes over {len(digits.full):,} rows")
    fit(
        network,
        (digits.full.X, digits.full.y),
        BackPropagation(augment=Mostly(ElasticDistortion(SIGMA, MILDER * ALPHA), AS_THEY_ARE)),
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=falling(RATE / 2, epochs, hold=0.3),
        optimiser="adam",
        random_state=Random(seed).child("milder"),
        device=context.device,
        checkpoint=context.stage(f"milder {seed}") / "checkpoint",
        callbacks=context.callbacks(f"milder {seed}"),
    )
    return network


@torch.no_grad()
def answers(network: ConvolutionalNetwork, part: Part) -> np.ndarray:
    chunks = torch.from_numpy(part.X).to(network.W[0]).split(1000)
    return torch.cat([network(chunk).argmax(1) for chunk in chunks]).cpu().numpy()


def error(network: ConvolutionalNetwork, part: Part) -> float:
    """Share of rows of the wrong class, in percent."""
    return 100 * float((answers(network, part) != part.y).mean())


def measured(name: str, runs: list[dict], note: str) -> Measured:
    errors = [run["test"] for run in runs]
    sd = float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0
    if len(errors) > 1:
        note = f"{note}; seed by seed: {', '.join(f'{error:.2f}' for error in errors)}"
    return Measured(f"test error, {name}", float(np.mean(errors)), sd, None, "%", higher_is_better=False, note=note)


def distortions(digits: Digits) -> Images:
    """The same digits as they are and as each kind of distortion hands them on, twice."""
    X = torch.from_numpy(digits.full.X[:SHOWN])
    pictures, captions = [X.numpy()], ["as they are"]
    for name, distortion in DISTORTIONS.items():
        if distortion is not None:
            for again in range(2):
                pictures.append(distortion.apply(X, Random(again).child("figure")).numpy())
                captions.append(name.removesuffix(" distortions"))
    shown = np.stack(pictures).clip(0, 1).reshape(len(pictures), -1, 28, 28)
    note = f"Elastic: smooth over {SIGMA:g} pixels, alpha {ALPHA:g}. Drawn anew for every row in every pass."
    return Images("Originals and distortions", shown, tuple(captions), note=note)


def curves(compared: dict[str, dict]) -> Lines:
    """Error on rows kept aside, pass by pass, for each kind of distortion."""
    series = {}
    for name, run in compared.items():
        errors = 100 * np.array(run["history"]["validation error"], dtype=float)
        series[name] = (np.arange(1, len(errors) + 1), errors)
    return Lines("Learning with and without distortions", "pass over the rows", "error on rows kept aside, %", series)


def mistakes(digits: Digits, network: ConvolutionalNetwork) -> Images:
    """Test digits that the network of the long run misreads."""
    found = answers(network, digits.test)
    wrong = np.flatnonzero(found != digits.test.y)[: 2 * SHOWN]
    if not len(wrong):
        wrong = np.arange(1)
    captions = tuple(f"{digits.test.y[row]} read as {found[row]}" for row in wrong)
    title = "Test digits misread at last, first seed"
    return Images(title, digits.test.X[wrong].reshape(-1, 28, 28), captions)


def deviations(context: Context) -> list[str]:
    found = [
        "But for the row that says so, the network is not the paper's (5 maps by stride 2, 50 maps by stride 2, 100 "
        "units): 24 and 48 maps with 5 x 5 kernels and max pooling by 2, 150 units, rectified, with dropout of a fifth "
        "before and two fifths after those units.",
        f"Adam over batches of {BATCH}; a rate of {RATE:g} for three tenths of the passes, then falling to a "
        "hundredth. The paper learns row by row, for many hundred passes, at a rate that falls slowly.",
        f"The four networks that are compared learn from 50,000 rows for {SHORT} passes; the other 10,000 chose which "
        "elastic distortions the long run has. Nothing else was searched for: widths, rates, dropout and distortions "
        "were set once. No network was stopped by any error: the weights of the last pass count.",
        f"The last {LAST} passes (distortions {MILDER:g} times as strong, {100 * AS_THEY_ARE:g} % of the rows as they "
        f"are, no dropout, Adam from {RATE / 2:g} on) were added after the long run's test error had been seen, since "
        "that network still misread training rows as they are: that row is exploratory.",
        f"Smoothness {SIGMA:g} and alpha {ALPHA:g} are the paper's, read as a field of uniform noise smoothed by a "
        "Gaussian of unit sum; the paper's amount of affine distortion is not given in numbers: here rotations within "
        f"{AFFINE['rotation']:g} degrees, scales and shears within {AFFINE['scaling']:g}, shifts within "
        f"{AFFINE['shift']:g} pixels.",
        "The paper's network has tanh units here and one row and column of zeros around the image (paper: 29 x 29).",
        "One seed: a second one was begun and given up for want of time.",
        "Published numbers are quoted from memory of the paper.",
    ]
    if context.quick:
        found.insert(0, "QUICK: 3,750 rows, one pass each, one seed: shows only that all runs.")
    return found
