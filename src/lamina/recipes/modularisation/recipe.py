"""Modules: classifiers of attributes that share all rows, against one classifier of all combinations.

Long-haired girls, short-haired girls and short-haired boys are easy to learn; long-haired boys, of whom there are few
pictures, are not, unless *boy or girl* and *long or short* are learnt apart, each from plenty of rows. Here the
attributes are digit and style, and one of 40 pairs is rare in training. A single network learns all pairs as classes; a
network with two heads on shared features, and two separate networks, learn digit and style. All are judged on test
pictures of the rare pair.
"""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import torch

from lamina.core.random import Random
from lamina.models import MLP
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, Part, mnist
from lamina.recipes.modularisation.attributes import AttributeClassification
from lamina.recipes.modularisation.styles import STYLES, Styled, other_rows, rare_rows, styled, training_rows
from lamina.recipes.perceptrons import CHUNK, mean_sd, taught
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import falling, fit

NAME = "modularisation"
TITLE = "Modularisation: digit and style apart against all pairs at once"
PAPER = "A lecture's example (attributes of rare combinations); no publication is followed"
MINUTES = 3

WIDTH = 100
EPOCHS, QUICK_EPOCHS = 15, 3
RATE, BATCH = 2e-3, 50
N_OTHER, QUICK_OTHER = 50, 10  # training rows of every pair but the rare one
COUNTS, QUICK_COUNTS = (0, 1, 3, 10, 50), (0, 10)  # training rows of the rare pair
SEEDS, QUICK_SEEDS = 6, 1
WAYS = ("one classifier of pairs", "two heads on shared features", "two separate networks")

Found = dict[tuple[str, int], list[dict]]


def run(context: Context) -> Outcome:
    digits = mnist(context)
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    counts = QUICK_COUNTS if context.quick else COUNTS
    found: Found = {}
    for way, count in product(WAYS, counts):
        found[way, count] = [
            context.keep(f"{way} {count} {seed}", partial(measured, context, digits, way, count, seed))
            for seed in seeds
        ]
        mean, sd = mean_sd([one["rare"]["pair"] for one in found[way, count]])
        context.say(f"{way}, {count} rows of the rare pair: {mean:.1f} ± {sd:.1f} % wrong")
    lines = [line(found, counts, which) for which in ("rare", "others")]
    figures: list[Images | Lines] = [*lines, examples(digits, rare_pair(seeds[0]))]
    return Outcome(rows(found), deviations(context, seeds), seeds, figures)


def rare_pair(seed: int) -> tuple[int, int]:
    """(digit, style): another one for each of the first 30 seeds; never the plain style."""
    return (3 * seed + 2) % 10, 1 + seed % 3


def measured(context: Context, digits: Digits, way: str, count: int, seed: int) -> dict:
    """Shares of wrong answers in percent, on test rows of the rare pair and on the others."""
    rare = rare_pair(seed)
    train = training_rows(digits.train, rare, count, QUICK_OTHER if context.quick else N_OTHER, seed)
    networks = learnt(context, train, way, seed)
    judge = partial(shares, networks, way)
    return {"rare": judge(rare_rows(digits.test, rare)), "others": judge(other_rows(digits.test, rare, seed))}


