"""What every method of a study is given for one draw of labels: the N labels and no other.

No peeking by construction: a `Task` holds the labels of the drawn rows alone, and neither test rows nor their labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit

from lamina.models import Stack
from lamina.studies.defaults import Plan

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


def folds(task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits (train, held out) of the positions 0 .. N−1: two halves, or one held-out fifth where labels are many.

    Empty where a class has a single label: then nothing can be held out, and choices fall to the defaults. Rows of
    one group stay on one side.
    """
    smallest = np.bincount(task.y, minlength=task.n_classes)
    smallest = smallest[smallest > 0].min()
    positions = np.arange(len(task.y))
    if smallest < 2:
        return []
    if task.groups is not None:
        if len(np.unique(task.groups)) < 4:
            return []
        splitter: Any = StratifiedGroupKFold(2, shuffle=True, random_state=task.seed)
        return list(splitter.split(positions, task.y, task.groups))
    if len(positions) >= ONE_SPLIT:
        splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=task.seed)
    else:
        splitter = StratifiedKFold(2, shuffle=True, random_state=task.seed)
    return list(splitter.split(positions, task.y))
