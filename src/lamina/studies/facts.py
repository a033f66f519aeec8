"""What rows and labels say of themselves before anything is learnt: the facts that curves cannot show.

=================== ================================================================================================
fact                what
=================== ================================================================================================
n_rows              labelled training rows
n_unlabelled        training rows without a label
class_counts        labelled rows of each class
recall              share of the validation rows of each class that the network got right; None without such rows
nearest error       share of rows whose nearest other row has another label (1 nearest neighbour, leave-one-out)
linear error        error of the linear classifier by least squares, leave-one-out
contradictions      share of other labels among the rows whose neighbours agree best: see `contradictions`
held-out error      error on rows held out from a similar run, where a run has no validation rows of its own
labels              the number of labels asked for, or "all"
=================== ================================================================================================

Everything is computed on at most `MOST` rows: about half a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.checks import check_matrix
from lamina.core.errors import LabelError

MOST = 2000  # rows: distances cost their square
NEIGHBOURS = (3, 10)  # at least and at most: a tenth of the rows of a class
BEST = 0.5  # share of rows, those with the most agreeing neighbours, among which contradictions are counted
RIDGE = 0.03  # of the mean variance: keeps the least squares of redundant columns solvable


def data_facts(
    X: Any, y: Any, *, n_unlabelled: int = 0, network: Any = None, validation: tuple[Any, Any] | None = None
) -> dict[str, Any]:
    """Facts of labelled rows ``X`` (n, features) with class codes ``y`` (n,), 0 and up, as JSON keeps them.

    With ``network`` (a model that gives outputs before the softmax) and ``validation`` = (rows, codes), the recall of
    every class too. Raises `DataError` and `LabelError` for rows and labels that cannot be looked at.
    """
    X, y = np.asarray(X), np.asarray(y)
    check_matrix(X, rows_at_least=2)
    if y.shape != (len(X),) or y.dtype.kind not in "iu" or y.min() < 0:
        raise LabelError(f"labels have shape {y.shape} and type {y.dtype}; expected {len(X)} whole numbers from 0 on")
    few = np.linspace(0, len(X) - 1, min(MOST, len(X))).astype(int)
    rows, codes = torch.from_numpy(np.asarray(X[few], np.float64)), torch.from_numpy(y[few].astype(np.int64))
    near = neighbour_labels(rows, codes)
    found: dict[str, Any] = {
        "n_rows": len(X),
        "n_unlabelled": int(n_unlabelled),
        "class_counts": np.bincount(y).tolist(),
        "nearest error": float((near[:, 0] != codes).double().mean()),
        "linear error": linear_error(rows, codes),
        "contradictions": contradictions(near, codes),
    }
    if network is not None and validation is not None:
        found["recall"] = recall_per_class(network, *validation, n_classes=len(found["class_counts"]))
    return found


@torch.no_grad()
def neighbour_labels(X: Tensor, y: Tensor) -> Tensor:
    """Labels (n, k) of the k nearest other rows, the nearest first; k is a tenth of the rows of a class, within
    `NEIGHBOURS`."""
    distances = torch.cdist(X, X)
    distances.fill_diagonal_(float("inf"))
    k = min(max(NEIGHBOURS[0], len(X) // (10 * len(y.unique()))), NEIGHBOURS[1], len(X) - 1)
    return y[distances.topk(k, largest=False).indices]


def contradictions(near: Tensor, y: Tensor) -> float:
    """Share of rows that carry another label than most of their neighbours, among the `BEST` share of rows whose
    neighbours agree most.

    Where classes merely overlap, neighbours disagree near the border and agree away from it, and there so does the row
    itself. Wrong labels are everywhere: among neighbours that agree, the row's own label is wrong as often as labels
    are. ``near`` (n, k) are the neighbours' labels, ``y`` (n,) the rows' own.
    """
    counts = torch.nn.functional.one_hot(near, int(max(near.max(), y.max())) + 1).sum(1)
    most, winner = counts.max(1)
    best = most.argsort(descending=True, stable=True)[: max(1, int(BEST * len(y)))]
    return float((winner[best] != y[best]).double().mean())


@torch.no_grad()
def linear_error(X: Tensor, y: Tensor) -> float:
    """Leave-one-out error of least squares on indicators of the classes, e_i = (y_i − ŷ_i)/(1 − h_ii)."""
    n = len(X)
    centred = X - X.mean(0)
    scale = float(centred.square().mean().sqrt()) or 1.0
    A = torch.cat([centred / scale, torch.ones(n, 1, dtype=X.dtype)], 1)
    gram = A.T @ A
    gram.diagonal().add_(RIDGE * n)
    hat = A @ torch.linalg.solve(gram, A.T)
    target = torch.nn.functional.one_hot(y).to(X.dtype)
    left_out = target - (target - hat @ target) / (1 - hat.diagonal()).clamp(min=1e-9)[:, None]
    return float((left_out.argmax(1) != y).double().mean())


@torch.no_grad()
def recall_per_class(network: Any, X: Any, y: Any, n_classes: int) -> list[float | None]:
    """Share of the rows of each class that ``network`` gets right; None for a class without rows."""
    like = next(network.parameters())
    rows = torch.as_tensor(np.asarray(X)).to(like)
    right = torch.cat([network(part).argmax(1) for part in rows.split(4096)]).cpu().numpy() == np.asarray(y)
    return [float(right[y == k].mean()) if (np.asarray(y) == k).any() else None for k in range(n_classes)]
