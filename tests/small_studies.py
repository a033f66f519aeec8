"""Small data, and studies that take a few steps where they would take thousands: shared by tests of studies and cli."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("red, dark", "green", 'blue "sky"')
SMALL = ("--hidden", "12,8", "--epochs", "2", "--quiet")


def make_quick(patch: Callable[..., None]) -> None:
    """Cut the steps of every study; ``patch`` has the signature of `setattr`."""
    from lamina.studies import benchmark, defaults, generative_pictures, generators, pictures, protocols, task
    from lamina.studies.goodness import Effort

    patch(defaults, "supervised_steps", lambda n_labels: 8)
    patch(defaults, "adversarial_steps", lambda n_rows, n_labels: 8)
    patch(protocols, "HEAD_DECAYS", (1e-3, 1e-2))
    patch(task, "FOLDS", 2)
    patch(pictures, "N_MAPPED", 30)
    patch(pictures, "SAMPLE_STEPS", 3)
    patch(benchmark, "ROWS", 14)
    generate = import_module("lamina.studies.generate")  # the room's own name for it is the function
    patch(generate, "CAREFUL", Effort(20, 20, 20))
    patch(generate, "QUICK", Effort(5, 5, 0))
    patch(generators.Generator, "deepest_step", 10)
    patch(generators.ConvolutionalMachine, "deepest_step", 10)
    patch(generative_pictures, "FILL_STEPS", 3)
    patch(os, "fsync", lambda handle: None)  # durability is tested elsewhere


def rows(n: int, n_features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of normal rows (n, n_features), and their codes (n,)."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = 2.5 * np.random.default_rng(99).standard_normal((3, n_features))
    return random.standard_normal((n, n_features)) + centres[y], y


def unit_rows(n: int, n_features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The same in [0, 1]."""
    X, y = rows(n, n_features, seed)
    return 1 / (1 + np.exp(-X)), y


def quoted(text: object) -> str:
    return '"' + str(text).replace('"', '""') + '"'


def write_table(path: Path, X: np.ndarray, columns: dict[str, object] | None = None) -> Path:
    """A CSV file of features f0, f1, ... and further ``columns``."""
    more = columns or {}
    lines = [",".join([*(f"f{k}" for k in range(X.shape[1])), *more])]
    for k, row in enumerate(X):
        lines.append(",".join([*(f"{v:.6f}" for v in row), *(quoted(values[k]) for values in more.values())]))  # type: ignore[index]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def labelled_table(path: Path, n: int = 120, blank: float = 0.4, seed: int = 0) -> Path:
    """A table with a column ``label`` of which a share is blank, and ``site``, ten groups."""
    X, y = rows(n, seed=seed)
    known = np.random.default_rng(seed + 1).random(n) >= blank
    labels = [CLASSES[k] if shown else "" for k, shown in zip(y, known, strict=True)]
    return write_table(path, X, {"label": labels, "site": [f"s{k // 3 % 10}" for k in range(n)]})


def image_folder(path: Path, n: int = 60, unlabelled: int = 30, side: int = 4) -> Path:
    """Grey images, class a bright above and b bright below, and a folder of images without a label."""
    random = np.random.default_rng(0)
    for k in range(n + unlabelled):
        pixels = random.integers(0, 90, (side, side))
        half = slice(0, side // 2) if k % 2 else slice(side // 2, side)
        pixels[half] += 120
        folder = path / ("unlabelled" if k >= n else "ab"[k % 2])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{k:03}.png")
    return path


def archive(path: Path, n: int = 90, n_test: int = 30, **arrays: np.ndarray) -> Path:
    """A .npz file with a test part, values in [0, 1]; ``arrays`` replaces some."""
    X, y = unit_rows(n)
    X_test, y_test = unit_rows(n_test, seed=5)
    np.savez(path, **{"X": X, "y": y, "X_test": X_test, "y_test": y_test, **arrays})
    return path


def cli(*arguments: object) -> int:
    from lamina.cli import main

    return main([str(argument) for argument in arguments])


@dataclass(frozen=True)
class Finished:
    """A run that ended and the data it was made from."""

    run: Path
    data: Path


def finish_runs(folder: Path, patch) -> dict[str, Finished]:
    make_quick(patch.setattr)
    table = labelled_table(folder / "table.csv")
    images = image_folder(folder / "images")
    np.save(folder / "nameless.npy", unit_rows(80, 10)[0].astype(np.float32))
    calls = {
        "table": (table, ("--labels", 24, "--groups", "site", "--label-curve")),
        "images": (images, ("--labels", 12)),
        "unlabelled": (folder / "nameless.npy", ()),
    }
    for name, (data, options) in calls.items():
        assert cli("learn", data, *options, *SMALL, "--out", folder / f"run-{name}") == 0
    return {name: Finished(folder / f"run-{name}", data) for name, (data, _) in calls.items()}
