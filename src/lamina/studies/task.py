"""What every method of a study is given for one draw of labels: the N labels and no other.

No peeking by construction: a `Task` holds the labels of the drawn rows alone, and neither test rows nor their labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit

from lamina.models import Stack
from lamina.studies import defaults
from lamina.studies.defaults import Plan
from lamina.studies.preparation import Prepared

FOLDS = 4
ONE_SPLIT = 2000  # labels from which one held-out fifth says enough


@dataclass(frozen=True)
class Task:
    """``X`` (n, features) all training rows, scaled; ``labelled`` (N,) row numbers; ``y`` (N,) their class codes;
    ``groups`` (N,) or None; ``stack`` the layers learnt from ``X`` without labels."""

    X: Any
    labelled: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None
    n_classes: int
    stack: Stack
    plan: Plan
    seed: int
    device: str | None

    @property
    def X_labelled(self) -> np.ndarray:  # noqa: N802 - the letter of the mathematics
        """The labelled rows, (N, features)."""
        return np.asarray(self.X[self.labelled])

    @property
    def has_unlabelled(self) -> bool:
        """Whether the rows without a label outnumber those with one."""
        return len(self.X) >= 2 * len(self.labelled)

    def only(self, positions: np.ndarray, seed: int) -> Task:
        """This task with the labels at ``positions`` (among the N) alone: the others become unlabelled rows."""
        groups = None if self.groups is None else self.groups[positions]
        return Task(
            self.X,
            self.labelled[positions],
            self.y[positions],
            groups,
            self.n_classes,
            self.stack,
            self.plan,
            seed,
            self.device,
        )


def task_of(data: Prepared, rows: np.ndarray, stack: Stack, layers: Plan, seed: int, device: str | None) -> Task:
    """The task of learning from the labels at ``rows`` alone, on layers of the sizes and passes of ``layers``."""
    groups = None if data.dataset.groups is None else data.dataset.groups[rows]
    plan = defaults.plan(len(data.X), data.X.shape[1], len(rows), layers.hidden, layers.pretrain_epochs)
    return Task(data.X, rows, np.asarray(data.y)[rows], groups, data.n_classes, stack, plan, seed, device)


def folds(task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits (train, held out) of the positions 0 .. N−1: four folds, or one held-out fifth where labels are many.

    Three quarters of the labels train in each fold: what works with half of a hundred labels need not be what works
    with all of them. Fewer folds where a class has fewer labels, none where it has a single one: then nothing can be
    held out, and choices fall to the defaults. Rows of one group stay on one side; a split whose training side lacks
    a class, because one group holds all of it, is left out.
    """
    smallest = np.bincount(task.y, minlength=task.n_classes)
    smallest = smallest[smallest > 0].min()
    positions = np.arange(len(task.y))
    if smallest < 2:
        return []
    if task.groups is not None:
        n_folds = min(FOLDS, len(np.unique(task.groups)) // 2)
        if n_folds < 2:
            return []
        splitter: Any = StratifiedGroupKFold(n_folds, shuffle=True, random_state=task.seed)
        splits = splitter.split(positions, task.y, task.groups)
        n_present = len(np.unique(task.y))
        return [(a, b) for a, b in splits if len(b) and len(np.unique(task.y[a])) == n_present]
    if len(positions) >= ONE_SPLIT:
        splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=task.seed)
    else:
        splitter = StratifiedKFold(min(FOLDS, int(smallest)), shuffle=True, random_state=task.seed)
    return list(splitter.split(positions, task.y))
