"""Kinds of layer that can be learnt greedily without labels: what to build, by which rule, at which rate.

One table, `KINDS`, for whoever lets a user choose (`lamina learn --layer`, `lamina compare`): every kind has settings
that work on values in [0, 1] and on standardised real values, measured on digits (docs/design/autoencoders.md).

    stack = layered("denoising", (784, 500, 250))
    pretrain_kind(stack, X, "denoising", epochs=10)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina.core.errors import SettingError, nearest_names
from lamina.core.random import Random
from lamina.models.autoencoders import Autoencoder
from lamina.models.energy import RBM
from lamina.models.stack import Stack
from lamina.training.code_penalties import CodeKL, Contraction
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.corruption import Corruption, GaussianNoise, Masking
from lamina.training.greedy import default_learning_rate, pretrain
from lamina.training.history import History
from lamina.training.reconstruction import Reconstruction
from lamina.training.rules import Rule
from lamina.training.schedules import Schedule, warm_momentum
from lamina.units import Bernoulli, Gaussian

UNITS = ("bernoulli", "gaussian")  # values in [0, 1]; real values, standardised


@dataclass(frozen=True)
class LayerKind:
    """One kind of layer and how it is learnt.

    ``build(n_visible, n_hidden, units)`` makes a layer for rows in [0, 1] (``units="bernoulli"``) or real ones
    ("gaussian"), ``rule(units)`` what trains it; ``code_units`` says which the next layer will see.
    ``learning_rate(layer)`` is the rate to start at; ``warm`` is momentum from 0.5 to 0.9.
    """

    name: str
    title: str
    build: Callable[[int, int, str], nn.Module]
    make_rule: Callable[[str], Rule]
    code_units: str = "bernoulli"
    optimiser: str = "adam"
    learning_rate: Callable[[Any], float] = lambda layer: 2e-3
    warm: bool = False
    weight_decay: float = 0.0

    def rule(self, units: str = "bernoulli") -> Rule:
        """A fresh rule for a layer whose rows are ``units``."""
        _check_units(units)
        return self.make_rule(units)

    def momentum(self, epochs: int) -> float | Schedule:
        """Momentum over ``epochs``: 0 where the optimiser has its own."""
        return warm_momentum(epochs) if self.warm else 0.0

    def schedule(self, layer: Any, epochs: int) -> Schedule:
        """The layer's learning rate, then a fifth of it for the last quarter of the epochs, to settle."""
        rate = self.learning_rate(layer)
        return Schedule(((0.0, rate), (0.75 * epochs, rate / 5)))


def _rbm(n_visible: int, n_hidden: int, units: str) -> nn.Module:
    return RBM(Gaussian(n_visible) if units == "gaussian" else Bernoulli(n_visible), n_hidden)


def _autoencoder(n_visible: int, n_hidden: int, units: str) -> nn.Module:
    return Autoencoder(n_visible, n_hidden, output="identity" if units == "gaussian" else "sigmoid")


def _noise(units: str) -> Corruption:
    return GaussianNoise(0.5) if units == "gaussian" else Masking(0.25)


# Of rows without structure, a column of the dictionary explains about one deviation: what is below this share of it
# stays out of the code. Grey values in [0, 1] deviate by about 0.3, standardised ones by 1.
SPARSE_COST = {"bernoulli": 0.3, "gaussian": 0.7}


def _sparse_coding(n_visible: int, n_hidden: int, units: str) -> nn.Module:
    from lamina.models.sparse import SparseCoding

    return SparseCoding(n_visible, n_hidden, cost=SPARSE_COST[units])


def _online_dictionary(units: str) -> Rule:
    from lamina.training import OnlineDictionary

    return OnlineDictionary()


def _predictive(n_visible: int, n_hidden: int, units: str) -> nn.Module:
    from lamina.models.sparse import PredictiveSparseCoding

    return PredictiveSparseCoding(n_visible, n_hidden, cost=SPARSE_COST[units])


def _predictive_rule(units: str) -> Rule:
    from lamina.training import PredictiveSparse

    return PredictiveSparse()


