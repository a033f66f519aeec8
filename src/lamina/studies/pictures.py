"""What the report shows of the data and of what was learnt: arrays for ``records.safetensors``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lamina.models import Stack
from lamina.studies.layers import directions, is_stochastic
from lamina.studies.preparation import Prepared
from lamina.training import encode_rows

N_EXAMPLES = 40
N_FILTERS = 100
N_SAMPLES = 40
N_MAPPED = 1500
N_MISTAKES = 24
N_INTERPOLATIONS, INTERPOLATION_STEPS = 8, 7  # pairs of rows, and pictures on the way from one to the other
SAMPLE_STEPS = 25  # layers trained by CD-1 model the neighbourhood of the rows: long chains leave it


def gather(prepared: Prepared, stack: Stack, predicted: np.ndarray | None, seed: int) -> dict[str, np.ndarray]:
    """Examples, filters, reconstructions, map of the code; samples where the layers can be sampled, else interpolations
    between rows; with predictions, confusion and mistakes."""
    arrays = examples(prepared, seed)
    arrays["filters"] = filters(stack)
    arrays |= _reconstructions(prepared, stack, seed)
    if is_stochastic(stack):
        arrays["samples"] = _samples(prepared, stack, seed)
    else:
        arrays |= _interpolations(prepared, stack, seed)
    arrays |= _code_map(prepared, stack, seed)
    if predicted is not None and prepared.y_test is not None and (prepared.y_test >= 0).any():
        arrays |= _mistakes(prepared, predicted)
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def some_rows(n: int, most: int, seed: int) -> np.ndarray:
    """Numbers of at most ``most`` of ``n`` rows, drawn by ``seed``, in order."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def examples(prepared: Prepared, seed: int) -> dict[str, np.ndarray]:
    """Training rows to show, and their class codes (−1 for none)."""
    rows = some_rows(len(prepared.X), N_EXAMPLES, seed)
    labels = np.full(len(rows), -1) if prepared.y is None else prepared.y[rows]
    return {"examples": np.asarray(prepared.X[rows], np.float32), "example_labels": labels.astype(np.int64)}


def filters(stack: Stack) -> np.ndarray:
    """Weights of the first layer's units with the largest norms, or their atoms, (k, n_features)."""
    W = directions(stack[0]).cpu()
    strongest = torch.argsort(W.norm(dim=0), descending=True)[:N_FILTERS]
    return W[:, strongest].T.numpy().astype(np.float32)


def held_out(prepared: Prepared) -> Any:
    """The test rows; the training rows where there are none."""
    return prepared.X if prepared.X_test is None or not len(prepared.X_test) else prepared.X_test


@torch.no_grad()
def _reconstructions(prepared: Prepared, stack: Stack, seed: int) -> dict[str, np.ndarray]:
    rows = held_out(prepared)
    shown = np.asarray(rows[some_rows(len(rows), 20, seed)], np.float32)
    like = next(stack.parameters())
    back = stack.decode(stack.encode(torch.from_numpy(shown).to(like))).cpu().numpy()
    return {"reconstruction_input": shown, "reconstruction_output": back.astype(np.float32)}


@torch.no_grad()
def _samples(prepared: Prepared, stack: Stack, seed: int) -> np.ndarray:
    """Draws from the stack: Gibbs sampling in the top layer begun at training rows, then means downward."""
    like = next(stack.parameters())
    start = torch.from_numpy(np.asarray(prepared.X[some_rows(len(prepared.X), N_SAMPLES, seed + 1)])).to(like)
    return stack.sample(len(start), steps=SAMPLE_STEPS, random_state=seed, start=start).cpu().numpy().astype(np.float32)


@torch.no_grad()
def _interpolations(prepared: Prepared, stack: Stack, seed: int) -> dict[str, np.ndarray]:
    """What lies between pairs of held-out rows: straight lines between their top codes, decoded.

    (n_pairs, 2 + steps, n_features): the first row, the decoded line from its code to the other's, the second row.
    Partners are of other classes where labels are known, since what lies between equals says little.
    """
    rows = held_out(prepared)
    labels = prepared.y if rows is prepared.X else prepared.y_test
    pairs = _pairs(len(rows), labels, seed)
    if not len(pairs):
        return {}
    like = next(stack.parameters())
    ends = np.asarray(rows[np.unique(pairs)], np.float32)
    place = {int(row): k for k, row in enumerate(np.unique(pairs))}
    codes = stack.encode(torch.from_numpy(ends).to(like))
    first, last = ([place[int(row)] for row in pairs[:, side]] for side in (0, 1))
    share = torch.linspace(0, 1, INTERPOLATION_STEPS, dtype=codes.dtype, device=codes.device)[None, :, None]
    between = stack.decode(codes[first][:, None] * (1 - share) + codes[last][:, None] * share).cpu().numpy()
    whole = np.concatenate([ends[first][:, None], between, ends[last][:, None]], axis=1)
    return {"interpolations": whole.astype(np.float32)}


def _pairs(n: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
    """Row numbers (k, 2) of at most `N_INTERPOLATIONS` pairs, no row twice, classes apart where they are known."""
    order = np.random.default_rng(seed + 2).permutation(n)[: 4 * N_INTERPOLATIONS].tolist()
    pairs: list[tuple[int, int]] = []
    while len(order) > 1 and len(pairs) < N_INTERPOLATIONS:
        one = order.pop(0)
        apart = [k for k, row in enumerate(order) if labels is None or labels[row] != labels[one]]
        pairs.append((one, order.pop(apart[0] if apart else 0)))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _code_map(prepared: Prepared, stack: Stack, seed: int) -> dict[str, np.ndarray]:
    """Two-dimensional map (t-SNE) of the top code of held-out rows, and their labels for the colours."""
    from sklearn.manifold import TSNE

    rows = held_out(prepared)
    labels = prepared.y if rows is prepared.X else prepared.y_test
    chosen = some_rows(len(rows), N_MAPPED, seed)
    if len(chosen) < 10:
        return {}
    like = next(stack.parameters())
    codes = encode_rows(lambda x: stack.encode(x.to(like)), np.asarray(rows[chosen]), stack.n_hidden).cpu().numpy()
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    start = "pca" if codes.shape[1] > 1 and codes.std() > 0 else "random"  # nothing to rotate in one direction
    flat = TSNE(2, perplexity=perplexity, init=start, random_state=seed, max_iter=500).fit_transform(codes)
    shown = np.full(len(chosen), -1) if labels is None else labels[chosen]
    return {"code_2d": flat.astype(np.float32), "code_labels": shown.astype(np.int64)}


def _mistakes(prepared: Prepared, predicted: np.ndarray) -> dict[str, np.ndarray]:
    from lamina.metrics import confusion_matrix

    assert prepared.y_test is not None
    known = np.flatnonzero(prepared.y_test >= 0)
    true, guess = prepared.y_test[known], predicted[known]
    wrong = known[true != guess][:N_MISTAKES]
    arrays = {"confusion": confusion_matrix(true, guess, prepared.n_classes)}
    if len(wrong):
        arrays["mistakes"] = np.asarray(prepared.X_test[wrong], np.float32)
        arrays["mistake_true"] = prepared.y_test[wrong].astype(np.int64)
        arrays["mistake_predicted"] = predicted[wrong].astype(np.int64)
    return arrays
