"""Why does unsupervised pre-training help? Better minima (optimisation), or minima that generalise (regularisation)?

The two answers part where training and test losses are looked at together. If pre-training helps to optimise, networks
that start from it reach a lower training loss; if it regularises, they have a lower test error at the same training
loss. Networks of sigmoid units start from random weights or from restricted Boltzmann machines, with few labels and
with many, with 1 to 4 layers and with narrow and wide ones, over many seeds; and in a stream in which no row ever comes
twice, where a mere regulariser would lose its worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lamina.core.random import Random
from lamina.models import MLP, Stack
from lamina.models.convert import classifier
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, Part, mnist
from lamina.recipes.erhan2010_why_pretraining.trials import JUDGED, Trajectory, advantage_at_equal_loss, streamed
from lamina.recipes.perceptrons import first, first_layers, judged, mean_sd, taught
from lamina.recipes.record import Lines, Measured, Outcome
from lamina.training.layer_kinds import layered, pretrain_kind

NAME = "erhan2010_why_pretraining"
TITLE = "Why does unsupervised pre-training help: optimisation or regularisation?"
PAPER = (
    "D. Erhan, Y. Bengio, A. Courville, P.-A. Manzagol, P. Vincent, S. Bengio (2010) Why does unsupervised "
    "pre-training help deep learning? Journal of Machine Learning Research 11"
)
MINUTES = 12

STARTS = ("random start", "RBMs first")
WIDTH = 200
UNLABELLED, LAYER_EPOCHS = 10_000, 6  # rows and passes for the machines


@dataclass(frozen=True)
class Setting:
    """Networks of ``depth`` layers of ``width`` units that learn from ``labels`` rows in ``epochs`` passes."""

    name: str
    labels: int
    depth: int
    width: int = WIDTH
    epochs: int = 30
    batch: int = 50
    seeds: int = 10
    rates: tuple[float, ...] = (0.1, 0.3)


DEPTHS, WIDTHS = (1, 2, 3, 4), (25, 50, 100, 200, 400)
SETTINGS = (
    *(Setting("few labels", 1_000, depth) for depth in DEPTHS),
    Setting("many labels", 20_000, 3, epochs=5, batch=100),
    *(Setting("width", 10_000, 2, width, epochs=6, batch=100, seeds=3, rates=(0.1,)) for width in WIDTHS),
)
ONLINE_DEPTH, ONLINE_SEEDS, ONLINE_RATE = 3, 3, 0.03
STREAM, BLOCK = 100_000, 10_000

Found = dict[tuple[str, int, int, str], list[dict]]  # name of the setting, depth, width, start → one per seed


def run(context: Context) -> Outcome:
    digits = mnist(context)
    found: Found = {}
    for setting in SETTINGS:
        for start in STARTS:
            seeds = seeds_of(context, setting.seeds)
            rate = chosen_rate(context, digits, setting, start, seeds[0])
            runs = [trial(context, digits, setting, start, rate, seed) for seed in seeds]
            found[setting.name, setting.depth, setting.width, start] = runs
            error, loss = mean_sd(errors(runs)), np.mean([one["train"]["loss"] for one in runs])
            context.say(f"{setting}, {start}: test error {error[0]:.2f} ± {error[1]:.2f} %, training loss {loss:.4f}")
    stream = {start: online(context, digits, start) for start in STARTS}
    results = [*ends(found), *advantages(found), *stream_rows(stream)]
    figures = [*by_depth(found), *trajectories(found), by_width(found), spread(found), stream_figure(stream)]
    return Outcome(results, deviations(context), seeds_of(context, 10), figures, notes(found, stream))


def seeds_of(context: Context, n: int) -> list[int]:
    return [context.seed + k for k in range(min(n, 2) if context.quick else n)]


# networks -----------------------------------------------------------------------------------------------------------


def chosen_rate(context: Context, digits: Digits, setting: Setting, start: str, seed: int) -> float:
    """The rate with the least validation error at the first seed."""
    rates = setting.rates[:1] if context.quick else setting.rates
    tried = [trial(context, digits, setting, start, rate, seed)["validation"]["error"] for rate in rates]
    return rates[int(np.argmin(tried))]


def trial(context: Context, digits: Digits, setting: Setting, start: str, rate: float, seed: int) -> dict:
    """Errors and losses of one trained network, and its trajectory, unless this run remembers them."""
    part = labelled(digits.train, setting.labels, seed)
    name = f"{setting.name} {setting.labels} {setting.depth} x {setting.width} {start} {rate} {seed}"
    epochs = min(setting.epochs, 3) if context.quick else setting.epochs

    def make() -> dict:
        network = started(context, digits, start, setting.depth, setting.width, seed)
        passed = Trajectory(network, part, digits.test, epochs)
        order = Random(seed).child("order")
        calls: Sequence[Any] = [*context.callbacks(name), passed]
        options: dict[str, Any] = {"epochs": epochs, "batch_size": setting.batch, "device": context.device}
        taught(network, part, rate=rate, optimiser="sgd", random=order, callbacks=calls, **options)
        parts = {"train": first(part, 10_000), "validation": digits.validation, "test": digits.test}
        return {"rate": rate, "passed": passed.passed, **{key: judged(network, one) for key, one in parts.items()}}

    return context.keep(name, make)  # type: ignore[no-any-return]


def labelled(part: Part, n: int, seed: int) -> Part:
    """``n`` rows with their classes, other ones for every seed, the same for both starts."""
    rows = np.sort(Random(seed).child("labelled").permutation(len(part))[:n])
    return Part(part.X[rows], part.y[rows])


def started(context: Context, digits: Digits, start: str, depth: int, width: int, seed: int) -> MLP:
    sizes = [digits.train.X.shape[1], *[width] * depth, 10]
    if start == "random start":
        return MLP(sizes, activation="sigmoid", random_state=seed)
    deepest = max(one.depth for one in SETTINGS if one.width == width)
    stack = first_layers(machines(context, digits, deepest, width, seed), depth)
    return classifier(stack, 10, random_state=seed)


def machines(context: Context, digits: Digits, depth: int, width: int, seed: int) -> Stack:
    """The deepest stack of this width, learnt from `UNLABELLED` rows of its own draw; lower layers serve less depth."""
    title = f"machines {depth} x {width} seed {seed}"

    def make() -> Stack:
        rows = np.sort(Random(seed).child("unlabelled").permutation(len(digits.train))[:UNLABELLED])
        stack = layered("rbm", [digits.train.X.shape[1], *[width] * depth])
        options: dict[str, Any] = {"random_state": Random(seed).child("machines"), "device": context.device}
        options["callbacks"] = lambda k: context.callbacks(f"{title}, layer {k + 1}")
        pretrain_kind(stack, digits.train.X[rows], "rbm", epochs=1 if context.quick else LAYER_EPOCHS, **options)
        return stack

    return context.model(title, make)  # type: ignore[no-any-return]


def online(context: Context, digits: Digits, start: str) -> list[dict]:
    """One stream per seed: `streamed`."""
    n, block = (2_000, 500) if context.quick else (STREAM, BLOCK)
    block = min(block, len(digits.train))

    def make(seed: int) -> dict:
        context.say(f"stream of {n:,} rows, {start}, seed {seed}")
        network = started(context, digits, start, ONLINE_DEPTH, WIDTH, seed)
        return streamed(network, digits.train, digits.test, n, block, ONLINE_RATE, seed)

    seeds = seeds_of(context, ONLINE_SEEDS)
    return [{**context.keep(f"stream {start} {seed}", partial(make, seed)), "block": block} for seed in seeds]


# what was found -----------------------------------------------------------------------------------------------------


def errors(runs: list[dict]) -> list[float]:
    return [one["test"]["error"] for one in runs]


def titled(name: str, depth: int, width: int) -> str:
    if name == "width":
        return f"{depth} layers of {width}, 10,000 labels"
    return f"{name}, {depth} layer{'s' if depth > 1 else ''}"


def ends(found: Found) -> list[Measured]:
    """Test error and training loss at the end of training."""
    results = []
    for (name, depth, width, start), runs in found.items():
        what = f"{titled(name, depth, width)}, {start}"
        loss, rate = mean_sd([one["train"]["loss"] for one in runs]), runs[0]["rate"]
        note = f"{len(runs)} seeds; training loss {loss[0]:.2g} ± {loss[1]:.1g} nats; rate {rate:g}"
        results.append(
            Measured(f"test error, {what}", *mean_sd(errors(runs)), None, "%", higher_is_better=False, note=note)
        )
    return results


def pairs(found: Found) -> dict[tuple[str, int, int], tuple[list[dict], list[dict]]]:
    """Setting → runs from random starts, runs from machines."""
    keys = dict.fromkeys(key[:3] for key in found)
    return {key: (found[*key, STARTS[0]], found[*key, STARTS[1]]) for key in keys}


def advantages(found: Found) -> list[Measured]:
    """Random start less machines, paired by seed: after the same updates, and at the same training loss."""
    results = []
    for key, (random, learnt) in pairs(found).items():
        gain = mean_sd([a - b for a, b in zip(errors(random), errors(learnt), strict=True)])
        at_end = f"after the same updates {gain[0]:.2f} ± {gain[1]:.2f}"
        equal = equal_loss(random, learnt)
        what = f"random start less RBMs first at equal training loss, {titled(*key)}"
        results.append(Measured(what, *mean_sd(equal), None, "points", note=at_end))
    for key, (random, learnt) in pairs(found).items():
        ratio = [np.log(a["train"]["loss"] / b["train"]["loss"]) for a, b in zip(random, learnt, strict=True)]
        what = f"log of training loss, random start over RBMs first, {titled(*key)}"
        results.append(Measured(what, *mean_sd(ratio), None, "", note="above 0: RBMs first trains to a lower loss"))
    return results


def equal_loss(random: list[dict], learnt: list[dict]) -> list[float]:
    return [advantage_at_equal_loss(a["passed"], b["passed"]) for a, b in zip(random, learnt, strict=True)]


def stream_rows(stream: dict[str, list[dict]]) -> list[Measured]:
    rows = sum(one["block"] for one in [stream[STARTS[0]][0]] * len(stream[STARTS[0]][0]["online"]))
    results = []
    for start, runs in stream.items():
        what = f"online error, last rows of a stream of {rows:,}, {start}"
        note = f"test error {mean_sd([one['test'][-1] for one in runs])[0]:.2f} %"
        last = mean_sd([one["online"][-1] for one in runs])
        results.append(Measured(what, *last, None, "%", higher_is_better=False, note=note))
    return results


# figures ------------------------------------------------------------------------------------------------------------


def by_depth(found: Found) -> list[Lines]:
    drawn = []
    for words, take in (("test error, %", lambda one: one["test"]["error"]), ("training loss, nats", train_loss)):
        series = {}
        for start in STARTS:
            depths = [key[1] for key in found if key[0] == "few labels" and key[3] == start]
            columns = [mean_sd([take(one) for one in found["few labels", k, WIDTH, start]]) for k in depths]
            series[start] = (depths, *np.array(columns).T)
        note = "Networks of 1 to 4 hidden layers, 1,000 labels. Mean over seeds; bands: one standard deviation."
        drawn.append(
            Lines(f"Few labels, by depth: {words.split(',')[0]}", "hidden layers", words, series, note=note)  # type: ignore[arg-type]
        )
    return drawn


def train_loss(one: dict) -> float:
    return float(one["train"]["loss"])


def trajectories(found: Found) -> list[Lines]:
    """Test loss against training loss, every seed a line from right to left; both starts on the same axes."""
    drawn = []
    for name in ("few labels", "many labels"):
        series: dict[str, Any] = {}
        for start in STARTS:
            x, y = [], []
            for one in found[name, 3, WIDTH, start]:
                x += [*(row[0] for row in one["passed"]), float("nan")]
                y += [*(row[1] for row in one["passed"]), float("nan")]
            series[start] = (x, y)
        note = (
            f"Three layers; one line per seed, passing from right to left; on {JUDGED:,} rows. A lower line "
            "generalises better from the same training loss."
        )
        words = ("training loss, nats", "test loss, nats")
        drawn.append(Lines(f"Test against training loss, {name}", *words, series, log_x=True, note=note))
    return drawn


def by_width(found: Found) -> Lines:
    widths = [key[2] for key in pairs(found) if key[0] == "width"]
    series: dict[str, Any] = {}
    for start in STARTS:
        columns = [mean_sd(errors(found["width", 2, width, start])) for width in widths]
        series[start] = (widths, *np.array(columns).T)
    note = "Two layers, 10,000 labels. Mean over seeds; bands: one standard deviation."
    return Lines("By width", "units per layer", "test error, %", series, log_x=True, note=note)


def spread(found: Found) -> Lines:
    """Test errors of all seeds, sorted."""
    series: dict[str, Any] = {}
    for depth in (DEPTHS[0], DEPTHS[-1]):
        for start in STARTS:
            values = sorted(errors(found["few labels", depth, WIDTH, start]))
            title = f"{depth} layer{'s' if depth > 1 else ''}, {start}"
            series[title] = (range(1, len(values) + 1), values)
    note = "Few labels; every seed has its own weights and its own labelled rows."
    return Lines("Spread over seeds", "seed, sorted by error", "test error, %", series, note=note)


def stream_figure(stream: dict[str, list[dict]]) -> Lines:
    series: dict[str, Any] = {}
    for start, runs in stream.items():
        values = np.array([one["online"] for one in runs])
        rows = runs[0]["block"] * np.arange(1, values.shape[1] + 1)
        series[start] = (rows, values.mean(0), values.std(0))
    note = "Share of wrong answers just before a row is learnt from; no row comes twice. Bands: one standard deviation."
    return Lines("A stream of rows", "rows seen", "online error, %", series, log_x=True, note=note)


def notes(found: Found, stream: dict[str, list[dict]]) -> list[str]:
    """What the numbers say: in how many seeds test error at equal training loss, and training loss, were lower."""
    lines = []
    for key, (random, learnt) in pairs(found).items():
        equal = sum(value > 0 for value in equal_loss(random, learnt))
        lower = sum(train_loss(b) < train_loss(a) for a, b in zip(random, learnt, strict=True))
        lines.append(
            f"{titled(*key)}: of {len(random)} seeds, RBMs first generalises better from the same training loss in "
            f"{equal}, and ends with a lower training loss in {lower}."
        )
    gaps = np.array([one["online"] for one in stream[STARTS[0]]]) - [one["online"] for one in stream[STARTS[1]]]
    first_gap, last_gap = gaps[:, 0].mean(), gaps[:, -1].mean()
    lines.append(f"Stream: random start less RBMs first, {first_gap:.2f} points at first, {last_gap:.2f} at the end.")
    return lines


def deviations(context: Context) -> list[str]:
    found = [
        f"Layers of {WIDTH} units, machines learnt by CD-1 from {UNLABELLED:,} rows in {LAYER_EPOCHS} passes (paper: "
        "searched sizes, all rows, RBMs and denoising autoencoders; InfiniteMNIST; quoted from memory, no number of "
        "the paper stands here).",
        "Gradient descent with momentum 0.9; few labels: 1,000 rows, 30 passes; many: 20,000 rows, 5 passes; the rate "
        "of each depth and start is the better of 0.1 and 0.3 by validation error at the first seed; widths: 10,000 "
        "rows, 6 passes at 0.1. Rates fall to a hundredth.",
        "Every seed has its own weights, labelled rows and unlabelled rows. 10 seeds, 3 for widths and the stream "
        "(paper: 400 and more for its figures).",
        f"Trajectories and equal-loss comparisons are measured on {JUDGED:,} training and test rows; between marks the "
        "error is interpolated in the logarithm of the training loss.",
        f"The stream has 50,000 digits and then copies of them moved by up to 2 pixels, {STREAM:,} rows, rate "
        f"{ONLINE_RATE:g}, {ONLINE_DEPTH} layers (paper: 10 million).",
        "A random start is Glorot & Bengio's, which came after the paper's experiments and helps deep networks.",
    ]
    if context.quick:
        found.insert(0, "QUICK: 3,750 rows, few passes, two seeds: shows only that all runs.")
    return found
