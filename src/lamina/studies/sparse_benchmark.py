"""How fast is a dictionary learnt, against scikit-learn's?

196 atoms for 20,000 patches of 12 × 12 pixels of one photograph (the mean of each patch removed, variance 1 over all),
cost 1: objective per row ½ ‖v − h Dᵀ‖² + Σ|h|. Scikit-learn's `MiniBatchDictionaryLearning` runs for at most three
passes (it may stop itself before) and ends with some objective. Lamina's `OnlineDictionary` runs through the public
door, keeping its dictionary every few steps; its time is that at the first kept dictionary whose objective is no
larger. Codes for the comparison are searched anew for both, to the same tolerance.

Both take turns, one thread each. Times are processor seconds of this process, which other work on the machine stretches
far less than it does wall seconds; those are given beside them.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch

from lamina.core.checks import check_device, check_number
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.frontends.patches import random_patches
from lamina.inference.sparse_codes import alternating_directions, code_objective
from lamina.models.sparse import SparseCoding
from lamina.training import fit
from lamina.training.dictionary import OnlineDictionary, atoms_from_rows

ROWS, SIZE, ATOMS, COST = 20_000, 12, 196, 1.0
BATCH, PASSES = 256, 3
KEEP_EVERY = 4  # steps between dictionaries that are kept
TOLERANCE = 1e-2  # of the codes that both dictionaries are judged by
TYPES = ("float64", "float32")
ENDS = (("", ""), ("wall ", " wall"))  # of the names of times


@dataclass
class Stopwatch:
    """Processor and wall seconds since it was made."""

    cpu: float = field(default_factory=time.process_time)
    wall: float = field(default_factory=time.perf_counter)

    def read(self) -> tuple[float, float]:
        return time.process_time() - self.cpu, time.perf_counter() - self.wall


@dataclass(frozen=True)
class Kept:
    """A dictionary (n_visible, n_hidden) and the processor and wall seconds it took."""

    D: torch.Tensor
    cpu: float
    wall: float


def photograph_patches(n: int, seed: int, dtype: str) -> np.ndarray:
    """``n`` patches of scikit-learn's photograph of China in grey, each less its mean, at variance 1 over all."""
    from sklearn.datasets import load_sample_image

    image = load_sample_image("china.jpg").astype(np.float64).mean(2)
    rows = random_patches([image], n, SIZE, Random(seed).child("patches")).reshape(n, -1)
    rows -= rows.mean(1, keepdims=True)
    return (rows / rows.std()).astype(dtype)


@torch.no_grad()
def mean_objective(X: torch.Tensor, D: torch.Tensor) -> float:
    """Objective per row of ``D`` with codes searched to `TOLERANCE`, in float32."""
    rows, D = X.float(), D.detach().float()
    h = alternating_directions(rows, D, COST, tolerance=TOLERANCE).h
    return float(code_objective(rows, D, h, COST).double().mean())


