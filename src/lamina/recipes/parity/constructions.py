"""Networks that compute parity exactly, weights set by hand: with as few units as four ways of thinking need.

Parity of bits x is 1 where an odd number of them is 1. With s = Σ x_i and rectified units (docs/mathematics.md, 201):

=========== ================= ============ ==============================================================
name        hidden units      layers       idea
=========== ================= ============ ==============================================================
`minterms`  2^(d−1)           1            a unit for each odd pattern p: [x = p] = max(0, 1 − Hamming(x, p))
`counting`  d                 1            a zigzag over s: a kink after every whole number
`xor_tree`  2(d − 1)          ⌈log₂ d⌉     XOR of pairs, |a − b| = max(0, a − b) + max(0, b − a), then of pairs of those
`folds`     2⌈log₂ d⌉         ⌈log₂ d⌉     s ↦ |s − 2^k| keeps the parity and halves the range, again and again
=========== ================= ============ ==============================================================

Each gives an `MLP` with one output, 0 or 1 to the last bit on all 2^d rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.models import MLP


def all_rows(d: int) -> np.ndarray:
    """All patterns of ``d`` bits, (2^d, d) float32."""
    codes = np.arange(1 << d)
    return ((codes[:, None] >> np.arange(d)) & 1).astype(np.float32)


def parity(rows: np.ndarray) -> np.ndarray:
    """1 where an odd number of bits is 1: (n, d) → (n,) int64."""
    return rows.sum(1).astype(np.int64) % 2


def minterms(d: int) -> MLP:
    """One hidden layer of 2^(d−1) units, each of which knows one odd pattern by heart."""
    rows = all_rows(d)
    odd = torch.from_numpy(rows[parity(rows) == 1]).double()
    return network([(2 * odd.T - 1, 1 - odd.sum(1)), (torch.ones(len(odd), 1), torch.zeros(1))])


def counting(d: int) -> MLP:
    """One hidden layer of d units max(0, s − k), k = 0 … d − 1, weighed 1, −2, 2, −2, ..."""
    slopes = torch.tensor([[1.0], *([-2.0 * (-1) ** k] for k in range(d - 1))])
    return network([(torch.ones(d, d), -torch.arange(d)), (slopes, torch.zeros(1))])


def xor_tree(d: int) -> MLP:
    """2(d − 1) units, and one for each bit that has to wait a layer for its partner."""
    layers, read = [], torch.eye(d)  # read: how the next layer takes each of its bits from the values below
    while read.shape[1] > 1:
        n_pairs, left = divmod(read.shape[1], 2)
        first, second = read[:, : 2 * n_pairs : 2], read[:, 1 : 2 * n_pairs : 2]
        columns = torch.cat([first - second, second - first, read[:, 2 * n_pairs :]], 1)
        layers.append((columns, torch.zeros(columns.shape[1])))
        read = torch.zeros(columns.shape[1], n_pairs + left)
        for k in range(n_pairs):
            read[k, k] = read[n_pairs + k, k] = 1
        if left:
            read[-1, -1] = 1
    return network([*layers, (read, torch.zeros(1))])


def folds(d: int) -> MLP:
    """Two units per layer: |s − 2^k| as max(0, s − 2^k) + max(0, 2^k − s); the last fold, around 1, turns 0 and 1."""
    depth = math.ceil(math.log2(d))
    layers, read = [], torch.ones(d, 1)
    for k in reversed(range(depth)):
        layers.append((torch.cat([read, -read], 1), torch.tensor([-1.0, 1.0]) * 2**k))
        read = torch.ones(2, 1)
    return network([*layers, (-read, torch.ones(1))])


CONSTRUCTIONS: dict[str, Callable[[int], MLP]] = {
    "one layer, a unit per odd pattern": minterms,
    "one layer, counting": counting,
    "tree of XORs": xor_tree,
    "folding": folds,
}


@torch.no_grad()
def network(layers: list[tuple[Tensor, Tensor]]) -> MLP:
    """A perceptron of rectified units, float64, with these weights (n_in, n_out) and biases (n_out,)."""
    if len(layers) < 2:
        raise SettingError("parity of one bit needs no network; expected at least 2 bits")
    sizes = [len(layers[0][0]), *(W.shape[1] for W, _ in layers)]
    made = MLP(sizes, dtype=torch.float64)
    for k, (W, b) in enumerate(layers):
        made.W[k].copy_(W)
        made.b[k].copy_(b)
    return made


def n_hidden(made: MLP) -> int:
    """Hidden units of all layers."""
    return sum(made.sizes[1:-1])


@torch.no_grad()
def wrong(made: MLP, d: int) -> int:
    """On how many of the 2^d rows the output is not the parity exactly."""
    rows = all_rows(d)
    outputs = made(torch.from_numpy(rows).double())[:, 0].numpy()
    return int((outputs != parity(rows)).sum())
