"""How fast is a perceptron trained, against scikit-learn's?

`MLPClassifier` of both on MNIST: 256 rectified units, Adam, batches of 200, 10 passes over 60,000 rows, float32 in
both. The same seed gives both the same start, the same batches and, but for rounding, the same network: what differs
is the time. Both take turns with a thread for every core, the seed changing from turn to turn; times are wall seconds
of `fit`, errors those on the 10,000 test rows.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
import torch

from lamina import data
from lamina.core.checks import check_device, check_number
from lamina.core.errors import SettingError
from lamina.estimators import MLPClassifier

ROWS, HIDDEN, BATCH, PASSES = 60_000, 256, 200, 10
NAMES = ("scikit-learn MLPClassifier", "lamina.estimators.MLPClassifier")

Digits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits() -> Digits:
    """Rows of MNIST in [0, 1], float32, and classes: `ROWS` to learn from, then those of the test."""
    mnist = data.load("mnist")
    X, y, X_test, y_test = (np.asarray(part) for part in (mnist.X, mnist.y, mnist.X_test, mnist.y_test))
    scaled = [rows.astype(np.float32) / np.float32(255) for rows in (X[:ROWS], X_test)]
    return scaled[0], y[:ROWS], scaled[1], y_test


def _settings(seed: int) -> dict[str, Any]:
    endless = {"tol": 0.0, "n_iter_no_change": np.inf}
    return {"hidden_layer_sizes": HIDDEN, "batch_size": BATCH, "max_iter": PASSES, "random_state": seed, **endless}


def _theirs(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier as Theirs

    return Theirs(**_settings(seed))


def race(found: Digits, seed: int) -> dict[str, tuple[float, float]]:
    """Seconds of `fit` and error on the test rows, by name."""
    X, y, X_test, y_test = found
    makers: dict[str, Callable[[int], Any]] = {NAMES[0]: _theirs, NAMES[1]: lambda s: MLPClassifier(**_settings(s))}
    results = {}
    for name, make in makers.items():
        estimator = make(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            began = time.perf_counter()
            estimator.fit(X, y)
            seconds = time.perf_counter() - began
        results[name] = (seconds, float((estimator.predict(X_test) != y_test).mean()))
    return results


@contextmanager
def all_cores() -> Iterator[int]:
    """As many threads as cores for PyTorch and for NumPy's matrix products, whatever the environment says."""
    from threadpoolctl import threadpool_limits

    before, cores = torch.get_num_threads(), _cores()
    try:
        with threadpool_limits(limits=cores):
            torch.set_num_threads(cores)
            yield cores
    finally:
        torch.set_num_threads(before)


def _cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bench_mlp(*, repeats: int = 7, seed: int = 0, device: str | None = None) -> dict:
    """Milliseconds of a fit, median of ``repeats`` in turn (with seeds from ``seed``), their ratio, and the errors."""
    check_number("--repeats", repeats, low=1, integer=True)
    if check_device(device).type != "cpu":
        raise SettingError(f"device is {device!r}; expected cpu, where scikit-learn computes: leave --device out")
    found = digits()
    with all_cores() as threads:
        races = [race(found, seed + k) for k in range(repeats)]
    rows = summary(races)
    errors = ", ".join(f"{row['name']} {row['error']:.2%}" for row in rows)
    return {
        "what": f"MLPClassifier, {HIDDEN} hidden units, Adam, {PASSES} passes over {len(found[0])} digits, float32",
        "threads": threads,
        "device": "cpu",
        "repeats": repeats,
        "columns": ["ms in all", "× theirs"],
        "batches": [{"batch_size": BATCH, "title": "float32", "rows": rows}],
        "notes": [f"median error on {len(found[2])} test rows: {errors}"],
    }


def summary(races: list[dict[str, tuple[float, float]]]) -> list[dict]:
    """A row for each: medians of milliseconds and errors, the ratio of the medians, and its range over the races."""
    limit = median(one[NAMES[0]][0] for one in races)
    rows = []
    for name in NAMES:
        ratios = [one[name][0] / one[NAMES[0]][0] for one in races]
        seconds = median(one[name][0] for one in races)
        rows.append(
            {
                "name": name,
                "milliseconds": 1e3 * seconds,
                "ratio": seconds / limit,
                "ratio_low": min(ratios),
                "ratio_high": max(ratios),
                "error": median(one[name][1] for one in races),
                "errors": [one[name][1] for one in races],
            }
        )
    return rows
