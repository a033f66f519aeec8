"""Small run folders of every kind that the report must draw."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from lamina.core.figures import Images, Lines, pack

Run = tuple[dict[str, Any], dict[str, np.ndarray]]


def save_run(folder: Path, document: Any, arrays: dict[str, np.ndarray] | None = None) -> Path:
    """Writes a run folder and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.json").write_text(json.dumps(document), encoding="utf-8")
    if arrays:
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(whole, folder / "records.safetensors")
    return folder


def result(name: str, errors: list[float], seconds: float = 1.5) -> dict[str, Any]:
    """One row of the result table."""
    spread = float(np.std(errors, ddof=1)) if len(errors) > 1 else None
    mean = float(np.mean(errors))
    return {
        "name": name,
        "error_mean": mean,
        "error_sd": spread,
        "seconds": seconds,
        "errors": errors,
        "what": f"what {name} is",
    }


_RESULTS = [
    result("lamina", [0.07, 0.08, 0.09], 123.4),
    result("frozen features", [0.15, 0.16, 0.17]),
    result("without pre-training", [0.25, 0.26, 0.24]),
    result("logistic regression", [0.23, 0.22, 0.24], 0.25),
    result("pca + svm", [0.20, 0.21, 0.199], 2345.6),
]


def _document(shape: list[int], classes: list[str]) -> dict[str, Any]:
    n_features = int(np.prod(shape))
    return {
        "lamina": "0.1.0",
        "title": "A synthetic run",
        "command": "lamina learn synthetic --labels 100",
        "data": {
            "name": "synthetic",
            "n_train": 60000,
            "n_labels": 100,
            "n_test": 10000,
            "n_features": n_features,
            "shape": shape,
            "classes": classes,
            "units": "bernoulli",
            "why_units": "values lie in [0, 1]",
            "source": "made up for tests",
        },
        "results": copy.deepcopy(_RESULTS),
        "label_curve": [
            {"n_labels": 1000, "results": [result("lamina", [0.04]), result("pca + svm", [0.09])]},
            {"n_labels": 10, "results": [result("lamina", [0.3]), result("pca + svm", [0.6])]},
        ],
        "curves": [
            {
                "name": "layer 1: 64-20",
                "kind": "pretrain",
                "epochs": [1, 2, 3],
                "series": {
                    "reconstruction error": [0.5, 0.2, 0.1],
                    "validation reconstruction error": [0.6, None, 0.2],
                    "weight norm": [1.0, 2.0, 3.0],
                },
            },
            {
                "name": "fine-tuning",
                "kind": "finetune",
                "epochs": [1, 2],
                "series": {"cross-entropy": [2.0, 0.001], "validation error": [None, None]},
            },
        ],
        "settings": {"hidden": [20, 10], "momentum": {"start": 0.5, "end": 0.9}, "dropout": True},
        "environment": {"python": "3.11.7", "cpu_count": 2, "device": "cpu"},
        "seed": 7,
        "timing": [
            {"stage": "pre-training layer 1", "seconds": 12.3},
            {"stage": "fine-tuning", "seconds": 4.56},
        ],
        "memory": {"peak_mb": 812.0},
        "choice": [
            {"name": "label spreading", "cv_error": 0.12, "chosen": True},
            {"name": "pseudo-labels", "cv_error": 0.2, "chosen": False},
        ],
        "notes": ["Pre-training was shared between the draws."],
        "warnings": ["Three test rows are nearly equal to training rows."],
    }


def _arrays(n_features: int, n_classes: int, low: float = 0.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)

    def rows(n: int) -> np.ndarray:
        return random.uniform(low, 1, (n, n_features)).astype(np.float32)

    def codes(n: int) -> np.ndarray:
        return random.integers(-1, n_classes, n)

    return {
        "examples": rows(12),
        "example_labels": codes(12),
        "filters": random.normal(0, 0.3, (20, n_features)).astype(np.float32),
        "reconstruction_input": rows(6),
        "reconstruction_output": rows(6),
        "samples": rows(9),
        "code_2d": random.normal(size=(200, 2)).astype(np.float32),
        "code_labels": codes(200),
        "confusion": random.integers(0, 30, (n_classes, n_classes)),
        "mistakes": rows(5),
        "mistake_true": np.arange(5) % n_classes,
        "mistake_predicted": (np.arange(5) + 1) % n_classes,
    }


