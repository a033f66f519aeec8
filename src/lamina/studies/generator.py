"""What a kind of generative model offers the command line: how it is built and taught, and what it makes of a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from lamina.studies.lesson import Lesson
from lamina.training import History

Taught = list[tuple[str, History]]


class Generator(ABC):
    """One kind of model: what it is called, how it is built and taught, and what it makes of a row."""

    title = ""
    #: whether chains begin at rows of the data: contrastive divergence knows their neighbourhood alone
    from_rows = False
    deepest_step = 1000
    #: whether draws are independent of each other: no chain leads to them
    independent = False

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.check()

    def check(self) -> None:  # noqa: B027 - most kinds take any rows
        """Raise where the data cannot be learnt from by this kind."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The model before learning."""

    @abstractmethod
    def teach(self, model: Any) -> Taught:
        """Train ``model`` in place: the stages' names and histories."""

    @abstractmethod
    def settings(self) -> dict:
        """What was chosen, for the report."""

    def reconstruct(self, model: Any, v: Tensor) -> Tensor:
        """Rows back from their hidden means, (n, n_features)."""
        return model.mean_v_from_h(model.mean_h_from_v(v))

    def filters(self, model: Any) -> Tensor:
        """Weights of the first layer, one row per hidden unit."""
        return model.W.T

    @property
    def filter_shape(self) -> tuple[int, ...]:
        """Shape of a filter, () where it is that of a row."""
        return ()
