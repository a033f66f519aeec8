"""Greedy pre-training of a deep Boltzmann machine: one machine per pair of layers, each trained for its place in the
whole.

In the whole, a middle layer has input from below *and* from above; in a machine of its own it would have only one of
the two, and the stacked weights would count the evidence twice. So the missing half is put in by a second copy of the
layer on the other side, with the same weights (Salakhutdinov and Hinton 2009; Hinton and Salakhutdinov 2012):

====================== ============================== ==================================
layers of the pair     field of the upper layer       field of the lower layer
====================== ============================== ==================================
bottom (v, h_1)        c + 2 s(v) W: two copies of v  b + W h_1
middle (h_k, h_{k+1})  c + 2 h_k W                    b + 2 W h_{k+1}
top (h_{L−1}, h_L)     c + h_{L−1} W                  b + 2 W h_L: two copies of h_L
====================== ============================== ==================================

When the pairs are joined each copy is replaced by the other neighbour: the doubling is undone, W is taken as it is, and
the field of h_k becomes the mean of its fields in the two pairs, whence its bias: the mean of the two
(docs/mathematics.md, eq. 87 and 88). With the two copies of a side at one and the same value, as here, a pair is no
exact machine; contrastive divergence does not need one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.models.energy.dbm import DBM
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.distributed import world
from lamina.training.greedy import RedrawnInput, _pass_up, _per_layer, initialise_from
from lamina.training.history import History
from lamina.training.loop import fit
from lamina.training.rules import GradientRule
from lamina.training.schedules import Schedule
from lamina.units import Family


class PairRBM(RBM):
    """A pair of layers with ``copies_v`` tied copies of the lower and ``copies_h`` of the upper layer.

    E = copies_v E_v(v) + copies_h E_h(h) − copies_v copies_h s_v(v)ᵀ W s_h(h), all copies of a side having one value;
    so the field of a copy of h is c + copies_v s_v(v) W, and that of a copy of v is b + copies_h W s_h(h).
    """

    def __init__(self, visible: int | Family, hidden: int | Family, *, copies_v: int, copies_h: int, **options: Any):
        self.copies_v, self.copies_h = int(copies_v), int(copies_h)
        super().__init__(visible, hidden, **options)

    def field_h(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        self._check_width(v, self.n_visible, "visible")
        return _affine(self.c, self.visible.interaction(v), self.W, self.copies_v, out)

    def field_v(self, h: Tensor, out: Tensor | None = None) -> Tensor:
        self._check_width(h, self.n_hidden, "hidden")
        return _affine(self.b, self.hidden.interaction(h), self.W.T, self.copies_h, out)

    def free_energy(self, v: Tensor) -> Tensor:
        """−log Σ_h exp(−E) with the copies of h free of each other, given v: (..., n_visible) → (...)."""
        energy = self.copies_v * self.visible.energy(v, self.b)
        return energy - self.copies_h * self.hidden.cumulant(self.field_h(v), self.c)

    def spec(self) -> dict:
        return {**super().spec(), "class": "PairRBM", "copies_v": self.copies_v, "copies_h": self.copies_h}


def _affine(bias: Tensor, x: Tensor, weights: Tensor, factor: int, out: Tensor | None) -> Tensor:
    if x.dim() == 2:
        return torch.addmm(bias, x, weights, alpha=factor, out=out)
    return torch.add(bias, x @ weights, alpha=factor, out=out)


def pairs_of(dbm: DBM) -> list[PairRBM]:
    """One machine for each two neighbouring layers of ``dbm``, with the doubled fields of its place."""
    last = dbm.depth - 1
    return [
        PairRBM(
            dbm.units[k],  # type: ignore[arg-type]
            dbm.units[k + 1],  # type: ignore[arg-type]
            copies_v=2 if k < last else 1,
            copies_h=2 if k > 0 else 1,
            dtype=dbm.b[0].dtype,
        ).to(dbm.b[0].device)
        for k in range(dbm.depth)
    ]


@torch.no_grad()
def join_pairs(dbm: DBM, pairs: Sequence[PairRBM]) -> DBM:
    """Put the weights of trained ``pairs`` into ``dbm``; a layer of two pairs gets the mean of its two biases."""
    for k, pair in enumerate(pairs):
        dbm.W[k].copy_(pair.W)
    dbm.b[0].copy_(pairs[0].b)
    for k in range(1, dbm.depth):
        dbm.b[k].copy_((pairs[k - 1].c + pairs[k].b) / 2)
    dbm.b[dbm.depth].copy_(pairs[-1].c)
    return dbm


def pretrain_deep(
    dbm: DBM,
    data: Any,
    rule: Callable[[int], GradientRule] | None = None,
    *,
    epochs: int | Sequence[int] = 10,
    batch_size: int = 100,
    learning_rate: float | Schedule | Sequence[float | Schedule] = 0.05,
    momentum: float | Schedule = 0.5,
    weight_decay: float = 2e-4,
    redraw: bool = False,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[int], Sequence[Any]] = lambda k: (),
) -> list[History]:
    """Train the pairs of layers of ``dbm`` one after another on ``data`` (rows, features); one `History` per pair.

    ``rule(k)`` gives the rule of pair k, from 0; CD-1 with visible means by default. ``epochs`` and ``learning_rate``
    may be given per pair. ``redraw`` takes ``data`` as means of the visible units and draws them anew for each batch.
    Upper pairs learn from the means of the layer below, with its doubled field. ``dbm`` then holds the joined pairs, a
    starting point for `MeanFieldPCD`; by itself it is no good model yet.
    """
    place = check_device(device) if device is not None else dbm.b[0].device
    dbm.to(place)
    random = world().random(random_state, place)
    pairs, histories = pairs_of(dbm), []
    with tempfile.TemporaryDirectory(prefix="lamina-codes-") as codes:
        for k, pair in enumerate(pairs):
            stream = random.child("pair", k)
            chosen = ContrastiveDivergence(sample_visible=False) if rule is None else rule(k)
            initialise_from(pair, data, stream)
            history = fit(
                pair,
                data,
                RedrawnInput(chosen, dbm.visible) if redraw and k == 0 else chosen,
                epochs=_per_layer(epochs, k, dbm.depth, "epochs"),
                batch_size=batch_size,
                learning_rate=_per_layer(learning_rate, k, dbm.depth, "learning_rate"),
                momentum=momentum,
                weight_decay=weight_decay,
                random_state=stream,
                checkpoint=None if checkpoint is None else Path(checkpoint) / f"pair-{k + 1}",
                callbacks=callbacks(k),
            )
            histories.append(history)
            if k + 1 < dbm.depth:
                data = _pass_up(pair, data, codes)
    join_pairs(dbm, pairs)
    return histories