def image_run() -> Run:
    """Grey images 8 × 8, three classes, everything recorded."""
    return _document([1, 8, 8], ["zero", "one", "two"]), _arrays(64, 3)


def colour_run() -> Run:
    """Colour images 5 × 7, thirty classes (too many for counts, and more than there are colours)."""
    return _document([3, 5, 7], [f"kind {code}" for code in range(30)]), _arrays(105, 30)


def table_run() -> Run:
    """Rows of twelve standardised measurements, two classes."""
    document = _document([12], ["ill", "well"])
    document["data"]["units"] = "gaussian"
    return document, _arrays(12, 2, low=-2)


def signal_run() -> Run:
    """Long rows (1,000 values), two classes."""
    return _document([1000], ["rest", "task"]), _arrays(1000, 2, low=-1)


def unlabelled_run() -> Run:
    """Images without any label: no results, no confusion."""
    document, arrays = image_run()
    document["data"].update(n_labels=0, classes=None, n_test=None)
    for part in ("results", "label_curve", "choice"):
        del document[part]
    for name in ("confusion", "mistakes", "mistake_true", "mistake_predicted", "code_labels", "example_labels"):
        del arrays[name]
    return document, arrays


def minimal_run() -> Run:
    """The least that is a run: a name."""
    return {"data": {"name": "least"}}, {}


def recipe_run() -> Run:
    """A recipe: numbers beside published ones, pictures and curves of every kind, no data set."""
    noise = np.random.default_rng(0)
    holes = noise.random((2, 5, 8, 8))
    holes[0, :, :4] = np.nan
    figures, arrays = pack(
        [
            Images("Filled in", holes, ("given <b>", "filled in"), note="Rows above were hidden."),
            Lines("Likelihood", "epoch", "nats", {"plain": ([1, 2, 3], [-9, -8, np.nan]), "two": ([1, 2], [-9, -7])}),
            Lines("Error", "n", "|error|", {"ais": ([1, 100], [1.0, 0.01], [0.1, np.nan])}, log_x=True, log_y=True),
            Images("Filters", noise.normal(size=(7, 6, 5)), signed=True),
            Images("Classes", noise.random((3, 6, 6)), ("a long caption", "b", "c & d")),
        ]
    )
    measured = [
        {"what": "log-likelihood <test>", "published": -86.34, "ours": -86.2071, "sd": 0.31, "unit": "nats"},
        {"what": "error", "published": 1.2, "ours": 1.25, "sd": 0.0, "unit": "%", "higher_is_better": False},
        {"what": "rows", "published": None, "ours": 60000, "sd": 0.0, "unit": "", "note": "all of them"},
    ]
    measured[0] |= {"read": "memory", "source": "Table 1", "higher_is_better": True}
    document = {
        "kind": "recipe",
        "name": "someone1985_machine",
        "title": "A recipe",
        "paper": "A. Someone (1985), Machines, Journal.",
        "about": "What is <shown>.",
        "command": "lamina reproduce someone1985_machine",
        "measured": measured,
        "figures": figures,
        "deviations": ["half the epochs", "other units"],
        "seeds": [0, 1, 2],
        "seconds": 4000.0,
        "quick": False,
        "notes": ["a note"],
        "lamina": "0.1.0",
        "environment": {"python": "3.11"},
    }
    return document, arrays


RUNS = {
    "image": image_run,
    "colour": colour_run,
    "table": table_run,
    "signal": signal_run,
    "unlabelled": unlabelled_run,
    "minimal": minimal_run,
    "recipe": recipe_run,
}
