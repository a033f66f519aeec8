"""One step of a rule by two processes, played one after the other: their parts against the step of one process.

Sums over processes inside a rule are played by asking twice: first each part's own tensors are noted, then each part is
asked again and given their sums. What two real processes do is `test_distributed`'s; this is for rules in small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.training.distributed import World
from lamina.training.rules import GradientRule, Setting
from lamina.training.sources import Batch


class Noting(World):
    """Takes down what it is asked to sum, or plays the sums that are known."""

    def __init__(self, rank: int, size: int, known: list[list[Tensor]] | None = None) -> None:
        super().__init__(rank, size)
        object.__setattr__(self, "noted", [])
        object.__setattr__(self, "known", known)

    def sum_(self, tensors: Any) -> None:
        at = len(self.noted)
        self.noted.append([t.clone() for t in tensors])
        if self.known is not None:
            for tensor, value in zip(tensors, self.known[at], strict=True):
                tensor.copy_(value)


def _part(make: Callable, make_rule: Callable, arrays: tuple, world: Noting) -> tuple[list[Tensor], dict]:
    """What this process hands to the loop (gradients, or sums), and its rule and model."""
    model, rule = make(), make_rule()
    n = len(arrays[0])
    mine = world.slice(n)
    values = tuple(torch.from_numpy(np.ascontiguousarray(a[mine])) for a in arrays)
    batch = Batch(values, torch.arange(n)[mine], n)
    rule.start(model, Setting(Random(0), world, torch.device("cpu"), torch.float64, n))
    if isinstance(rule, GradientRule):
        for parameter in rule.parameters(model):
            parameter.grad = torch.zeros_like(parameter)
        rule.gradients(model, batch, 0, Random(0))
        return [p.grad.clone() for p in rule.parameters(model)], {"model": model, "rule": rule}
    sums = rule.zero()
    with torch.no_grad():
        rule.accumulate(model, batch, 0, Random(0))
    return [s.clone() for s in sums], {"model": model, "rule": rule}


def both_parts(make: Callable, make_rule: Callable, arrays: tuple) -> tuple[list[Tensor], list[Tensor]]:
    """Sums over two processes of what their parts hand over, and what one process does."""
    worlds = [Noting(rank, 2) for rank in range(2)]
    for world in worlds:
        _part(make, make_rule, arrays, world)
    known = [[sum(parts) for parts in zip(*both, strict=True)] for both in zip(*(w.noted for w in worlds), strict=True)]
    found = [_part(make, make_rule, arrays, Noting(rank, 2, known))[0] for rank in range(2)]
    return [a + b for a, b in zip(*found, strict=True)], _part(make, make_rule, arrays, Noting(0, 1))[0]