def learnt(context: Context, train: Styled, way: str, seed: int) -> list[MLP]:
    """The network of this way, or its two; the hidden units are the same in number."""
    n_in, n_styles = train.X.shape[1], len(STYLES)
    title, random = f"{way}, {len(train):,} rows, seed {seed}", Random(seed).child("order")
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    if way == WAYS[1]:
        network = MLP([n_in, WIDTH, 10 + n_styles], random_state=seed)
        fit(
            network,
            (train.X, np.stack([train.digit, train.style], 1)),
            AttributeClassification((10, n_styles)),
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=falling(RATE, epochs, hold=0.3),
            optimiser="adam",
            random_state=random,
            device=context.device,
            callbacks=context.callbacks(title),
        )
        return [network]
    jobs = {WAYS[0]: [(WIDTH, train.pair, 10 * n_styles)]}.get(
        way, [(WIDTH // 2, train.digit, 10), (WIDTH // 2, train.style, n_styles)]
    )
    return [
        taught(
            MLP([n_in, width, n_classes], random_state=seed),
            Part(train.X, codes),
            epochs=epochs,
            rate=RATE,
            batch_size=BATCH,
            random=random,
            callbacks=context.callbacks(title),
            device=context.device,
        )
        for width, codes, n_classes in jobs
    ]


@torch.no_grad()
def shares(networks: list[MLP], way: str, rows_: Styled) -> dict[str, float]:
    """Percent of rows whose ``pair``, ``digit``, ``style`` is wrong."""
    like = next(networks[0].parameters())
    chunks = [chunk.to(like) for chunk in torch.from_numpy(rows_.X).split(CHUNK)]
    outputs = [torch.cat([network(chunk) for chunk in chunks]) for network in networks]
    if way == WAYS[0]:
        pair = outputs[0].argmax(1).cpu().numpy()
        digit, style = pair // len(STYLES), pair % len(STYLES)
    else:
        groups = outputs[0].split([10, len(STYLES)], dim=1) if way == WAYS[1] else outputs
        digit, style = (group.argmax(1).cpu().numpy() for group in groups)
    wrong_digit, wrong_style = digit != rows_.digit, style != rows_.style
    found = {"pair": wrong_digit | wrong_style, "digit": wrong_digit, "style": wrong_style}
    return {name: 100 * float(wrong.mean()) for name, wrong in found.items()}


# what was found -----------------------------------------------------------------------------------------------------


def rows(found: Found) -> list[Measured]:
    results = []
    for (way, count), runs in found.items():
        digit, style = (np.mean([one["rare"][name] for one in runs]) for name in ("digit", "style"))
        note = f"digit {digit:.1f} %, style {style:.1f} % wrong"
        mean, sd = mean_sd([one["rare"]["pair"] for one in runs])
        what = f"error on the rare pair, {count} training rows of it, {way}"
        results.append(Measured(what, mean, sd, None, "%", higher_is_better=False, note=note))
    counts = [count for _, count in found]
    for way, count in found:
        if count in (min(counts), max(counts)):
            mean, sd = mean_sd([one["others"]["pair"] for one in found[way, count]])
            what = f"error on all other pairs, {count} training rows of the rare one, {way}"
            results.append(Measured(what, mean, sd, None, "%", higher_is_better=False))
    return results


def line(found: Found, counts: tuple[int, ...], which: str) -> Lines:
    series = {}
    for way in WAYS:
        columns = [mean_sd([one[which]["pair"] for one in found[way, count]]) for count in counts]
        series[way] = (range(len(counts)), [mean for mean, _ in columns], [sd for _, sd in columns])
    ticks = ", ".join(f"{place}: {count}" for place, count in enumerate(counts))
    title = {"rare": "The rare pair", "others": "All other pairs"}[which]
    note = f"Mean over seeds, each with its own rare pair; bands: one standard deviation. Rows by step: {ticks}."
    return Lines(title, "training rows of the rare pair, step", "both or either wrong, %", series, note=note)


def examples(digits: Digits, rare: tuple[int, int]) -> Images:
    """One test picture of each digit in each style; the rare pair of the first seed is left out."""
    chosen = np.stack([digits.test.X[np.flatnonzero(digits.test.y == digit)[0]] for digit in range(10)])
    pictures = np.stack([styled(chosen, style).reshape(10, 28, 28) for style in range(len(STYLES))])
    pictures[rare[1], rare[0]] = np.nan
    note = f"The hole is the rare pair of the first seed: {rare[0]}, {STYLES[rare[1]]}."
    return Images("Digits and styles", pictures, STYLES, note=note)


def deviations(context: Context, seeds: list[int]) -> list[str]:
    pairs = ", ".join(f"{digit} {STYLES[style]}" for digit, style in map(rare_pair, seeds))
    found = [
        "An example of a lecture, with digits and styles in place of people and hair; there is no published number.",
        f"{WIDTH} rectified units in all for each way, {N_OTHER} training rows of every other pair, {EPOCHS} passes of "
        f"Adam at {RATE:g} falling to a hundredth; none of this was searched.",
        f"Seeds differ in weights, in training rows and in the rare pair: {pairs}. ± holds the difference between "
        f"pairs too.",
        "With 0 rows the classifier of pairs cannot name the rare one: its error of 100 % is no measurement.",
    ]
    if context.quick:
        found.insert(0, "QUICK: 10 rows per pair, few passes, one seed: shows only that all runs.")
    return found
