"""Networks made sick on purpose, one cause at a time, and healthy ones: what the doctor is examined on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import make_classification

from lamina.core.errors import DivergenceError
from lamina.core.random import Random
from lamina.data import load
from lamina.models import MLP
from lamina.recipes.context import Context
from lamina.recipes.digits import mnist
from lamina.studies.facts import data_facts
from lamina.training import BackPropagation, History, fit

SETS = ("MNIST", "USPS", "table")  # thresholds were set on the first
ROWS, HELD, MOST = 2000, 1000, 20_000


@dataclass(frozen=True)
class Patient:
    """One training run: what it suffers from ("healthy" for nothing), and the settings that make it so."""

    sickness: str
    hidden: tuple[int, ...] = (100,)
    activation: str = "relu"
    epochs: int = 20
    rows: int = ROWS
    batch: int = 50
    loss: str = "cross-entropy"
    network: dict = field(default_factory=dict)
    fit: dict = field(default_factory=lambda: {"optimiser": "adam", "learning_rate": 1e-3})
    gain: float = 1.0  # what the initial weights of the hidden layers are multiplied by
    bias: float = 0.0  # initial bias of the hidden layers
    noise: float = 0.0  # share of labels drawn anew
    rare: float = 0.0  # share of rows that all classes but the first have together, 0 for as drawn
    unscaled: bool = False  # columns as they come from the instrument


def sgd(rate: float, momentum: float = 0.9, **more: Any) -> dict:
    return {"optimiser": "sgd", "learning_rate": rate, "momentum": momentum, **more}


def adam(rate: float, **more: Any) -> dict:
    return {"optimiser": "adam", "learning_rate": rate, **more}


#: name → one variant per seed: the same cause in other clothes.
SICK: dict[str, tuple[Patient, ...]] = {
    "vanishing gradients": (
        Patient("vanishing gradients", (60,) * 6, "sigmoid", fit=sgd(0.1)),
        Patient("vanishing gradients", (50,) * 7, "sigmoid", fit=sgd(0.05)),
        Patient("vanishing gradients", (40,) * 8, "sigmoid", fit=sgd(0.2, 0.5)),
    ),
    "diverging": (
        Patient("diverging", (100, 100), loss="squared", fit=sgd(0.5)),
        Patient("diverging", (100,), loss="squared", fit=sgd(2.0)),
        Patient("diverging", (80, 80, 80), loss="squared", fit=sgd(0.2)),
    ),
    "saturated units": (
        Patient("saturated units", (100,), "tanh", gain=40.0, fit=sgd(0.01)),
        Patient("saturated units", (100, 100), "sigmoid", gain=100.0, fit=sgd(0.01)),
        Patient("saturated units", (80, 80), "tanh", gain=60.0, fit=sgd(0.003)),
    ),
    "dead units": (
        Patient("dead units", (100, 100), bias=-8.0, fit=sgd(0.02)),
        Patient("dead units", (100,), bias=-10.0, fit=sgd(0.02)),
        Patient("dead units", (60, 60, 60), bias=-6.0, fit=adam(1e-4)),
    ),
    "rate too small": (
        Patient("rate too small", (100,), fit=sgd(1e-5)),
        Patient("rate too small", (100, 100), "tanh", fit=sgd(3e-6)),
        Patient("rate too small", (100,), fit=adam(1e-7)),
    ),
    "rate too large": (
        Patient("rate too large", (100, 100), fit=adam(0.3)),
        Patient("rate too large", (100,), "tanh", fit=sgd(5.0)),
        Patient("rate too large", (100,), "sigmoid", fit=adam(1.0)),
    ),
    "linear units": (
        Patient("linear units", (100, 100), "identity"),
        Patient("linear units", (100,), "identity", fit=sgd(0.01)),
        Patient("linear units", (60, 60, 60), "identity"),
    ),
    "unscaled inputs": (
        Patient("unscaled inputs", (100,), unscaled=True, fit=sgd(0.05)),
        Patient("unscaled inputs", (100,), "sigmoid", unscaled=True, fit=sgd(0.05)),
        Patient("unscaled inputs", (100, 100), "tanh", unscaled=True),
    ),
    "too small a network": (
        Patient("too small a network", (2,), "relu", epochs=40, fit=adam(1e-2)),
        Patient("too small a network", (2,), "tanh", epochs=40, fit=adam(1e-2)),
        Patient("too small a network", (1,), "sigmoid", epochs=40, fit=adam(2e-2)),
    ),
    "stopped too early": (
        Patient("stopped too early", (100,), "sigmoid", epochs=2, fit=sgd(0.1, 0.0)),
        Patient("stopped too early", (100,), epochs=2, fit=adam(2e-4)),
        Patient("stopped too early", (100, 100), "tanh", epochs=2, fit=sgd(0.01, 0.0)),
    ),
    "over-regularised": (
        Patient("over-regularised", (100,), fit=sgd(0.02, weight_decay=0.3)),
        Patient("over-regularised", (100, 100), network={"dropout": 0.93}),
        Patient("over-regularised", (100,), "tanh", fit=sgd(0.02, weight_decay=0.15)),
    ),
    "overfitting": (
        Patient("overfitting", (300, 300), rows=100, epochs=60, batch=10),
        Patient("overfitting", (400,), rows=120, epochs=60, batch=10),
        Patient("overfitting", (200, 200), "tanh", rows=100, epochs=60, batch=10),
    ),
    "label noise": (
        Patient("label noise", (100,), noise=0.3),
        Patient("label noise", (100, 100), noise=0.4),
        Patient("label noise", (100,), "tanh", noise=0.3, fit=sgd(0.02)),
    ),
    "class imbalance": (
        Patient("class imbalance", (100,), rare=0.05, fit=sgd(0.01, 0.0)),
        Patient("class imbalance", (100,), "sigmoid", rare=0.06, fit=sgd(0.02, 0.0)),
        Patient("class imbalance", (60, 60), "tanh", rare=0.04, fit=sgd(0.01, 0.0)),
    ),
}

HEALTHY: tuple[Patient, ...] = (
    Patient("healthy"),
    Patient("healthy", (100, 100), epochs=10),
    Patient("healthy", (150,), "sigmoid", epochs=25, fit=adam(3e-3)),
    Patient("healthy", (100,), "tanh", fit=sgd(0.02)),
    Patient("healthy", (200,), network={"dropout": 0.3}, epochs=25),
    Patient("healthy", (80, 80), "tanh", epochs=12),
    Patient("healthy", (100,), fit=adam(1e-3, weight_decay=1e-2)),
    Patient("healthy", (100, 100, 100), epochs=10),
    Patient("healthy", (100,), fit=sgd(0.05)),
    Patient("healthy", (200, 100), network={"dropout": 0.2, "input_dropout": 0.1}, epochs=25),
    Patient("healthy", (100,), fit=adam(1e-3, patience=3), epochs=40),
    Patient("healthy", (100,), "softplus", epochs=25, fit=adam(2e-3)),
)


def ward(context: Context, name: str) -> Iterator[tuple[str, Callable[[], dict]]]:
    """All patients of the data set ``name``, in a quick run the first variant of each: a key for the run's memory, and
    the work."""
    few = 1 if context.quick else None
    for sickness, variants in SICK.items():
        for k, patient in enumerate(variants[:few]):
            yield f"{name} {sickness} {k}", partial(trained, context, name, patient, context.seed + k)
    for k, patient in enumerate(HEALTHY[: 2 if context.quick else None]):
        yield f"{name} healthy {k}", partial(trained, context, name, patient, context.seed + k % 3)


def trained(context: Context, name: str, patient: Patient, seed: int) -> dict:
    """The run of ``patient`` on the data set ``name``: its history and the facts, as JSON keeps them."""
    X, y, X_held, y_held = draw(context, name, patient, seed)
    n_classes = int(y.max()) + 1
    random = Random(seed).child("doctor", name, patient.sickness)
    network = MLP(
        (X.shape[1], *patient.hidden, n_classes),
        activation=patient.activation,
        random_state=random.child("weights"),
        **patient.network,
    )
    with torch.no_grad():
        for W, b in zip(network.W[:-1], network.b[:-1], strict=True):
            W.mul_(patient.gain)
            b.fill_(patient.bias)
    coded = (lambda codes: np.eye(n_classes, dtype=np.float32)[codes]) if patient.loss == "squared" else np.asarray
    history = _history(network, (X, coded(y)), (X_held, coded(y_held)), patient, random)
    facts = data_facts(X, y, network=network, validation=(X_held, y_held))
    return {"history": history.to_dict(), "facts": facts}


def _history(network: MLP, data: Any, held: Any, patient: Patient, random: Random) -> History:
    """What training left behind, also where it diverged."""
    try:
        return fit(
            network,
            data,
            BackPropagation(patient.loss),
            epochs=patient.epochs,
            batch_size=patient.batch,
            validation=held,
            random_state=random.child("training"),
            health=True,
            **patient.fit,
        )
    except DivergenceError as error:
        return error.history  # type: ignore[no-any-return]  # the loop hands it on


# rows ----------------------------------------------------------------------------------------------------------------


def draw(context: Context, name: str, patient: Patient, seed: int) -> tuple[np.ndarray, ...]:
    """Training rows and codes, validation rows and codes of the data set ``name`` for one patient."""
    random = np.random.default_rng([seed, SETS.index(name)])
    X, y = rows(context, name, seed)
    order = random.permutation(len(X))
    held = min(HELD, len(X) // 3)
    if patient.rare:
        order = _imbalanced(order, y, patient.rare)
        held = len(order) // 3
    if patient.noise:
        wrong = random.random(len(y)) < patient.noise
        y = np.where(wrong, random.integers(0, int(y.max()) + 1, len(y)), y)
    if patient.unscaled:
        X = X * 255 if name != "table" else X * 10.0 ** np.linspace(-1, 4, X.shape[1])
    train, kept = order[:-held][: patient.rows], order[-held:]
    return X[train].astype(np.float32), y[train], X[kept].astype(np.float32), y[kept]


@lru_cache(maxsize=2)
def rows(context: Context, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All rows that patients are drawn from, scaled as they should be, and their class codes."""
    if name == "MNIST":
        full = mnist(context).full
        return full.X[:MOST], full.y[:MOST]
    if name == "USPS":
        data = load("usps")
        assert data.y is not None  # all its rows are labelled
        return (np.asarray(data.X, np.float32) + 1) / 2, np.asarray(data.y, np.int64)
    X, y = make_classification(
        12_000, 40, n_informative=12, n_redundant=10, n_classes=8, n_clusters_per_class=3, class_sep=3.3, flip_y=0.0,
        random_state=seed,
    )  # fmt: skip
    return ((X - X.mean(0)) / X.std(0)).astype(np.float32), y.astype(np.int64)


def _imbalanced(order: np.ndarray, y: np.ndarray, rare: float) -> np.ndarray:
    """Rows in the order given, as many left out, evenly, as leave all classes but the largest ``rare`` of all rows."""
    counts = np.bincount(y)
    most = int(counts.argmax())
    each = max(3, round(counts[most] * rare / (1 - rare) / (len(counts) - 1)))
    kept = []
    for k in range(len(counts)):
        own = order[y[order] == k]
        kept.append(own if k == most else own[np.linspace(0, len(own) - 1, each).astype(int)])
    return order[np.isin(order, np.concatenate(kept))]
