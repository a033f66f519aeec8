"""Parity of d bits: how many units it takes when weights are set by hand, and what gradient descent finds by itself.

The textbook case for depth: changing any bit changes the answer, so that no part of the input says anything about it.
Four exact networks are built and checked on every row; then deep and shallow networks of equal numbers of parameters
learn it, once from all rows (can they fit it?) and once from half of them (do they find the rule?).
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from lamina.core.random import Random
from lamina.models import MLP
from lamina.recipes.context import Context
from lamina.recipes.digits import Part
from lamina.recipes.parity.constructions import CONSTRUCTIONS, all_rows, n_hidden, parity, wrong
from lamina.recipes.perceptrons import judged, mean_sd
from lamina.recipes.record import Lines, Measured, Outcome
from lamina.training import BackPropagation, falling, fit

NAME = "parity"
TITLE = "Parity: deep networks with few units, shallow ones with many, and what learning finds"
PAPER = (
    "M. Minsky, S. Papert (1969) Perceptrons; Y. Bengio (2009) Learning deep architectures for AI, Foundations and "
    "Trends in Machine Learning 2 (its section on the depth of circuits)"
)
MINUTES = 3

BITS, QUICK_BITS = tuple(range(2, 13)), (2, 3, 4, 5)
FITTED, QUICK_FITTED = (4, 6, 8, 10, 12), (4, 5)
HALVED, QUICK_HALVED = (8, 12), (5,)
SHALLOW = 64  # hidden units of the shallow network; the deep one has no more parameters
DEPTH = 3  # hidden layers of the deep one
STEPS, QUICK_STEPS = 1500, 300
BATCH = 64
RATES = (3e-3, 1e-2)
SEEDS, QUICK_SEEDS = 3, 1
SHAPES = ("shallow", "deep")


def run(context: Context) -> Outcome:
    built = context.keep("built", partial(constructed, QUICK_BITS if context.quick else BITS))
    context.say(f"{len(built)} networks built by hand, {sum(one['wrong'] for one in built)} rows wrong")
    fitted = [learnt(context, d, shape, half=False) for d in bits(context, False) for shape in SHAPES]
    halved = [learnt(context, d, shape, half=True) for d in bits(context, True) for shape in SHAPES]
    results = [*rows_of_built(built), *rows_of_learnt(fitted, "fitted"), *rows_of_learnt(halved, "unseen")]
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    return Outcome(results, deviations(context), seeds, figures(built, fitted, halved), reading(built, fitted, halved))


def bits(context: Context, half: bool) -> tuple[int, ...]:
    if half:
        return QUICK_HALVED if context.quick else HALVED
    return QUICK_FITTED if context.quick else FITTED


def constructed(numbers: tuple[int, ...]) -> list[dict]:
    """For every number of bits and construction: hidden units, layers, largest weight, and rows that come out wrong."""
    found = []
    for d in numbers:
        for name, make in CONSTRUCTIONS.items():
            made = make(d)
            largest = max(float(p.detach().abs().max()) for p in made.parameters())
            layers = len(made.sizes) - 2
            one = {"d": d, "name": name, "units": n_hidden(made), "layers": layers, "largest": largest}
            found.append({**one, "wrong": wrong(made, d)})
    return found


def sizes(d: int, shape: str) -> tuple[int, ...]:
    """Layer sizes: the deep network is as wide as the shallow one's number of parameters allows."""
    shallow = (d, SHALLOW, 2)
    if shape == "shallow":
        return shallow
    width = 1
    while n_parameters((d, *[width + 1] * DEPTH, 2)) <= n_parameters(shallow):
        width += 1
    return (d, *[width] * DEPTH, 2)


def n_parameters(layers: tuple[int, ...]) -> int:
    return sum((n + 1) * m for n, m in pairwise(layers))


