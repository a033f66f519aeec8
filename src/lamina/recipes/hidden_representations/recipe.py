"""Hidden representations: deeper layers keep the class of a row and forget where it came from.

Speech sounds of several speakers cluster by speaker where the sound itself is looked at, and by sound in the deeper
layers of a network. Here digits from two sources, MNIST and USPS, go through four layers of sigmoid units that are
learnt from both, first as restricted Boltzmann machines, then on the classes; no label ever names the source. For every
layer: how pure the classes of a code's neighbours are, and how well the two sources of one class are mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.models import MLP, Stack
from lamina.models.convert import classifier
from lamina.recipes.context import Context
from lamina.recipes.digits import Part, mnist
from lamina.recipes.hidden_representations.sources import (
    SOURCES,
    Mixed,
    balanced,
    class_purity,
    mixed,
    source_mixing,
    usps,
)
from lamina.recipes.perceptrons import judged, mean_sd, taught
from lamina.recipes.record import Images, Lines, Measured, Outcome, Points
from lamina.training.layer_kinds import layered, pretrain_kind

NAME = "hidden_representations"
TITLE = "Hidden representations: classes part, sources mix, layer by layer"
PAPER = "A lecture's picture (codes of speech by speaker and by sound); no publication is followed"
MINUTES = 3

WIDTH, DEPTH = 200, 4
ROWS, QUICK_ROWS = 5_000, 500  # training rows from either source
PER_CLASS, QUICK_PER_CLASS = 100, 20  # test rows per class from either source
LAYER_EPOCHS, QUICK_LAYER_EPOCHS = 6, 1
EPOCHS, QUICK_EPOCHS = 10, 2
RATE = 3e-3
NEIGHBOURS = 10
SEEDS, QUICK_SEEDS = 3, 1
STAGES = ("random weights", "RBMs, before labels", "after labels")
DRAWN = 1000  # dots of a map


def run(context: Context) -> Outcome:
    digits = mnist(context)
    train, test = usps()
    parts = (digits.train, train), (digits.test, test)
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    found = [context.keep(f"measures {seed}", partial(measured, context, *parts, seed)) for seed in seeds]
    for stage in STAGES:
        purity, mixing = (np.mean([one[stage][name] for one in found], 0) for name in ("purity", "mixing"))
        context.say(f"{stage}: purity {np.round(purity, 3)}, mixing {np.round(mixing, 3)}")
    shown = balanced(parts[1], 1, seeds[0])
    pictures = Images("Two sources", shown.X.reshape(2, -1, 28, 28), SOURCES, note="One test row of each class.")
    curves_ = [curves(found, name) for name in ("purity", "mixing")]
    figures: list[Images | Lines | Points] = [pictures, *curves_, *maps(context, *parts, seeds[0])]
    return Outcome(rows(found), deviations(context), seeds, figures)


# networks -----------------------------------------------------------------------------------------------------------


def networks(context: Context, parts: tuple[Part, Part], seed: int) -> dict[str, MLP]:
    """The network at each of `STAGES`."""
    rows_ = mixed(parts, QUICK_ROWS if context.quick else ROWS, seed)
    sizes = [rows_.X.shape[1], *[WIDTH] * DEPTH, 10]
    random = MLP(sizes, activation="sigmoid", random_state=seed)
    stack = machines(context, rows_, seed)
    start = classifier(stack, 10, random_state=seed)
    return {"random weights": random, "RBMs, before labels": start, "after labels": tuned(context, rows_, stack, seed)}


def machines(context: Context, rows_: Mixed, seed: int) -> Stack:
    title = f"machines {seed}"

    def make() -> Stack:
        stack = layered("rbm", [rows_.X.shape[1], *[WIDTH] * DEPTH])
        pretrain_kind(
            stack,
            rows_.X,
            "rbm",
            epochs=QUICK_LAYER_EPOCHS if context.quick else LAYER_EPOCHS,
            random_state=Random(seed).child("machines"),
            device=context.device,
            callbacks=lambda k: context.callbacks(f"{title}, layer {k + 1}"),
        )
        return stack

    return context.model(title, make)  # type: ignore[no-any-return]


def tuned(context: Context, rows_: Mixed, stack: Stack, seed: int) -> MLP:
    """The stack with a head, trained whole on the classes of both sources together."""
    title = f"after labels {seed}"

    def make() -> MLP:
        return taught(
            classifier(stack, 10, random_state=seed),
            Part(rows_.X, rows_.y),
            epochs=QUICK_EPOCHS if context.quick else EPOCHS,
            rate=RATE,
            random=Random(seed).child("order"),
            callbacks=context.callbacks(title),
            device=context.device,
        )

    return context.model(title, make)  # type: ignore[no-any-return]


@torch.no_grad()
def codes_by_layer(network: MLP, X: np.ndarray) -> list[Tensor]:
    """The rows themselves and the codes of every hidden layer, lowest first, on the CPU."""
    rows_ = torch.from_numpy(X).to(next(network.parameters()))
    return [layer.cpu() for layer in [rows_, *network.hidden_means(rows_)]]


def measured(context: Context, train: tuple[Part, Part], test: tuple[Part, Part], seed: int) -> dict:
    """Per stage and layer, `class_purity` and `source_mixing` on test rows; the network's test error per source."""
    shown = balanced(test, QUICK_PER_CLASS if context.quick else PER_CLASS, seed)
    y, source = torch.from_numpy(shown.y), torch.from_numpy(shown.source)
    found: dict = {}
    made = networks(context, train, seed)
    for stage, network in made.items():
        codes = codes_by_layer(network, shown.X)
        found[stage] = {
            "purity": [class_purity(one, y, NEIGHBOURS) for one in codes],
            "mixing": [source_mixing(one, y, source, NEIGHBOURS) for one in codes],
        }
    found["errors"] = [judged(made["after labels"], part)["error"] for part in test]
    return found


