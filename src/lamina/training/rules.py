"""The three kinds of learning rule that the one loop can run.

=============== ============================================ =======================================================
kind            the rule supplies                            the loop does
=============== ============================================ =======================================================
`GradientRule`  ``gradients``: one batch → ``.grad``         sum over processes, penalties, an optimiser step
`StatisticsRule` ``accumulate``: sums over a pass;           sum over processes at the end of the pass
                ``maximise``: new parameters from the sums
`ObjectiveRule` ``objective``: a differentiable sum over     L-BFGS or conjugate gradients, which ask for it as
                rows                                         often as they need
=============== ============================================ =======================================================

A rule never loops over data, never reads a clock, and takes all its random numbers from the stream it is handed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.random import Random
from lamina.training.distributed import World
from lamina.training.sources import Batch


@dataclass(frozen=True)
class Setting:
    """What a rule may know of the run that it serves."""

    random: Random
    world: World
    device: torch.device
    dtype: torch.dtype
    batch_size: int


class Rule(ABC):  # noqa: B024 - what is abstract differs between the three kinds
    """What all three kinds share."""

    #: the name of the measure that early stopping watches (smaller is better)
    watched = ""

    def start(self, model: nn.Module, setting: Setting) -> None:  # noqa: B027 - most rules need nothing
        """Called once before training: make buffers, place constants on the device."""

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """The parameters that are learnt."""
        return list(model.parameters())

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:  # noqa: B027
        """Raise `DataError` where rows of the data cannot be learnt from."""

    def state(self) -> dict[str, Tensor]:
        """Tensors that an exact resume needs beside weights and optimiser (chains)."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Take back what `state` gave."""

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Measures on validation data; ``train`` holds as many training rows for comparison."""
        return {}

    def health(self, model: Any, values: tuple[Tensor, ...]) -> dict[str, list[float]]:
        """What goes on inside the network on some training rows: per measure one value per layer, the lowest first.

        Changes neither weights nor streams of random numbers. Empty where the rule has nothing to show.
        """
        return {}

    def describe(self) -> dict:
        """Settings, for the records and for telling whether a checkpoint belongs to this run."""
        return {"rule": type(self).__name__}


class GradientRule(Rule):
    """A batch in, ``.grad`` out."""

    @abstractmethod
    def gradients(self, model: nn.Module, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        """Write this process's part of the gradient into ``.grad`` (sums over rows / ``batch.total``).

        Returns measures as 0-d tensors, summed over this process's rows: the loop adds them up on the device, and
        divides by the number of rows once per epoch. A process that gets no row of a small last batch is asked all the
        same: a rule may have chains or labelled rows of its own to go on with.
        """


class StatisticsRule(Rule):
    """Sums over a pass, then a maximisation; or, where ``every`` says so, sums over that many batches."""

    #: batches between maximisations (the last of a pass may have fewer); None is a whole pass
    every: int | None = None

    @abstractmethod
    def zero(self) -> list[Tensor]:
        """Set the sums to zero and return them (the loop adds them over processes)."""

    @abstractmethod
    def accumulate(self, model: nn.Module, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        """Add this batch to the sums; measures as in `GradientRule.gradients`."""

    @abstractmethod
    def maximise(self, model: nn.Module) -> Mapping[str, float] | None:
        """Set the parameters from the sums. May return measures that are no sums over rows (dead units): the latest
        count."""


class ObjectiveRule(Rule):
    """An objective with its gradient, over all rows at once or, with ``per_batch``, over the rows of one batch after
    another, each minimised from where the one before it ended."""

    #: "lbfgs" or "cg" (`lamina.training.conjugate_gradients.MINIMISERS`)
    minimiser = "lbfgs"
    #: line searches per minimisation: per epoch, or per batch
    searches = 20
    #: whether every batch is minimised by itself, from a fresh start of the minimiser
    per_batch = False

    @abstractmethod
    def objective(self, model: nn.Module, batch: Batch) -> Tensor:
        """This batch's part of the objective: a differentiable sum over rows / total rows."""
