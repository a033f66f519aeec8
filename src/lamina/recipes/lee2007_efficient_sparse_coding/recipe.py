"""Efficient sparse coding: how fast a dictionary for patches of a photograph is learnt, method by method.

196 atoms for patches of 12 × 12 pixels of one photograph. All methods lower the same objective, ½ ‖v − h Dᵀ‖² +
Σ|h| per row under atoms of length at most 1: the paper's own (codes by feature-sign search, dictionary by its Lagrange
dual), the same dual with codes by FISTA, Lamina's online rule, gradient descent on the dictionary (what the paper set
out to beat), and scikit-learn's online learner. Dictionaries are kept on the way with the processor time they took, and
judged afterwards by codes that are searched anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.models.sparse import SparseCoding
from lamina.recipes.context import Context
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.storage import save
from lamina.studies import sparse_benchmark as bench
from lamina.training import fit
from lamina.training.dictionary import LagrangeDual, atoms_from_rows
from lamina.training.loss_rule import LossRule
from lamina.training.penalties import MaxNorm
from lamina.training.sources import Batch

NAME = "lee2007_efficient_sparse_coding"
TITLE = "Efficient sparse coding: dictionaries for patches, method by method"
PAPER = "H. Lee, A. Battle, R. Raina, A. Ng (2007) Efficient sparse coding algorithms. NIPS 19"
MINUTES = 12

REPEATS = 3
QUICK_ROWS, QUICK_PASSES = 1500, 8  # Lamina's passes of the races
CURVE_ROWS = 2000  # patches that the curves are about: the slow methods get further
KEEP_EVERY = 3  # steps between the dictionaries of a curve
RATE = 0.3  # of gradient descent: of 0.1, 0.3, 1 and 3, the lowest objective after a pass over 5,000 patches
PASSES = {
    "Lagrange dual, feature-sign (the paper's)": 3,
    "Lagrange dual, FISTA": 5,
    "Lagrange dual, alternating directions": 8,
    "gradient descent": 6,
    "online (Lamina)": 6,
}
SOLVERS = {
    "Lagrange dual, feature-sign (the paper's)": "feature-sign",
    "Lagrange dual, FISTA": "fista",
    "Lagrange dual, alternating directions": "alternating",
}
SKLEARN = "scikit-learn (online)"


def run(context: Context) -> Outcome:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        races = {dtype: raced(context, dtype) for dtype in bench.TYPES}
        curves = {name: curve(context, name) for name in (*PASSES, SKLEARN)}
    finally:
        torch.set_num_threads(threads)
    figures: list[Images | Lines] = [drawn(curves), *pictures(context)]
    return Outcome(
        results(races, curves), deviations(context), [context.seed + k for k in range(repeats(context))], figures
    )


def repeats(context: Context) -> int:
    return 1 if context.quick else REPEATS


def data(context: Context) -> np.ndarray:
    """The patches that the curves are about."""
    return bench.photograph_patches(QUICK_ROWS if context.quick else CURVE_ROWS, context.seed, "float32")


def raced(context: Context, dtype: str) -> list[dict[str, float]]:
    """Scikit-learn and Lamina's online rule in turn, once per seed."""
    limits = (QUICK_ROWS, QUICK_PASSES) if context.quick else (bench.ROWS, 2)
    found = []
    for seed in range(context.seed, context.seed + repeats(context)):
        last = context.keep(f"race {dtype} {seed}", partial(bench.race, dtype, seed, *limits))
        found.append(last)
        context.say(f"{dtype}, seed {seed}: {last['lamina']:.2f} s against {last['scikit-learn']:.2f} s")
    return found


# curves ---------------------------------------------------------------------------------------------------------------


def curve(context: Context, name: str) -> list[list[float]]:
    """Processor seconds, wall seconds and objective of the dictionaries that method ``name`` passes through.

    Begun anew where the run was broken off: times of two halves do not add up.
    """

    def make() -> list[list[float]]:
        X = data(context)
        context.say(f"{name} ...")
        kept = scikit_learn(X, context.seed) if name == SKLEARN else learn(X, context.seed, name)
        keep_atoms(context, name, kept[-1].D)
        rows = torch.from_numpy(X)
        return [[one.cpu, one.wall, bench.mean_objective(rows, one.D)] for one in thinned(kept)]

    return context.keep(f"curve {name}", make)