def parts(d: int, seed: int, half: bool) -> dict[str, Part]:
    """All rows for everything; or a half to learn from, a quarter to choose by and a quarter to judge by."""
    X = all_rows(d)
    whole = Part(2 * X - 1, parity(X))  # bits as −1 and 1
    if not half:
        return {"train": whole, "validation": whole, "test": whole}
    order, n = Random(seed).child("split", d).permutation(len(X)), len(X)
    cut = {"train": order[: n // 2], "validation": order[n // 2 : 3 * n // 4], "test": order[3 * n // 4 :]}
    return {name: Part(whole.X[rows], whole.y[rows]) for name, rows in cut.items()}


def learnt(context: Context, d: int, shape: str, half: bool) -> dict:
    """Errors in percent on training and test rows of all seeds, at the rate with the lowest mean validation error."""
    n_seeds = QUICK_SEEDS if context.quick else SEEDS
    found = {}
    for rate in RATES:
        runs = [
            context.keep(
                f"{shape} {d} {'half' if half else 'all'} {rate:g} {seed}",
                partial(one, context, d, shape, half, rate, seed),
            )
            for seed in range(context.seed, context.seed + n_seeds)
        ]
        found[rate] = runs
    best = min(RATES, key=lambda rate: np.mean([run["validation"] for run in found[rate]]))
    errors = {name: [run[name] for run in found[best]] for name in ("train", "test")}
    context.say(f"{d} bits, {shape}, {'half' if half else 'all'} rows: {np.mean(errors['test']):.1f} % wrong")
    return {"d": d, "shape": shape, "rate": best, "sizes": sizes(d, shape), **errors}


def one(context: Context, d: int, shape: str, half: bool, rate: float, seed: int) -> dict[str, float]:
    """One training run: error in percent on each part."""
    data = parts(d, seed, half)
    network = MLP(sizes(d, shape), random_state=Random(seed).child("weights", shape))
    per_epoch = -(-len(data["train"]) // BATCH)
    epochs = -(-(QUICK_STEPS if context.quick else STEPS) // per_epoch)
    fit(
        network,
        (data["train"].X, data["train"].y),
        BackPropagation(),
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=falling(rate, epochs),
        optimiser="adam",
        random_state=Random(seed).child("training", shape),
        device=context.device,
    )
    return {name: judged(network, part)["error"] for name, part in data.items()}


def rows_of_built(built: list[dict]) -> list[Measured]:
    d = max(one["d"] for one in built)
    results = [
        Measured("rows wrong, all networks built by hand", sum(one["wrong"] for one in built), higher_is_better=False)
    ]
    for one in built:
        if one["d"] == d:
            note = f"{one['layers']} layer(s); no weight or bias beyond {one['largest']:g}"
            what = f"hidden units for {d} bits, {one['name']}"
            results.append(Measured(what, one["units"], higher_is_better=False, note=note))
    return results


def rows_of_learnt(found: list[dict], kind: str) -> list[Measured]:
    words = {
        "fitted": "rows wrong after learning from all of them",
        "unseen": "unseen rows wrong after learning from half",
    }
    results = []
    for one in found:
        mean, sd = mean_sd(one["test"])
        layers = "-".join(map(str, one["sizes"]))
        note = f"{layers}, {n_parameters(tuple(one['sizes']))} parameters, rate {one['rate']:g}"
        if kind == "unseen":
            note += f"; {np.mean(one['train']):.1f} % of the learnt rows wrong"
        what = f"{words[kind]}, {one['d']} bits, {one['shape']}"
        results.append(Measured(what, mean, sd, unit="%", higher_is_better=False, note=note))
    return results


def figures(built: list[dict], fitted: list[dict], halved: list[dict]) -> list[Lines]:
    units = {
        name: (
            [one["d"] for one in built if one["name"] == name],
            [one["units"] for one in built if one["name"] == name],
        )
        for name in CONSTRUCTIONS
    }
    note = "Networks of rectified units with weights set by hand, exact on all 2^d rows."
    found = [Lines("Units that parity needs", "bits", "hidden units", units, log_y=True, note=note)]
    for title, runs, note in (
        ("Learning from all rows", fitted, "Can it be fitted? Mean and deviation over seeds."),
        ("Learning from half of the rows", halved, "Is the rule found? Chance is 50 %."),
    ):
        series = {}
        for shape in SHAPES:
            of = [one for one in runs if one["shape"] == shape]
            means, sds = zip(*(mean_sd(one["test"]) for one in of), strict=True)
            series[shape] = ([one["d"] for one in of], means, sds)
        found.append(Lines(title, "bits", "rows wrong (%)", series, note=note))
    return found


def reading(built: list[dict], fitted: list[dict], halved: list[dict]) -> list[str]:
    """What the numbers say, in words that depend on them."""
    d = max(one["d"] for one in built)
    units = {one["name"]: one["units"] for one in built if one["d"] == d}
    many, few, tree, folding = (units[name] for name in CONSTRUCTIONS)
    mean = {
        (name, one["d"], one["shape"]): np.mean(one["test"])
        for name, runs in (("all", fitted), ("half", halved))
        for one in runs
    }
    most, last = max(one["d"] for one in fitted), max(one["d"] for one in halved)
    return [
        f"For {d} bits a layer of units that each know one pattern needs {many} of them, a tree of XORs {tree} in "
        f"several layers: that is the classic argument for depth, and it holds for gates that see single patterns. It "
        f"does not hold for every shallow network: units that count need {few} in one layer. Depth still wins over "
        f"that, {folding} units fold the count again and again.",
        f"That a network exists does not make it easy to find. From all rows of {most} bits gradient descent leaves "
        f"{mean['all', most, 'shallow']:.1f} % wrong with one hidden layer and {mean['all', most, 'deep']:.1f} % with "
        f"{DEPTH} layers of as many parameters. From half of the rows of {last} bits, unseen rows are wrong in "
        f"{mean['half', last, 'shallow']:.1f} % (shallow) and {mean['half', last, 'deep']:.1f} % (deep), where "
        f"guessing gives 50 %: neighbours of every row have the other answer, so that smoothness misleads.",
    ]


def deviations(context: Context) -> list[str]:
    found = [
        "The paper's bound, 2^(d−1) gates, is for circuits of two layers of AND and OR; rectified and threshold units "
        "count, and need d of them in one layer. Both are shown.",
        f"Learning: one hidden layer of {SHALLOW} units against {DEPTH} layers of as many parameters at most; Adam, "
        f"{STEPS} steps of {BATCH} rows, bits as −1 and 1, rate out of {RATES} by error on validation rows (with all "
        f"rows in training: by training error, which is what is reported there).",
        "Neither early stopping nor weight decay, which might matter to what is found from half of the rows.",
    ]
    if context.quick:
        found.insert(0, "QUICK: few bits and steps; the numbers show only that all runs.")
    return found
