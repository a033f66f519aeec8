"""Five learners, each a function from rows and classes to what it has learnt: answers, and a picture per class.

Rows are (n, 64) grey values in [0, 1], float32; classes 0 to 9. Every function is the whole of its rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from lamina.core.random import Random
from lamina.inference import free_running
from lamina.metrics import majority_labels
from lamina.models.energy import ClassificationRBM
from lamina.models.maps import CompetitiveLayer, HebbianLayer
from lamina.models.networks import Perceptron
from lamina.training import (
    CompetitiveLearning,
    ContrastiveDivergence,
    PerceptronRule,
    Sanger,
    centre_on,
    falling,
    fit,
    prototypes_from_rows,
)

N_CLASSES = 10
PROTOTYPES, N_HIDDEN, BATCH = 60, 100, 20
PASSES = {"error-correction": 15, "competitive": 30, "boltzmann": 30, "sanger": 60}
STEPS = 2000  # of the Boltzmann machine, at least
GIBBS = 200  # steps to what it draws


@dataclass(frozen=True)
class Learnt:
    """``answer(X)`` gives classes (n,), ``pictures()`` (10, 64) what stands for each class in the rule's eyes."""

    answer: Callable[[np.ndarray], np.ndarray]
    pictures: Callable[[], np.ndarray]


def error_correction(X: np.ndarray, y: np.ndarray, seed: int, share: float = 1.0) -> Learnt:
    """Rosenblatt's perceptron, one row at a time; the weights of the pass with the fewest errors on these rows."""
    network = Perceptron(X.shape[1], N_CLASSES)
    passes = _passes("error-correction", share)
    fit(
        network,
        (X, y),
        PerceptronRule(),
        epochs=passes,
        batch_size=1,
        learning_rate=1.0,
        validation=(X, y),
        patience=passes,
        random_state=Random(seed).child("error-correction"),
    )
    return Learnt(lambda rows: network.predict(_tensor(rows)).numpy(), lambda: network.W.detach().numpy().T)


def memory_based(X: np.ndarray, y: np.ndarray, seed: int, share: float = 1.0) -> Learnt:
    """All rows are kept; the nearest one answers. Its picture of a class: the first row of it."""
    memory = KNeighborsClassifier(1).fit(X, y)
    firsts = [X[y == k][0] if (y == k).any() else X[0] for k in range(N_CLASSES)]
    return Learnt(memory.predict, lambda: np.stack(firsts))


def hebbian(X: np.ndarray, y: np.ndarray, seed: int, share: float = 1.0) -> Learnt:
    """One look at every row: Δw_k = (x − mean) t_k with the output held at t, 1 for its class, less its mean.

    The unit with the largest (x − mean) · w_k answers. No row is ever asked whether its answer was right.
    """
    mean = X.mean(0)
    targets = np.eye(N_CLASSES, dtype=X.dtype)[y]
    weights = (X - mean).T @ (targets - targets.mean(0)) / len(X)
    return Learnt(lambda rows: ((rows - mean) @ weights).argmax(1), lambda: weights.T)


def competitive(X: np.ndarray, y: np.ndarray, seed: int, share: float = 1.0) -> Learnt:
    """Prototypes learn without classes; afterwards each is named after the class that it wins most often."""
    units = min(PROTOTYPES, len(X) // 2)
    layer = prototypes_from_rows(CompetitiveLayer(X.shape[1], units), X, seed)
    passes = _passes("competitive", share)
    fit(
        layer,
        X,
        CompetitiveLearning("conscience"),
        epochs=passes,
        batch_size=10,
        learning_rate=falling(0.3, passes, hold=0.2),
        random_state=Random(seed).child("competitive"),
    )
    winners = layer.winners(_tensor(X)).numpy()
    names = majority_labels(winners, y, units, N_CLASSES)
    named = np.flatnonzero(names >= 0)
    weights = layer.weights.detach()[torch.from_numpy(named)]
    most = np.bincount(winners, minlength=units)

    def answer(rows: np.ndarray) -> np.ndarray:
        return names[named[torch.cdist(_tensor(rows), weights).argmin(1).numpy()]]

    found = layer.weights.detach().numpy()
    best = [int(np.argmax(np.where(names == k, most, -1))) for k in range(N_CLASSES)]  # the busiest of each class
    return Learnt(answer, lambda: found[best])


def boltzmann(X: np.ndarray, y: np.ndarray, seed: int, share: float = 1.0) -> Learnt:
    """A restricted Boltzmann machine of pixels and class: correlations in the data minus those of its own fantasies.

    Learnt by one step of contrastive divergence; answers the most probable class. Its picture: what it draws with the
    class held.
    """
    machine = ClassificationRBM(X.shape[1], N_CLASSES, N_HIDDEN)
    shares = torch.from_numpy((np.bincount(y, minlength=N_CLASSES) + 1.0) / (len(y) + N_CLASSES))
    machine.initialise(seed, torch.from_numpy(X.mean(0)), shares, scale=0.02)
    passes = max(_passes("boltzmann", share), round(share * STEPS / max(1, len(X) // BATCH)))
    fit(
        machine.as_rbm(),
        machine.join(_tensor(X), torch.from_numpy(y)),
        ContrastiveDivergence(1),
        epochs=passes,
        batch_size=BATCH,
        learning_rate=falling(1e-2, passes),
        optimiser="adam",
        random_state=Random(seed).child("boltzmann"),
    )

    def answer(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return machine.log_p_y_from_v(_tensor(rows)).argmax(1).numpy()

    return Learnt(answer, lambda: np.stack([_fantasy(machine, k, seed) for k in range(N_CLASSES)]))


def _fantasy(machine: ClassificationRBM, k: int, seed: int) -> np.ndarray:
    """Pixel means of one chain of `GIBBS` steps with class ``k`` held."""
    given = machine.given_class(k)
    random = Random(seed).child("fantasy", k)
    v = free_running(given, 1, GIBBS, random)
    return given.mean_v_from_h(given.sample_h_from_v(v, random)).detach().numpy()[0]


def sanger(X: np.ndarray, n: int, seed: int, share: float = 1.0) -> np.ndarray:
    """Hebb's rule without a teacher, kept in bounds: ``n`` principal components (n, 64), in order."""
    layer = centre_on(HebbianLayer(X.shape[1], n, random_state=seed), X)
    passes = _passes("sanger", share)
    rate = 0.1 / float(X.var(0).sum())
    fit(
        layer,
        X,
        Sanger(),
        epochs=passes,
        batch_size=10,
        learning_rate=falling(rate, passes, hold=0.3),
        random_state=Random(seed).child("sanger"),
    )
    return layer.W.detach().numpy().T


RULES: dict[str, Callable[..., Learnt]] = {
    "error-correction": error_correction,
    "memory-based": memory_based,
    "Hebbian": hebbian,
    "competitive": competitive,
    "Boltzmann": boltzmann,
}


def quick_rules(share: float) -> dict[str, Callable[..., Learnt]]:
    """The same with only this share of the passes."""
    return {name: partial(rule, share=share) for name, rule in RULES.items()}


def _passes(name: str, share: float) -> int:
    return max(1, round(PASSES[name] * share))


def _tensor(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows))
