"""The three training protocols of the field, and the ways to use rows without labels, on one draw of labels.

=================== =============================================================================================
protocol            what it does
=================== =============================================================================================
frozen              unsupervised layers stay as they are; a softmax head is fitted to their top code
fine-tuned          unsupervised layers and head are trained whole, in one of three ways chosen on the N labels:
                    *supervised* (back-propagation on labelled rows, dropout), *label spreading* (labels spread over
                    a neighbour graph of codes, then all rows that got one), *adversarial* (rectified units that
                    start at the layers' filters, virtual adversarial training on all rows)
from scratch        the baseline `lamina.studies.baselines.network_without_pretraining`
=================== =============================================================================================

Layers that are no perceptron (sparse coding) cannot be trained whole: every way then starts rectified units in the
directions of their atoms (`lamina.studies.layers.rectified`), while the frozen protocol keeps the codes themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamina.core.random import Random
from lamina.metrics import error_rate
from lamina.models import MLP
from lamina.models.convert import classifier
from lamina.models.networks import FeatureClassifier
from lamina.studies.baselines import epochs_for, predict_codes, trial_steps
from lamina.studies.layers import is_perceptron, perceptron, rectified
from lamina.studies.task import Task, folds
from lamina.training import History, adversarial_radius, encode_rows, falling, fine_tune, train_head

WAYS = ("adversarial", "label spreading", "supervised")
HEAD_DECAYS = (1e-5, 1e-4, 1e-3, 1e-2)
SPREAD_ROWS = 10_000  # rows in the neighbour graph: its time grows with their square
NEIGHBOURS = 7
LOOKS = 12  # looks inside the network as it is fine-tuned, for the doctor: few beside the steps
DROPOUT = {"dropout": 0.3, "input_dropout": 0.2}  # supervised fine-tuning of pre-trained layers


def codes_of(task: Task) -> Any:
    """Top-layer means of all training rows, (n, n_top)."""
    like = next(task.stack.parameters())
    return encode_rows(lambda x: task.stack.encode(x.to(like)), task.X, task.stack.n_hidden)


# frozen -------------------------------------------------------------------------------------------------------------


def frozen_features(task: Task) -> tuple[MLP | FeatureClassifier, dict]:
    """A softmax head on the frozen top code, its weight decay chosen by held-out error."""
    return _on_perceptron(task) if is_perceptron(task.stack) else _on_codes(task)


def _on_perceptron(task: Task) -> tuple[MLP, dict]:
    def wrong(part: Task, train: np.ndarray, held_out: np.ndarray, decay: float) -> float:
        network = _with_head(part, decay)
        return error_rate(task.y[held_out], predict_codes(network, task.X_labelled[held_out]))

    decay = _choose_decay(task, wrong)
    return _with_head(task, decay), {"weight_decay": decay}


def _on_codes(task: Task) -> tuple[FeatureClassifier, dict]:
    """Codes that cost a search are computed once, for all folds and decays."""
    codes = _encoded(task, task.X_labelled)

    def wrong(part: Task, train: np.ndarray, held_out: np.ndarray, decay: float) -> float:
        head = _head(part, codes[train], decay)
        return error_rate(task.y[held_out], predict_codes(head, codes[held_out].cpu().numpy()))

    decay = _choose_decay(task, wrong)
    return FeatureClassifier(task.stack, _head(task, codes, decay)), {"weight_decay": decay}


def _choose_decay(task: Task, wrong: Callable[[Task, np.ndarray, np.ndarray, float], float]) -> float:
    """The decay with the least held-out error, ``wrong(part, train, held_out, decay)`` summed over the folds."""
    errors = [1e-12 * abs(k - 2) for k in range(len(HEAD_DECAYS))]
    for fold, (train, held_out) in enumerate(folds(task)):
        part = task.only(train, task.seed + 1 + fold)
        for k, decay in enumerate(HEAD_DECAYS):
            errors[k] += wrong(part, train, held_out, decay)
    return HEAD_DECAYS[int(np.argmin(errors))]


def _encoded(task: Task, X: np.ndarray) -> torch.Tensor:
    like = next(task.stack.parameters())
    return encode_rows(lambda x: task.stack.encode(x.to(like)), torch.from_numpy(X), task.stack.n_hidden)


def _head(task: Task, codes: torch.Tensor, decay: float) -> MLP:
    """A softmax head on ``codes`` of the task's labelled rows."""
    head = MLP((task.stack.n_hidden, task.n_classes), activation="identity")
    with torch.no_grad():
        head.W[0].zero_()
    train_head(head, codes, task.y, weight_decay=decay, random_state=Random(task.seed).child("head"))
    return head


def _with_head(task: Task, decay: float) -> MLP:
    network = classifier(task.stack, task.n_classes)
    head = _head(task, _encoded(task, task.X_labelled), decay)
    with torch.no_grad():
        network.W[-1].copy_(head.W[0])
        network.b[-1].copy_(head.b[0])
    return network


# fine-tuned ---------------------------------------------------------------------------------------------------------