def thinned(kept: list[bench.Kept], most: int = 6) -> list[bench.Kept]:
    """At most ``most`` of them, closer together at the start; the last always."""
    at = {round((len(kept)) ** (k / (most - 1))) - 1 for k in range(most)}
    return [kept[k] for k in sorted(at | {len(kept) - 1})]


def learn(X: np.ndarray, seed: int, name: str) -> list[bench.Kept]:
    """The dictionaries along one of Lamina's methods, from atoms that are rows; the first is the start."""
    if name == "online (Lamina)":
        return bench.lamina_online(X, seed, PASSES[name])
    watch = bench.Stopwatch()
    model = SparseCoding(X.shape[1], bench.ATOMS, cost=bench.COST, solver=SOLVERS.get(name, "auto"), tolerance=1e-2)
    atoms_from_rows(model, X, seed)
    keeper = Keeper(model, watch)
    keeper.keep()
    options: dict[str, Any] = {"epochs": PASSES[name], "random_state": seed, "callbacks": [keeper]}
    if name == "gradient descent":
        rule = DictionaryDescent(keeper)
        fit(model, X, rule, batch_size=bench.BATCH, learning_rate=RATE, penalties=[MaxNorm(1.0)], **options)
    else:
        fit(model, X, LagrangeDual(), batch_size=2048, **options)
    return keeper.kept


class Keeper:
    """Keeps dictionaries: after every pass, and whenever `keep` is called."""

    def __init__(self, model: SparseCoding, watch: bench.Stopwatch) -> None:
        self.model, self.watch = model, watch
        self.kept: list[bench.Kept] = []

    def keep(self) -> None:
        self.kept.append(bench.Kept(self.model.D.detach().clone(), *self.watch.read()))

    def on_epoch(self, record: Any, epochs: int) -> None:
        self.keep()


