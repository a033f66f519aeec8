"""Rows drawn from any generative model, with classes or single values held: one kind of chain per model.

A chain is begun, run for some steps, shown, and run on. What is shown are means of the visible units given everything
else (less noise than draws), with held values as they were given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lamina.core.errors import LabelError, SettingError
from lamina.core.random import Random
from lamina.inference import Dream, deep_gibbs, dream
from lamina.inference.deep_gibbs import free_state
from lamina.inference.latent_gibbs import latent_gibbs
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.models.energy import DBM, DBN, RBM, ClassificationRBM, ConvolutionalRBM


@dataclass(frozen=True)
class Held:
    """What stays as given: ``labels`` (n,) class codes, ``rows`` (n, n_visible) with NaN where values are free."""

    labels: Tensor | None = None
    rows: Tensor | None = None


class Chain(ABC):
    """``n`` chains of ``model``. ``start`` (n, n_visible), rows to begin at; else they begin at the free units (W = 0).

    Raises `SettingError` where the model cannot hold what is to be held.
    """

    def __init__(self, model: Any, n: int, random: Random, held: Held, start: Tensor | None) -> None:
        self.model, self.n, self.random, self.held = model, n, random, held
        self.steps = 0
        self.begin(random.child("start"), start)

    @abstractmethod
    def begin(self, random: Random, start: Tensor | None) -> None:
        """Set the state."""

    @abstractmethod
    def move(self, steps: int) -> None:
        """Change the state by ``steps`` of Gibbs sampling."""

    @abstractmethod
    def show(self) -> Tensor:
        """The visible units of the state, (n, n_visible)."""

    @torch.no_grad()
    def run(self, steps: int) -> None:
        """Go on for ``steps`` of Gibbs sampling."""
        self.move(steps)

    @torch.no_grad()
    def rows(self) -> Tensor:
        """The visible units now, (n, n_visible): means given the rest, held values as given."""
        return self.show()

    def _next(self) -> Random:
        self.steps += 1
        return self.random.at(self.steps)

    def _refuse_labels(self) -> None:
        if self.held.labels is not None:
            raise SettingError(
                f"a class is to be held, but this {type(self.model).__name__} has no label units; expected a "
                f"classification machine, or a deep belief network that was learnt with labels"
            )


def _held_values(rows: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """(mask of what is held, values with 0 where free), or None."""
    if rows is None:
        return None
    rows = rows.to(like)
    return rows.isfinite(), torch.nan_to_num(rows)


def _kept(known: tuple[Tensor, Tensor] | None, v: Tensor) -> Tensor:
    return v if known is None else torch.where(known[0], known[1], v)


class MachineChain(Chain):
    """An `RBM`."""

    def begin(self, random: Random, start: Tensor | None) -> None:
        self._refuse_labels()
        self._begin(self.model, self.held.rows, random, start)

    def _begin(self, rbm: RBM, held: Tensor | None, random: Random, start: Tensor | None) -> None:
        self.rbm = rbm
        self.known = _held_values(held, rbm.W)
        free = rbm.visible.sample(rbm.b.expand(self.n, -1).clone(), random) if start is None else start.to(rbm.W)
        self.v = self.shown = _kept(self.known, free)

    def move(self, steps: int) -> None:
        for _ in range(steps):
            random = self._next()
            h = self.rbm.sample_h_from_v(self.v, random)
            mean, drawn = self.rbm.visible.mean_and_sample_(self.rbm.field_v(h), random)
            self.v, self.shown = _kept(self.known, drawn), _kept(self.known, mean)

    def show(self) -> Tensor:
        return self.shown


class ClassChain(MachineChain):
    """A `ClassificationRBM`: the machine over joined rows, with the class's units held where labels are."""

    def begin(self, random: Random, start: Tensor | None) -> None:
        model: ClassificationRBM = self.model
        like = model.W
        width, labels, rows = model.n_visible, self.held.labels, self.held.rows
        joined = like.new_full((self.n, width + model.n_classes), torch.nan)
        if rows is not None:
            joined[:, :width] = rows.to(like)
        if labels is not None:
            _check_codes(labels, model.n_classes)
            joined[:, width:] = one_hot(labels.to(like.device), model.n_classes).to(like)
        if start is not None:
            free = model.classes.sample(model.d.expand(self.n, -1).clone(), random)
            start = torch.cat([start.to(like), free], 1)
        self._begin(model.as_rbm(), None if bool(joined.isnan().all()) else joined, random, start)

    def show(self) -> Tensor:
        return self.shown[:, : self.model.n_visible]


class DeepMachineChain(Chain):
    """A `DBM`."""

    def begin(self, random: Random, start: Tensor | None) -> None:
        self._refuse_labels()
        dbm: DBM = self.model
        self.known = _held_values(self.held.rows, dbm.W[0])
        self.state = free_state(dbm, self.n, random) if start is None else dbm.bottom_up(start.to(dbm.W[0]))
        self.state[0] = _kept(self.known, self.state[0])
        self.masks = None if self.known is None else [self.known[0], *[None] * dbm.depth]

    def move(self, steps: int) -> None:
        for _ in range(steps):
            self.state = deep_gibbs(self.model, self.state, 1, self._next(), self.masks)

    def show(self) -> Tensor:
        return _kept(self.known, self.model.visible.mean(self.model.field(0, self.state)))