def candidates(task: Task) -> list[str]:
    """Ways to fine-tune that make sense for this task, the one preferred at equal held-out error first."""
    return list(WAYS) if task.has_unlabelled else ["adversarial", "supervised"]


def choose_fine_tuning(task: Task) -> tuple[str, list[dict]]:
    """The way to fine-tune, by held-out error on the N labels after short trials, and what each gave.

    The preferred way is taken unless another's error is lower by more than one standard error of the preferred one's
    (the one-standard-error rule of Breiman et al. 1984): fifty held-out rows cannot tell 16 % from 17 %.
    """
    names = candidates(task)
    if len(names) == 1:
        return names[0], []
    wrong = dict.fromkeys(names, 0)
    asked = 0
    for fold, (train, held_out) in enumerate(folds(task)):
        part = task.only(train, task.seed + 1 + fold)
        asked += len(held_out)
        for name in names:
            network, _ = fine_tuned(part, name, trial=True)
            predicted = predict_codes(network, task.X_labelled[held_out])
            wrong[name] += int((predicted != task.y[held_out]).sum())
    chosen = within_one_standard_error(wrong, asked)
    shown = [{"name": n, "cv_error": wrong[n] / asked if asked else None, "chosen": n == chosen} for n in names]
    return chosen, shown


def within_one_standard_error(wrong: dict[str, int], asked: int) -> str:
    """The first name of ``wrong`` (counts among ``asked`` rows) unless the best is better by over a standard error."""
    preferred = next(iter(wrong))
    best = min(wrong, key=lambda name: wrong[name])
    share = wrong[preferred] / max(1, asked)
    margin = float(np.sqrt(share * (1 - share) * asked))
    return best if wrong[preferred] - wrong[best] > margin else preferred


def fine_tuned(
    task: Task, way: str, *, trial: bool = False, checkpoint: Path | None = None, callbacks: Any = ()
) -> tuple[MLP, History]:
    """The stack with a softmax head, trained whole in one of the three ways; ``trial`` takes fewer steps, and does not
    look at the health of the layers."""
    random = Random(task.seed).child("fine-tuning", way)
    common: dict[str, Any] = {
        "random_state": random,
        "device": task.device,
        "checkpoint": checkpoint,
        "callbacks": callbacks,
        "batch_size": task.plan.batch_size,
    }
    X, y = task.X_labelled, task.y
    if way == "adversarial":
        network = rectified(task.stack, task.n_classes, random)
        # A trial's share: as much computing as the other ways' trials take.
        steps = task.plan.adversarial_steps // ((6 if task.has_unlabelled else 3) if trial else 1)
        common["batch_size"] = task.plan.adversarial_batch
        epochs = epochs_for(steps, len(task.X), task.plan.adversarial_batch)
        history = fine_tune(
            network,
            X,
            y,
            task.X,
            method="adversarial",
            epochs=epochs,
            learning_rate=falling(2e-3, epochs),
            radius=adversarial_radius(task.X, random),
            health=_looks(epochs, trial),
            **common,
        )
        return network, history
    network = perceptron(task.stack, task.n_classes, random)
    network.dropout, network.input_dropout = DROPOUT["dropout"], DROPOUT["input_dropout"]
    steps = trial_steps(task) if trial else task.plan.supervised_steps
    if way == "label spreading":
        X, y = spread_labels(task, SPREAD_ROWS // 2 if trial else SPREAD_ROWS)
    epochs = epochs_for(steps, len(y), task.plan.batch_size)
    rate = falling(1e-3, epochs)
    history = fine_tune(network, X, y, epochs=epochs, learning_rate=rate, health=_looks(epochs, trial), **common)
    return network, history


def _looks(epochs: int, trial: bool) -> int:
    """Epochs between looks inside the network: about `LOOKS` of them in all."""
    return 0 if trial else max(1, epochs // LOOKS)


def spread_labels(task: Task, most: int = SPREAD_ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Rows and the labels that reach them over the neighbour graph of their codes (Zhou et al. 2004).

    At most ``most`` rows, the labelled ones among them; rows that no label reaches are left out.
    """
    from sklearn.semi_supervised import LabelSpreading

    others = np.setdiff1d(np.arange(len(task.X)), task.labelled)
    few = np.random.default_rng(task.seed).permutation(others)[: max(0, most - len(task.labelled))]
    rows = np.concatenate([task.labelled, np.sort(few)])
    X = np.asarray(task.X[rows])
    like = next(task.stack.parameters())
    codes = encode_rows(lambda x: task.stack.encode(x.to(like)), X, task.stack.n_hidden).cpu().numpy()
    known = np.concatenate([task.y, np.full(len(few), -1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows in a component without any label: left out below
        spreading = LabelSpreading(kernel="knn", n_neighbors=min(NEIGHBOURS, len(rows) - 1), max_iter=30)
        spreading.fit(codes, known)
    reached = np.isfinite(spreading.label_distributions_).all(1) & (spreading.label_distributions_.sum(1) > 0)
    labels = spreading.transduction_.astype(np.int64)
    labels[: len(task.y)] = task.y  # a given label stays, whatever its neighbours say
    reached[: len(task.y)] = True
    return X[reached], labels[reached]
