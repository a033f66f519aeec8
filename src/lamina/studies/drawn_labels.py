"""The labels that a study may look at: drawn here and nowhere else."""

from __future__ import annotations

import numpy as np

from lamina.core.errors import LabelError
from lamina.data import draw_labels
from lamina.studies.preparation import Prepared


def draw_rows(prepared: Prepared, labels: int | str, seed: int) -> np.ndarray:
    """Row numbers of the ``labels`` rows that may be looked at."""
    assert prepared.y is not None
    return draw_labels(prepared.y, labels, seed, prepared.dataset.groups)


def check_label_number(labels: int | str, seed: int, prepared: Prepared) -> None:
    """Raise `LabelError` where ``labels`` are fewer than the classes, or where there are none to draw."""
    if prepared.has_labels:
        if len(draw_rows(prepared, labels, seed)) < prepared.n_classes:
            raise LabelError(
                f"--labels {labels}: fewer labels than the {prepared.n_classes} classes; "
                f"expected at least one per class"
            )
    elif labels != "all":
        raise LabelError(
            f"--labels {labels} was given, but {prepared.dataset.name} has no labels: name their column with "
            f"--label, or leave --labels out to learn features"
        )