class BeliefChain(Chain):
    """A `DBN`: Gibbs sampling in its memory, then down."""

    def begin(self, random: Random, start: Tensor | None) -> None:
        if self.held.rows is not None:
            raise SettingError(
                "values of the rows are to be held, but a deep belief network goes downward only: expected a machine "
                "or a deep Boltzmann machine, which fill in what is free"
            )
        if not self.model.n_classes:
            self._refuse_labels()
        if self.held.labels is not None:
            _check_codes(self.held.labels, self.model.n_classes)
        self._dream(0, random)

    def _dream(self, steps: int, random: Random, start: Dream | None = None) -> None:
        n = self.n if start is None and self.held.labels is None else None
        self.state = dream(self.model, self.held.labels, n, steps=steps, start=start, random_state=random)

    def move(self, steps: int) -> None:
        if steps:
            self._dream(steps, self.random.child("from", self.steps), self.state)
            self.steps += steps

    def show(self) -> Tensor:
        return self.state.v


class MapChain(Chain):
    """A `ConvolutionalRBM` over maps of ``shape`` (channels, height, width)."""

    def __init__(
        self, model: Any, n: int, random: Random, held: Held, start: Tensor | None, shape: Sequence[int]
    ) -> None:
        self.shape = tuple(shape)
        super().__init__(model, n, random, held, start)

    def begin(self, random: Random, start: Tensor | None) -> None:
        self._refuse_labels()
        model: ConvolutionalRBM = self.model
        if len(self.shape) != model.dimensions + 1 or self.shape[0] != model.n_channels:
            raise SettingError(
                f"rows have shape {self.shape or 'unknown'}; expected {model.n_channels} channels and "
                f"{model.dimensions} axes: a convolutional machine draws maps of a known size"
            )
        self.known = _held_values(None if self.held.rows is None else self._maps(self.held.rows), model.W)
        if start is None:
            bias = model.b.view(-1, *(1 for _ in self.shape[1:])).expand(self.n, *self.shape)
            mean = model.visible.mean(bias.movedim(1, -1).contiguous()).movedim(-1, 1)
            v = model.sample_v_from_mean(mean, random)
        else:
            v = self._maps(start).to(model.W)
        self.v = self.shown = _kept(self.known, v)

    def _maps(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape)

    def move(self, steps: int) -> None:
        for _ in range(steps):
            random = self._next()
            mean = self.model.mean_v_from_h(self.model.sample_h_from_v(self.v, random))
            self.v = _kept(self.known, self.model.sample_v_from_mean(mean, random))
            self.shown = _kept(self.known, mean)

    def show(self) -> Tensor:
        return self.shown.flatten(1)


class LatentChain(Chain):
    """A `VariationalAutoencoder`: independent draws of the code; a chain only where values are held."""

    def begin(self, random: Random, start: Tensor | None) -> None:
        self._refuse_labels()
        model: VariationalAutoencoder = self.model
        like = model.decoder.W[0]
        self.known = _held_values(self.held.rows, like)
        self.h = random.normal((self.n, model.n_hidden), like.dtype, like.device)
        if start is not None:
            self.v = start.to(like)
            self.h = model.sample_h_from_v(self.v, random)
        else:
            self.v = model.sample_v_from_h(self.h, random)
        self.v = _kept(self.known, self.v)
        self.moved = start is None

    def move(self, steps: int) -> None:
        for _ in range(steps if self.known is not None else min(steps, 1)):
            random, self.moved = self._next(), True
            if self.known is None:
                self.h = random.normal(self.h.shape, self.h.dtype, self.h.device)
            else:
                self.v, self.h = latent_gibbs(self.model, self.v, self.h, random, self.known[0])

    def show(self) -> Tensor:
        return _kept(self.known, self.model.mean_v_from_h(self.h)) if self.moved else self.v


CHAINS: dict[type, type[Chain]] = {
    RBM: MachineChain,
    ClassificationRBM: ClassChain,
    DBM: DeepMachineChain,
    DBN: BeliefChain,
    ConvolutionalRBM: MapChain,
    VariationalAutoencoder: LatentChain,
}


def generates(model: Any) -> bool:
    """Whether `begin` knows how to draw from ``model``."""
    return type(model) in CHAINS


@torch.no_grad()
def begin(
    model: nn.Module,
    n: int,
    random: Random,
    *,
    held: Held | None = None,
    start: Tensor | None = None,
    shape: Sequence[int] = (),
) -> Chain:
    """``n`` chains of ``model``; ``shape`` is that of one row, which a convolutional machine needs.

    Raises `SettingError` where the model draws nothing or cannot hold what is to be held, `LabelError` for classes
    that it does not have.
    """
    kind = CHAINS.get(type(model))
    if kind is None:
        known = ", ".join(one.__name__ for one in CHAINS)
        raise SettingError(f"a {type(model).__name__} draws no rows here; expected one of {known}")
    held = held or Held()
    if kind is MapChain:
        return MapChain(model, n, random, held, start, shape)
    return kind(model, n, random, held, start)


def _check_codes(labels: Tensor, n_classes: int) -> None:
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= n_classes):
        raise LabelError(
            f"class codes lie in {int(labels.min())} .. {int(labels.max())}; expected 0 .. {n_classes - 1}, the "
            f"classes that the model knows"
        )