# what was found -----------------------------------------------------------------------------------------------------


def layer_name(k: int) -> str:
    return "the rows" if k == 0 else f"layer {k}"


def rows(found: list[dict]) -> list[Measured]:
    results = []
    for stage in STAGES:
        for k in range(DEPTH + 1):
            if k == 0 and stage != STAGES[0]:
                continue  # the rows are the same
            where = layer_name(k) if k == 0 else f"{layer_name(k)}, {stage}"
            purity = mean_sd([100 * one[stage]["purity"][k] for one in found])
            mixing = mean_sd([one[stage]["mixing"][k] for one in found])
            results.append(Measured(f"neighbours of the same class, {where}", *purity, None, "%"))
            results.append(Measured(f"mixing of the sources of a class, {where}", *mixing, None, "", note="1: mixed"))
    for k, name in enumerate(SOURCES):
        error = mean_sd([one["errors"][k] for one in found])
        results.append(Measured(f"test error after labels, {name}", *error, None, "%", higher_is_better=False))
    return results


def curves(found: list[dict], name: str) -> Lines:
    titles: dict[str, tuple[str, str, Callable[[float], float]]] = {
        "purity": ("Classes part", f"of {NEIGHBOURS} neighbours, % of the same class", lambda value: 100 * value),
        "mixing": ("Sources mix", "mixing of the sources of a class (1: by chance)", lambda value: value),
    }
    title, words, scaled = titles[name]
    series = {}
    for stage in STAGES:
        columns = [mean_sd([scaled(one[stage][name][k]) for one in found]) for k in range(DEPTH + 1)]
        series[stage] = (range(DEPTH + 1), [mean for mean, _ in columns], [sd for _, sd in columns])
    note = "Layer 0 is the rows themselves. Test rows; mean over seeds, bands: one standard deviation."
    return Lines(title, "layer", words, series, note=note)


def maps(context: Context, train: tuple[Part, Part], test: tuple[Part, Part], seed: int) -> list[Points]:
    """Codes in two dimensions, coloured by class and by source: principal components, and t-SNE of first and last."""
    per_class = max(1, min(QUICK_PER_CLASS if context.quick else PER_CLASS, DRAWN // 20))
    shown = balanced(test, per_class, seed)
    network = networks(context, train, seed)["after labels"]
    codes = codes_by_layer(network, shown.X)
    drawn = []
    for k in (0, 1, DEPTH):
        drawn += coloured(principal(codes[k]), shown, f"Principal components, {layer_name(k)}")
    for k in (0, DEPTH):
        places = context.keep(f"t-SNE {k} {seed}", partial(embedded, codes[k], seed))
        drawn += coloured(np.array(places), shown, f"t-SNE, {layer_name(k)}")
    return drawn


def coloured(places: np.ndarray, shown: Mixed, title: str) -> list[Points]:
    digits = tuple(str(code) for code in range(10))
    return [
        Points(f"{title}, by class", places, shown.y, digits),
        Points(f"{title}, by source", places, shown.source, SOURCES),
    ]


def principal(codes: Tensor) -> np.ndarray:
    """The two first principal components, (n, 2)."""
    centred = (codes - codes.mean(0)).double()
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    return (centred @ directions.T).numpy()


def embedded(codes: Tensor, seed: int) -> list:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(codes) - 1) / 4)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes.numpy()).tolist()  # type: ignore[no-any-return]


def deviations(context: Context) -> list[str]:
    found = [
        "A lecture's picture with sources of digits in place of speakers; there is no published number.",
        f"{ROWS:,} training rows of either source, {DEPTH} layers of {WIDTH} sigmoid units, {LAYER_EPOCHS} passes per "
        f"machine and {EPOCHS} of Adam at {RATE:g} falling to a hundredth; none of this was searched.",
        f"Measured on {PER_CLASS} test rows per class and source; seeds differ in weights and rows. Mixing looks at "
        f"the {NEIGHBOURS} nearest rows of the same class and divides the share of the other source by chance.",
        "USPS's pictures are enlarged to MNIST's grid: sources differ in blur, stroke and frame, not in the kind of "
        "thing shown. Random weights show what depth alone does.",
    ]
    if context.quick:
        found.insert(0, "QUICK: few rows and passes, one seed: shows only that all runs.")
    return found