KINDS: dict[str, LayerKind] = {
    kind.name: kind
    for kind in (
        LayerKind(
            "rbm",
            "restricted Boltzmann machine",
            _rbm,
            lambda units: ContrastiveDivergence(sample_visible=False),
            optimiser="sgd",
            learning_rate=default_learning_rate,
            warm=True,
            weight_decay=2e-4,
        ),
        LayerKind("autoencoder", "autoencoder", _autoencoder, lambda units: Reconstruction()),
        LayerKind(
            "denoising",
            "denoising autoencoder",
            _autoencoder,
            lambda units: Reconstruction(corruption=_noise(units)),
        ),
        LayerKind(
            "sparse",
            "sparse autoencoder",
            _autoencoder,
            lambda units: Reconstruction(penalties=[CodeKL(0.1, 1.0)]),
            learning_rate=lambda layer: 4e-3,  # units start half active: a slow rate leaves them on the way to a tenth
        ),
        LayerKind(
            "contractive",
            "contractive autoencoder",
            _autoencoder,
            lambda units: Reconstruction(penalties=[Contraction(0.1)]),
        ),
        LayerKind("sparse-coding", "sparse coding", _sparse_coding, _online_dictionary, code_units="gaussian"),
        LayerKind(
            "predictive-sparse", "predictive sparse coding", _predictive, _predictive_rule, code_units="gaussian"
        ),
    )
}


def layer_kind(kind: str | LayerKind) -> LayerKind:
    """The kind of this name, or the kind itself; `SettingError` with the nearest names where there is none."""
    if isinstance(kind, LayerKind):
        return kind
    if kind not in KINDS:
        raise SettingError(f"the layer is {kind!r}; {nearest_names(kind, list(KINDS))}")
    return KINDS[kind]


def layered(kind: str | LayerKind, sizes: Sequence[int], units: str = "bernoulli") -> Stack:
    """A stack of ``kind`` with layer sizes (n_visible, n_1, n_2, ...), not learnt yet.

    ``units`` is what the lowest layer sees; those above see the kind's ``code_units``.
    """
    chosen = layer_kind(kind)
    _check_units(units)
    if len(sizes) < 2:
        raise SettingError(f"sizes are {tuple(sizes)}; expected at least (n_visible, n_hidden)")
    seen = [units] + [chosen.code_units] * (len(sizes) - 2)
    return Stack([chosen.build(n, m, u) for (n, m), u in zip(pairwise(sizes), seen, strict=True)])


def pretrain_kind(
    stack: Stack,
    data: Any,
    kind: str | LayerKind,
    *,
    epochs: int | Sequence[int],
    batch_size: int = 100,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[int], Sequence[Any]] = lambda k: (),
) -> list[History]:
    """Train the layers of ``stack`` (made by `layered`) one after another by the settings of ``kind``.

    ``data``, ``epochs``, ``checkpoint`` and ``callbacks`` are those of `lamina.pretrain`; returns one `History` per
    layer. Layers start afresh, their output biases at the data's mean.
    """
    chosen = layer_kind(kind)
    passes = [epochs] * len(stack) if isinstance(epochs, int) else list(epochs)
    if len(passes) != len(stack):
        raise SettingError(f"epochs has {len(passes)} entries for {len(stack)} layers; expected one number or one each")
    return pretrain(
        stack,
        data,
        lambda k: chosen.rule(_units_of(stack[k])),
        epochs=passes,
        batch_size=batch_size,
        learning_rate=[chosen.schedule(layer, e) for layer, e in zip(stack.layers, passes, strict=True)],
        momentum=chosen.momentum(min(passes)),
        weight_decay=chosen.weight_decay,
        optimiser=chosen.optimiser,
        random_state=random_state,
        device=device,
        checkpoint=checkpoint,
        callbacks=callbacks,
    )


def _units_of(layer: Any) -> str:
    """What rows a layer was built for: a binary or sigmoid visible side means values in [0, 1]."""
    if isinstance(getattr(layer, "visible", None), Bernoulli) or getattr(layer, "output", None) == "sigmoid":
        return "bernoulli"
    return "gaussian"


def _check_units(units: str) -> None:
    if units not in UNITS:
        raise SettingError(f"units is {units!r}; {nearest_names(units, list(UNITS))}")
