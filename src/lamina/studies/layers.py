"""Layers of any kind in a study: learnt without labels, once per kind and seed, and what can be made of them.

Three things depend on the kind. Layers of *perceptrons* (machines, autoencoders) become one network with a classifier's
head; sparse codes do not, and a network for fine-tuning then looks in the directions of their atoms. Layers that are
*stochastic* (machines) can be sampled. What a unit *looks for* is its weights, or its atom.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import DivergenceError
from lamina.core.random import Random
from lamina.models import MLP, RBM, Stack
from lamina.models.autoencoders import Autoencoder
from lamina.models.convert import classifier, rectified_classifier
from lamina.studies.defaults import Plan
from lamina.studies.preparation import Prepared
from lamina.studies.recorder import Recorder
from lamina.training import History
from lamina.training.layer_kinds import KINDS, layered, pretrain_kind


class Layers:
    """The layers of a study: ``layers(kind, seed)`` learns a stack from all training rows, once, and keeps it.

    ``seconds`` are the loop's own, which a checkpoint keeps: the same whether or not the run was resumed.
    """

    def __init__(self, data: Prepared, plan: Plan, recorder: Recorder, folder: Path, device: str | None) -> None:
        self.data, self.plan, self.recorder, self.folder, self.device = data, plan, recorder, folder, device
        self.seconds: dict[tuple[str, int], float] = {}
        self.histories: dict[tuple[str, int], list[History]] = {}
        self._stacks: dict[tuple[str, int], Stack] = {}

    @property
    def names(self) -> list[str]:
        """What the recorder calls the layers, from the bottom up."""
        return [f"layer {k + 1}: {n}-{m}" for k, (n, m) in enumerate(pairwise(self._sizes))]

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (self.data.X.shape[1], *self.plan.hidden)

    def __call__(self, kind: str, seed: int, *, checkpoint: str, prefix: str = "") -> Stack:
        """The stack of ``kind`` with ``seed``; ``checkpoint`` names its place below the folder."""
        key = (kind, seed)
        if key not in self._stacks:
            self._stacks[key] = self._learn(kind, seed, checkpoint, prefix)
        return self._stacks[key]

    def forget(self, kind: str, seed: int) -> None:
        """Let go of a stack that is not needed any more."""
        self._stacks.pop((kind, seed), None)

    def _learn(self, kind: str, seed: int, checkpoint: str, prefix: str) -> Stack:
        stack = layered(kind, self._sizes, self.data.scaling.units)
        try:
            histories = pretrain_kind(
                stack,
                self.data.X,
                kind,
                epochs=self.plan.pretrain_epochs,
                batch_size=self.plan.batch_size,
                random_state=Random(seed).child("pre-training"),
                device=self.device,
                checkpoint=self.folder / "checkpoint" / checkpoint,
                callbacks=lambda k: self.recorder.callbacks(prefix + self.names[k]),
            )
        except DivergenceError as error:
            raise self.recorder.add_diverged(error, "pretrain") from None
        self.histories[kind, seed] = histories
        self.seconds[kind, seed] = sum(history.seconds for history in histories)
        return stack


def title_of(kind: str) -> str:
    """The kind of layer in words: ``denoising autoencoder``."""
    return KINDS[kind].title


def is_perceptron(stack: Stack) -> bool:
    """Whether ``stack.encode`` is that of a perceptron, which back-propagation can go through."""
    return all(isinstance(layer, (RBM, Autoencoder)) for layer in stack.layers)


def is_stochastic(stack: Stack) -> bool:
    """Whether the stack can be sampled: its top layer draws as well as computes."""
    return hasattr(stack[-1], "sample_v_from_h")


def directions(layer: Any) -> Tensor:
    """What each unit looks for, (n_visible, n_hidden): the atoms of sparse coding, else the weights."""
    return (layer.D if hasattr(layer, "D") else layer.W).detach()


def perceptron(stack: Stack, n_classes: int, random: Random) -> MLP:
    """A network to fine-tune: the stack itself with a softmax head, or where it is no perceptron, `rectified`."""
    if is_perceptron(stack):
        return classifier(stack, n_classes, random_state=random)
    return rectified(stack, n_classes, random)


@torch.no_grad()
def rectified(stack: Stack, n_classes: int, random: Random) -> MLP:
    """Rectified, batch-normalised units that start in the `directions` of the stack's, all of length √2."""
    if is_perceptron(stack):
        return rectified_classifier(stack, n_classes, random_state=random)
    first = next(stack.parameters())
    sizes = [stack.n_visible, *stack.sizes, n_classes]
    network = MLP(sizes, activation="relu", normalise=True, dtype=first.dtype, random_state=random).to(first.device)
    for k, layer in enumerate(stack.layers):
        W = directions(layer)
        network.W[k].copy_(W * (math.sqrt(2) / W.norm(dim=0).clamp(min=1e-12)))
    return network