def scikit_learn(X: np.ndarray, seed: int) -> Kept:
    """What scikit-learn's online learner ends with. Its warnings that codes were not found exactly are silenced."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    learner = MiniBatchDictionaryLearning(
        n_components=ATOMS,
        alpha=COST,
        max_iter=PASSES,
        batch_size=BATCH,
        fit_algorithm="cd",
        random_state=seed,
    )
    watch = Stopwatch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner.fit(X)
    return Kept(torch.from_numpy(np.ascontiguousarray(learner.components_.T)), *watch.read())


class KeepingOnline(OnlineDictionary):
    """Keeps the dictionary with its time after every `KEEP_EVERY`-th step."""

    def begin(self, watch: Stopwatch) -> KeepingOnline:
        self.watch = watch
        self.kept: list[Kept] = []
        return self

    def maximise(self, model: Any) -> Any:
        found = super().maximise(model)
        if int(self.count) % KEEP_EVERY == 0:
            self.kept.append(Kept(model.D.detach().clone(), *self.watch.read()))
        return found


def lamina_online(X: np.ndarray, seed: int, passes: int = 2) -> list[Kept]:
    """Dictionaries along ``passes`` of `OnlineDictionary`, from atoms that are rows."""
    watch = Stopwatch()
    model = SparseCoding(X.shape[1], ATOMS, cost=COST, dtype=torch.float32 if X.dtype == np.float32 else torch.float64)
    atoms_from_rows(model, X, seed)
    rule = KeepingOnline().begin(watch)
    fit(model, X, rule, epochs=passes, batch_size=BATCH, random_state=seed)
    return rule.kept


def first_below(kept: list[Kept], goal: float, objective: Callable[[int], float]) -> Kept | None:
    """The first dictionary k whose ``objective(k)`` is at most ``goal``, by bisection (objectives all but fall); None
    if even the last is above."""
    if not kept or objective(len(kept) - 1) > goal:
        return None
    low, high = -1, len(kept) - 1  # above the goal, at or below it
    while high - low > 1:
        middle = (low + high) // 2
        if objective(middle) <= goal:
            high = middle
        else:
            low = middle
    return kept[high]


def race(dtype: str, seed: int, n_rows: int | None = None, passes: int = 2) -> dict[str, float]:
    """One run of each on ``n_rows`` patches (`ROWS`), Lamina's for ``passes``: seconds of both, the objective that
    scikit-learn ends with, and the ratio of seconds."""
    X = photograph_patches(n_rows or ROWS, seed, dtype)
    rows = torch.from_numpy(X)
    theirs = scikit_learn(X, seed)
    goal = mean_objective(rows, theirs.D)
    kept = lamina_online(X, seed, passes)
    objectives: dict[int, float] = {}

    def objective(k: int) -> float:
        if k not in objectives:
            objectives[k] = mean_objective(rows, kept[k].D)
        return objectives[k]

    ours = first_below(kept, goal, objective)
    if ours is None:
        raise SettingError(
            f"Lamina did not reach the objective {goal:.4f} in {passes} passes: there is no time to compare; "
            f"expected more rows or passes"
        )
    return {
        "scikit-learn": theirs.cpu,
        "scikit-learn wall": theirs.wall,
        "lamina": ours.cpu,
        "lamina wall": ours.wall,
        "objective": goal,
        "final objective": objective(len(kept) - 1),
        "ratio": ours.cpu / theirs.cpu,
    }


def bench_sparse_coding(*, repeats: int = 3, seed: int = 0, device: str | None = None) -> dict:
    """Seconds to one objective, median of ``repeats`` runs in turn (with seeds from ``seed``), and their ratio."""
    check_number("--repeats", repeats, low=1, integer=True)
    if check_device(device).type != "cpu":
        raise SettingError(f"device is {device!r}; expected cpu, where scikit-learn computes: leave --device out")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        races = {dtype: [race(dtype, seed + k) for k in range(repeats)] for dtype in TYPES}
    finally:
        torch.set_num_threads(threads)
    return {
        "what": f"dictionary of {ATOMS} atoms for {ROWS} patches of {SIZE} × {SIZE} pixels",
        "threads": 1,
        "device": "cpu",
        "repeats": repeats,
        "columns": ["ms in all", "× theirs"],
        "batches": [{"batch_size": BATCH, "title": dtype, "rows": summary(races[dtype])} for dtype in TYPES],
        "notes": ["processor milliseconds until Lamina has the objective that scikit-learn ends with"],
    }


def summary(races: list[dict[str, float]]) -> list[dict]:
    """Medians, and the lowest and highest ratio, as rows for scikit-learn and Lamina."""
    ratios = [one["ratio"] for one in races]
    rows = []
    for name, key, of in (
        ("scikit-learn MiniBatchDictionaryLearning", "scikit-learn", [1.0]),
        ("lamina.OnlineDictionary", "lamina", ratios),
    ):
        times = {f"{unit}milliseconds": 1e3 * median(one[f"{key}{end}"] for one in races) for unit, end in ENDS}
        rows.append({"name": name, **times, "ratio": median(of), "ratio_low": min(of), "ratio_high": max(of)})
    return rows
