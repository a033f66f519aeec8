"""Pictures of a comparison: for every kind of layer what its units look for, and the same rows given back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lamina.core.figures import Figure, Images
from lamina.models import Stack
from lamina.studies.pictures import filters, held_out, some_rows
from lamina.studies.preparation import Prepared

N_FILTERS = 14
N_ROWS = 14


@torch.no_grad()
def pictures_of(data: Prepared, stack: Stack, seed: int) -> dict[str, np.ndarray]:
    """Filters (n_filters, n_features) of the first layer, held-out rows and what the whole stack gives back."""
    rows = held_out(data)
    shown = np.asarray(rows[some_rows(len(rows), N_ROWS, seed)], np.float32)
    like = next(stack.parameters())
    back = stack.decode(stack.encode(torch.from_numpy(shown).to(like))).cpu().numpy()
    return {"filters": filters(stack)[:N_FILTERS], "rows": shown, "back": back.astype(np.float32)}


def compared_figures(data: Prepared, pictures: Mapping[str, Mapping[str, np.ndarray]]) -> list[Figure]:
    """Two grids, one line per kind, of the first repeat; none where rows are no grey images."""
    shape = _image_shape(data.dataset.shape)
    if shape is None:
        return []
    kinds = tuple(pictures)
    n_filters = min(len(pictures[kind]["filters"]) for kind in kinds)
    filtered = np.stack([_own_scale(pictures[kind]["filters"][:n_filters]).reshape(-1, *shape) for kind in kinds])
    rows = pictures[kinds[0]]["rows"]
    low, high = float(rows.min()), float(rows.max())
    given = [rows, *(pictures[kind]["back"] for kind in kinds)]
    rebuilt = np.stack([((one - low) / ((high - low) or 1.0)).reshape(-1, *shape) for one in given])
    return [
        Images(
            "What the units of the first layer look for",
            filtered,
            kinds,
            signed=True,
            note="The units with the largest weights, one kind per line: weights, or for sparse coding atoms. Each "
            "picture on its own scale, mid-grey is zero.",
        ),
        Images(
            "Rows given back",
            rebuilt.clip(0, 1),
            ("held-out rows", *kinds),
            note="Held-out rows on the first line; below, what each kind gives back through all its layers.",
        ),
    ]


def _own_scale(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-30)


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    return (int(shape[0]), int(shape[1])) if len(shape) == 2 and min(shape) > 1 else None
