"""What a recipe hands back: numbers measured, pictures and curves to draw, and where it left the paper.

A recipe never draws. `lamina.recipes.reproduce` keeps an `Outcome` as JSON and arrays, and the report draws those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from lamina.core.errors import DataError
from lamina.core.figures import Figure, Images, Lines, Nets, Points

__all__ = ["Images", "Lines", "Measured", "Nets", "Outcome", "Points"]


@dataclass(frozen=True)
class Measured:
    """One number: ``ours`` with its standard deviation ``sd`` over seeds (0 for one seed), beside the ``published``
    one (None: the paper gives none). ``unit`` is "nats", "%", ..., empty for a pure number."""

    what: str
    ours: float
    sd: float = 0.0
    published: float | None = None
    unit: str = ""
    higher_is_better: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.ours) or not math.isfinite(self.sd) or self.sd < 0:
            raise DataError(
                f"{self.what!r} was measured as {self.ours!r} ± {self.sd!r}; expected finite numbers and a deviation "
                f"of at least 0: leave out what could not be measured, or say so in a note"
            )


@dataclass(frozen=True)
class Outcome:
    """All that a recipe found: ``results`` in the order to print, every one of its ``deviations`` from the paper, the
    ``seeds`` that were used, ``figures`` in the order to draw, and free ``notes``."""

    results: list[Measured]
    deviations: list[str]
    seeds: list[int]
    figures: Sequence[Figure] = ()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.results:
            raise DataError("the recipe measured nothing; expected at least one result")
