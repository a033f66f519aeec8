"""The baselines that a sceptic asks for: same labels, each with its settings chosen on those labels alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from lamina.core.random import Random
from lamina.metrics import error_rate
from lamina.models import MLP
from lamina.models.networks import FeatureClassifier
from lamina.studies.task import Task, folds
from lamina.training import falling, fine_tune

CHOOSE_AMONG = 5000  # labelled rows that a choice of settings looks at: more would cost hours and change nothing
SVM_ROWS = 20_000  # an RBF-SVM's time grows with the square of its rows


def logistic_regression(task: Task) -> Any:
    """Logistic regression on the raw input; C from five values."""

    def make(C: float, n_rows: int) -> Any:
        return LogisticRegression(C=C, max_iter=200)

    return _best_of([partial(make, C) for C in (0.001, 0.01, 0.1, 1.0, 10.0)], task, default=2)


def pca_svm(task: Task) -> Any:
    """PCA to at most 50 directions, standardised together, and an RBF-SVM; C from three values."""

    def make(C: float, n_rows: int) -> Any:
        width = max(1, min(50, n_rows // 2, task.X.shape[1]))
        return make_pipeline(PCA(width, random_state=task.seed), _CommonScale(), SVC(C=C))

    return _best_of([partial(make, C) for C in (1.0, 10.0, 100.0)], task, default=1, most_rows=SVM_ROWS)


class _CommonScale(StandardScaler):
    """Divides all columns by one number, so that PCA's directions keep their relative lengths."""

    def fit(self, X: np.ndarray, y: Any = None, sample_weight: Any = None) -> _CommonScale:
        super().fit(X, y)
        self.scale_ = np.full(X.shape[1], max(float(np.sqrt(X.var(0).mean())), 1e-12))
        return self


def _best_of(makers: list[Callable[[int], Any]], task: Task, default: int, most_rows: int | None = None) -> Any:
    """The estimator with the lowest held-out error on the labelled rows, fitted to all of them.

    A maker is told the number of rows that its estimator will be fitted to.
    """
    X, y = task.X_labelled, task.y
    if most_rows is not None and len(y) > most_rows:
        chosen = np.random.default_rng(task.seed).permutation(len(y))[:most_rows]
        X, y = X[chosen], y[chosen]
    errors = [0.0 if k == default else 1e-12 for k in range(len(makers))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 iterations are part of the baseline's definition
        for train, held_out in folds(task):
            train, held_out = train[:CHOOSE_AMONG], held_out[:CHOOSE_AMONG]
            for k, make in enumerate(makers):
                fitted = make(len(train)).fit(task.X_labelled[train], task.y[train])
                errors[k] += error_rate(task.y[held_out], fitted.predict(task.X_labelled[held_out]))
        return makers[int(np.argmin(errors))](len(y)).fit(X, y)


# Settings for the network without pre-training: as many as Lamina tries for its own fine-tuning.
NETWORK_CANDIDATES = (
    {"dropout": 0.5, "input_dropout": 0.2, "learning_rate": 1e-3},
    {"dropout": 0.2, "input_dropout": 0.1, "learning_rate": 1e-3},
    {"dropout": 0.5, "input_dropout": 0.2, "learning_rate": 3e-4},
)


def network_without_pretraining(task: Task) -> tuple[MLP, dict]:
    """The same layer sizes from random weights: ReLU, He initial values, dropout, Adam; settings chosen by held-out
    error among `NETWORK_CANDIDATES`. Returns the network and what was chosen."""
    errors = [0.0, 1e-12, 2e-12]
    for fold, (train, held_out) in enumerate(folds(task)):
        part = task.only(train, task.seed + 1 + fold)
        for k, settings in enumerate(NETWORK_CANDIDATES):
            network = _train_from_scratch(part, settings, trial_steps(task))
            predicted = predict_codes(network, task.X_labelled[held_out])
            errors[k] += error_rate(task.y[held_out], predicted)
    chosen = NETWORK_CANDIDATES[int(np.argmin(errors))]
    return _train_from_scratch(task, chosen, task.plan.supervised_steps), dict(chosen)


def trial_steps(task: Task) -> int:
    """Steps of supervised training that a choice of settings takes: a fifth, but enough to tell settings apart."""
    return min(task.plan.supervised_steps, max(task.plan.trial_steps, task.plan.supervised_steps // 5))


def _train_from_scratch(task: Task, settings: dict, steps: int) -> MLP:
    random = Random(task.seed).child("without pre-training")
    sizes = (task.X.shape[1], *task.plan.hidden, task.n_classes)
    network = MLP(
        sizes, dropout=settings["dropout"], input_dropout=settings["input_dropout"], random_state=random.child("init")
    )
    epochs = epochs_for(steps, len(task.y), task.plan.batch_size)
    fine_tune(
        network,
        task.X_labelled,
        task.y,
        epochs=epochs,
        batch_size=task.plan.batch_size,
        learning_rate=falling(settings["learning_rate"], epochs),
        random_state=random,
        device=task.device,
    )
    return network


def epochs_for(steps: int, n_rows: int, batch_size: int) -> int:
    """Passes over ``n_rows`` that make at least ``steps`` steps."""
    return max(1, round(steps / -(-n_rows // batch_size)))


def predict_codes(network: MLP | FeatureClassifier, X: Any) -> np.ndarray:
    """Class codes (n,) that ``network`` gives the rows ``X``, dropout off."""
    from lamina.training import encode_rows

    like = next(network.parameters())
    outputs = encode_rows(lambda x: network(x.to(like)), X, network.n_out)
    return np.asarray(outputs.cpu().numpy().argmax(1) if hasattr(outputs, "cpu") else outputs.argmax(1))