class DictionaryDescent(LossRule):
    """Gradient descent on the dictionary: the slope of a batch's mean energy at its codes."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper, self.steps = keeper, 0

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        if self.steps % KEEP_EVERY == KEEP_EVERY - 1:
            self.keeper.keep()
        self.steps += 1
        v = batch.values[0]
        total = model.energy(v, model.codes(v, tolerance=0.5).h).sum()
        return total, {"objective": total.detach()}


def scikit_learn(X: np.ndarray, seed: int) -> list[bench.Kept]:
    """The dictionaries along scikit-learn's fit."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    watch = bench.Stopwatch()
    kept: list[bench.Kept] = []

    def keep(found: Mapping[str, Any]) -> None:
        if found["i"] % KEEP_EVERY == KEEP_EVERY - 1:
            atoms = torch.from_numpy(np.array(found["dictionary"].T))
            kept.append(bench.Kept(atoms, *watch.read()))

    X = X.astype(np.float64)  # in float32 its solver runs to its limit of iterations
    learner = MiniBatchDictionaryLearning(
        n_components=bench.ATOMS,
        alpha=bench.COST,
        max_iter=bench.PASSES,
        batch_size=bench.BATCH,
        fit_algorithm="cd",
        random_state=seed,
        callback=keep,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner.fit(X)
    return [*kept, bench.Kept(torch.from_numpy(np.array(learner.components_.T)), *watch.read())]


def keep_atoms(context: Context, name: str, D: Tensor) -> None:
    """Save a coder with the atoms ``D`` in the stage ``name``, for the pictures and for whoever wants it."""
    model = SparseCoding(*D.shape, cost=bench.COST)
    with torch.no_grad():
        model.D.copy_(D)
    save(model, context.stage(name), {"shape": (1, bench.SIZE, bench.SIZE)})


# what comes of it -----------------------------------------------------------------------------------------------------


def results(races: dict[str, list[dict]], curves: dict[str, list[list[float]]]) -> list[Measured]:
    found = []
    for dtype, runs in races.items():
        ratios = [one["ratio"] for one in runs]
        times = {
            key: median(one[key] for one in runs)
            for key in ("lamina", "scikit-learn", "lamina wall", "scikit-learn wall")
        }
        note = (
            f"median of {len(runs)}; {times['lamina']:.2f} s against {times['scikit-learn']:.2f} s of processor time, "
            f"{times['lamina wall']:.1f} s against {times['scikit-learn wall']:.1f} s on the clock"
        )
        what = f"time to scikit-learn's objective, as a share of its own, {dtype}"
        spread = stdev(ratios) if len(ratios) > 1 else 0.0
        found.append(Measured(what, median(ratios), spread, higher_is_better=False, note=note))
        for what, key in (("scikit-learn", "objective"), ("two passes of Lamina's online rule", "final objective")):
            values = [one[key] for one in runs]
            spread = stdev(values) if len(values) > 1 else 0.0
            found.append(
                Measured(f"objective of {what}, {dtype}", sum(values) / len(values), spread, higher_is_better=False)
            )
    for name, points in curves.items():
        cpu, wall, objective = points[-1]
        note = f"{CURVE_ROWS:,} patches, after {cpu:.1f} s of processor time, {wall:.0f} s on the clock"
        found.append(Measured(f"objective of {name}", objective, higher_is_better=False, note=note))
    return found


def drawn(curves: dict[str, list[list[float]]]) -> Lines:
    series: dict[str, Any] = {name: ([p[0] for p in points], [p[2] for p in points]) for name, points in curves.items()}
    note = f"{CURVE_ROWS:,} patches, one thread; float32, scikit-learn float64; the machine ran other work too"
    return Lines("Learning a dictionary", "processor seconds", "objective per row", series, log_x=True, note=note)


def pictures(context: Context) -> list[Images]:
    """The atoms of three methods, the longest first and of those the smoothest."""
    found = []
    for name in ("online (Lamina)", "Lagrange dual, feature-sign (the paper's)", SKLEARN):
        model = context.model(name, _made_before)
        atoms = model.D.detach().cpu().T.reshape(-1, bench.SIZE, bench.SIZE).numpy()
        rough = (np.diff(atoms, axis=1) ** 2).sum((1, 2)) + (np.diff(atoms, axis=2) ** 2).sum((1, 2))
        found.append(Images(f"Atoms, {name}", atoms[np.argsort(rough)][:98], signed=True, note="the smoother half"))
    return found


_made_before: Callable[[], Any] = lambda: None  # noqa: E731 - the curve has saved the model


def deviations(context: Context) -> list[str]:
    found = [
        "One photograph (china.jpg of scikit-learn, grey) for the paper's natural images; each patch loses its mean, "
        "and all are divided by one number so that their variance is 1; no whitening. 196 atoms for 144 pixels.",
        "Feature-sign search takes the steps of many rows together and starts at zero in every pass; the paper starts "
        "at the previous codes. The L1 penalty alone; the paper's ε-smoothed and topographic ones are left out.",
        "Processor time of one thread, in Python with PyTorch, on a machine that ran other work; the paper times "
        "MATLAB. What is compared is the objective against time, not the paper's tables, whose times belong to its "
        "machine.",
        "Atoms begin as rows for all of Lamina's methods; scikit-learn begins with singular vectors, as it always "
        f"does, and stops itself when its objective has not fallen for ten batches (limit {bench.PASSES} passes).",
        f"The ratio of times is measured on {bench.ROWS:,} patches, curves on {CURVE_ROWS:,} of their places, where "
        "slow methods get further in the same time; times of curves are of one run each.",
        f"Gradient descent: learning rate {RATE:g} at batches of {bench.BATCH}, atoms cut to length 1 after each "
        f"step, codes by alternating directions to the online rule's tolerance.",
    ]
    if context.quick:
        found.insert(0, f"QUICK: {QUICK_ROWS:,} patches, one seed; the numbers show only that all runs.")
    return found
