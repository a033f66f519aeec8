"""How fast is a self-organising map learnt, against minisom's?

20 × 20 units for the first 5,000 training digits of MNIST (784 grey values in [0, 1]), Gaussian neighbourhood.
Minisom's `train_batch` (version 2.3.6) takes the rows one after another, in the order of the data, and moves all units
after each of them: its iteration is one row. Lamina's `BatchMap` takes all rows at once: its iteration is one pass.
Equal iterations mean that each sees every row equally often: `PASSES` passes, for minisom 5,000 · `PASSES` iterations.

Both begin with the same prototypes (the plane of the two largest principal components) and the same radius, which falls
to the same last one: by σ(t) = σ₀ / (1 + 2t/T), minisom's default, from 10 to 10/3, and in a straight line from 10 to
1, its "linear_decay_to_one". Lamina's follows the same law, and once more its own exponential one between the same two
radii. Minisom's learning rate is its default (0.5, falling to a third); the batch rule has none.

The errors of both are worked out by the same functions, on the rows learnt from. Contestants take turns, one thread
each. Times are processor seconds of this process, which other work on the machine stretches far less than it does wall
seconds; those are given beside them. Initial values are in nobody's time.
"""

from __future__ import annotations

import importlib.util
from statistics import median
from typing import Any

import numpy as np
import torch

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DataError, SettingError
from lamina.data import load
from lamina.metrics import quantisation_error, topographic_error
from lamina.models.maps import SelfOrganisingMap
from lamina.studies.sparse_benchmark import Stopwatch
from lamina.training import BatchMap, fit, prototypes_from_plane, shrinking

ROWS, SIDE, PASSES = 5_000, 20, 10
FIRST = 10.0
#: minisom's name of a law → title, last radius, Lamina's name
LAWS = {
    "asymptotic_decay": ("radius 10 to 3.3", FIRST / 3, "asymptotic"),
    "linear_decay_to_one": ("radius 10 to 1", 1.0, "linear"),
}
UNITS = ("", "wall ")  # of time: of the processor, and on the wall
PEER = "minisom train_batch"
#: name → type, and the law of the radius (None: minisom's)
OURS: dict[str, tuple[Any, str | None]] = {
    "lamina.BatchMap float32": (np.float32, None),
    "lamina.BatchMap float64": (np.float64, None),
    "lamina.BatchMap float32, exponential": (np.float32, "exponential"),
}


def digits(n: int | None = None) -> np.ndarray:
    """The first ``n`` training digits of MNIST (`ROWS`), (n, 784) float64 in [0, 1]."""
    X = load("mnist").X[: n or ROWS]
    if len(X) < (n or ROWS):
        raise DataError(f"MNIST has {len(X)} training rows here; expected at least {n or ROWS}")
    return np.asarray(X, np.float64) / 255


def start(X: np.ndarray, dtype: torch.dtype) -> SelfOrganisingMap:
    """The map that all begin with."""
    return prototypes_from_plane(SelfOrganisingMap(X.shape[1], SIDE, SIDE, dtype=dtype), X)


def lamina_batch(X: np.ndarray, law: str, kind: Any, own: str | None, seed: int) -> dict[str, float]:
    """Seconds and errors of `BatchMap` in the type ``kind``, by its ``own`` law of the radius or minisom's."""
    _, last, shape = LAWS[law]
    rows = X.astype(kind)
    model = start(X, torch.float32 if kind is np.float32 else torch.float64)
    rule = BatchMap(shrinking(FIRST, last, PASSES, own or shape))
    watch = Stopwatch()
    fit(model, rows, rule, epochs=PASSES, batch_size=len(rows), random_state=seed)
    cpu, wall = watch.read()
    return measured(X, model.weights.detach().numpy(), cpu, wall)


def minisom_batch(X: np.ndarray, law: str) -> dict[str, float]:
    """Seconds and errors of minisom's `train_batch`; its random numbers are all overwritten by the start."""
    from minisom import MiniSom

    peer = MiniSom(SIDE, SIDE, X.shape[1], sigma=FIRST, sigma_decay_function=law, random_seed=0)
    peer._weights = start(X, torch.float64).weights.detach().numpy().reshape(SIDE, SIDE, -1).copy()
    watch = Stopwatch()
    peer.train_batch(X, len(X) * PASSES)
    cpu, wall = watch.read()
    return measured(X, peer.get_weights().reshape(SIDE * SIDE, -1), cpu, wall)


def measured(X: np.ndarray, prototypes: np.ndarray, cpu: float, wall: float) -> dict[str, float]:
    """Seconds, and both errors by `lamina.metrics`."""
    touching = SelfOrganisingMap(1, SIDE, SIDE).neighbours().numpy()
    return {
        "milliseconds": 1e3 * cpu,
        "wall milliseconds": 1e3 * wall,
        "quantisation error": quantisation_error(X, prototypes),
        "topographic error": topographic_error(X, prototypes, touching),
    }


def bench_som(*, repeats: int = 3, seed: int = 0, device: str | None = None) -> dict:
    """Milliseconds for `PASSES` passes, medians of ``repeats`` runs in turn, with errors and the ratio to minisom's."""
    check_number("--repeats", repeats, low=1, integer=True)
    if check_device(device).type != "cpu":
        raise SettingError(f"device is {device!r}; expected cpu, where minisom computes: leave --device out")
    peer = importlib.util.find_spec("minisom") is not None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        X = digits()
        runs = {law: [race(X, law, seed + k, peer) for k in range(repeats)] for law in LAWS}
    finally:
        torch.set_num_threads(threads)
    batches = [{"batch_size": ROWS, "title": LAWS[law][0], "rows": summary(found)} for law, found in runs.items()]
    return {
        "what": f"self-organising map of {SIDE} × {SIDE} units, {ROWS} digits, {PASSES} passes",
        "threads": 1,
        "device": "cpu",
        "repeats": repeats,
        "columns": ["ms in all", "× theirs" if peer else "× first"],
        "batches": batches,
        "notes": _notes(batches, peer),
    }


def race(X: np.ndarray, law: str, seed: int, peer: bool) -> dict[str, dict[str, float]]:
    """One run of each contestant by ``law``, in turn."""
    found = {PEER: minisom_batch(X, law)} if peer else {}
    return found | {name: lamina_batch(X, law, *how, seed) for name, how in OURS.items()}


def summary(races: list[dict[str, dict[str, float]]]) -> list[dict]:
    """Medians of times, largest of errors, and the lowest and highest ratio, to the first, for each contestant."""
    rows = []
    first = next(iter(races[0]))
    for name in races[0]:
        ratios = [one[name]["milliseconds"] / one[first]["milliseconds"] for one in races]
        times = {f"{unit}milliseconds": median(one[name][f"{unit}milliseconds"] for one in races) for unit in UNITS}
        errors = {k: max(one[name][k] for one in races) for k in ("quantisation error", "topographic error")}
        spread = {"ratio": median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
        rows.append({"name": name, **times, **spread, **errors})
    return rows


def _notes(batches: list[dict], peer: bool) -> list[str]:
    notes = [] if peer else ["minisom is not installed (pip install minisom): Lamina ran alone, ratios are to itself"]
    for batch in batches:
        for row in batch["rows"]:
            notes.append(
                f"{batch['title']}, {row['name']}: quantisation error {row['quantisation error']:.4f}, topographic "
                f"error {row['topographic error']:.4f}"
            )
    iterations = f"; {PASSES} passes are {ROWS * PASSES:,} of minisom's iterations" if peer else ""
    return [*notes, f"processor milliseconds, the same start, one thread{iterations}"]
