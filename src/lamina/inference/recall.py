"""Recall: the dynamics of associative memories, from probes to the states at which they come to rest.

`recall` runs a Hopfield network (±1), `recall_pairs` a bidirectional memory, `retrieve` a modern continuous network and
`winner_take_all` a Hamming network. Each moves many probes at once and keeps the energy after every pass.

Updating one unit after another never raises a Hopfield network's energy, so it ends at a fixed point. Updating all
units at once may instead end in a cycle of two states (Goles, Fogelman and Pellegrin 1985), which is detected.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.core.sweep import sweep_, unit_order
from lamina.models.energy.bam import BidirectionalAssociativeMemory
from lamina.models.energy.hopfield import Hopfield, check_signs
from lamina.models.energy.modern_hopfield import ModernHopfield
from lamina.models.maps import HammingNetwork


@dataclass(frozen=True)
class Recall:
    """Where probes ended. ``period`` is 1 at a fixed point, 2 in a cycle of two states, 0 where still moving."""

    states: Tensor  # (n, n_units)
    energies: Tensor  # (passes + 1, n): before the first pass, and after each; a settled probe keeps its last value
    passes: Tensor  # (n,) int64: passes until nothing moved any more
    period: Tensor  # (n,) int64

    @property
    def settled(self) -> Tensor:
        """Which probes came to a fixed point: (n,) bool."""
        return self.period == 1


@torch.no_grad()
def recall(
    network: Hopfield,
    probes: Tensor,
    *,
    update: str = "asynchronous",
    order: str = "random",
    passes: int = 100,
    random_state: int | Random | None = 0,
    trace: bool = True,
) -> Recall:
    """Let ``probes`` (n, n_units) of ±1 move until they rest, or for ``passes`` passes over all units.

    ``update="asynchronous"`` moves one unit after another, in a fixed order or one shuffled anew for each pass (the
    same for all probes); "synchronous" moves all at once. ``trace=False`` leaves out the energies, half the work: they
    are then an empty (0, n). Raises `DataError` for probes that are not rows of ±1.
    """
    network.check_states(probes, "the probes")
    check_number("passes", passes, low=0, integer=True)
    random = as_random(random_state).child("recall")
    if update == "synchronous":
        return _synchronous(network, probes, passes, trace)
    if update == "asynchronous":
        return _asynchronous(network, probes, passes, order, random, trace)
    raise SettingError(f"update is {update!r}; expected 'asynchronous' or 'synchronous'")


class _Progress:
    """States of all probes and which of them still move."""

    def __init__(self, network: Hopfield, probes: Tensor, trace: bool) -> None:
        self.states = probes.to(network.W).clone()
        n, device = len(probes), self.states.device
        self.moving = torch.arange(n, device=device)
        self.passes = torch.zeros(n, dtype=torch.int64, device=device)
        self.period = torch.zeros(n, dtype=torch.int64, device=device)
        self.network, self.energies = network, [network.energy(self.states)] if trace else []

    def note(self, states: Tensor, moved: Tensor, period: Tensor) -> None:
        """New ``states`` of the probes that were moving, which ``moved``, and the ``period`` that each one shows."""
        self.states[self.moving] = states
        self.passes[self.moving[moved]] += 1
        self.period[self.moving] = period
        if self.energies:
            energy = self.energies[-1].clone()
            energy[self.moving] = self.network.energy(states)
            self.energies.append(energy)
        self.moving = self.moving[period == 0]

    def result(self) -> Recall:
        energies = torch.stack(self.energies) if self.energies else self.states.new_empty(0, len(self.states))
        return Recall(self.states, energies, self.passes, self.period)


def _asynchronous(network: Hopfield, probes: Tensor, passes: int, order: str, random: Random, trace: bool) -> Recall:
    progress = _Progress(network, probes, trace)
    units = torch.arange(network.n, device=network.W.device)
    for _ in range(passes):
        columns = progress.states[progress.moving].T.contiguous()
        moved = sweep_(columns, network.W, network.b[:, None], unit_order(units, order, random), _decide)
        progress.note(columns.T, moved, (~moved).long())
        if not len(progress.moving):
            break
    return progress.result()


def _sign(field: Tensor, old: Tensor) -> Tensor:
    """The field's sign, and the old value where the field is 0."""
    return torch.where(field == 0, old, torch.sign(field))


def _decide(field: Tensor, old: Tensor, units: Tensor) -> Tensor:
    return _sign(field, old)


def _synchronous(network: Hopfield, probes: Tensor, passes: int, trace: bool) -> Recall:
    progress = _Progress(network, probes, trace)
    before_last = progress.states.clone()
    for step in range(passes):
        moving = progress.moving
        old = progress.states[moving]
        fresh = _sign(network.field(old), old)
        moved = (fresh != old).any(1)
        cycle = moved & (fresh == before_last[moving]).all(1) if step else torch.zeros_like(moved)
        before_last[moving] = old
        progress.note(fresh, moved, torch.where(cycle, 2, (~moved).long()))
        if not len(progress.moving):
            break
    return progress.result()


@dataclass(frozen=True)
class PairRecall:
    """Where pairs ended."""

    left: Tensor  # (n, n_left)
    right: Tensor  # (n, n_right)
    energies: Tensor  # (passes + 1, n)
    settled: Tensor  # (n,) bool


@torch.no_grad()
def recall_pairs(
    memory: BidirectionalAssociativeMemory,
    left: Tensor | None = None,
    right: Tensor | None = None,
    *,
    passes: int = 100,
) -> PairRecall:
    """Bounce between the layers from ``left`` (n, n_left), from ``right`` (n, n_right) or from both, until at rest.

    The layer that is not given follows from the other one; where its field is 0 it begins at +1. Energies count from
    the first complete pair.
    """
    check_number("passes", passes, low=0, integer=True)
    x, y = _first_pair(memory, left, right)
    energies = [memory.energy(x, y)]
    settled = memory.is_stable(x, y)
    for _ in range(passes):
        if bool(settled.all()):
            break
        y = _sign(memory.field_right(x), y)
        x = _sign(memory.field_left(y), x)
        energies.append(memory.energy(x, y))
        settled = memory.is_stable(x, y)
    return PairRecall(x, y, torch.stack(energies), settled)


def _first_pair(
    memory: BidirectionalAssociativeMemory, left: Tensor | None, right: Tensor | None
) -> tuple[Tensor, Tensor]:
    for name, given in (("left", left), ("right", right)):
        if given is not None:
            check_signs(given, f"the {name} states")
    if left is not None and right is not None:
        if len(left) != len(right):
            raise DataError(f"{len(left)} left and {len(right)} right states; expected as many: they are pairs")
        memory.energy(left.to(memory.W), right.to(memory.W))  # asks for the widths
        return left.to(memory.W), right.to(memory.W)
    if left is not None:
        x = left.to(memory.W)
        field = memory.field_right(x)
        return x, _sign(field, torch.ones_like(field))
    if right is not None:
        y = right.to(memory.W)
        field = memory.field_left(y)
        return _sign(field, torch.ones_like(field)), y
    raise SettingError("neither left nor right states were given; expected at least one side to begin at")


@dataclass(frozen=True)
class Retrieval:
    """Where probes of a modern continuous network ended."""

    states: Tensor  # (n, n_units)
    energies: Tensor  # (passes + 1, n)
    settled: Tensor  # (n,) bool


@torch.no_grad()
def retrieve(network: ModernHopfield, probes: Tensor, *, passes: int = 100, tolerance: float = 1e-6) -> Retrieval:
    """Update ``probes`` (n, n_units) until no value moves by more than ``tolerance`` of the longest stored row."""
    check_number("passes", passes, low=0, integer=True)
    check_number("tolerance", tolerance, low=0.0)
    s = probes.to(network.patterns)
    energies = [network.energy(s)]
    allowed = tolerance * network.patterns.norm(dim=1).max()
    settled = torch.zeros(s.shape[:-1], dtype=torch.bool, device=s.device)
    for _ in range(passes):
        fresh = network.update(s)
        settled = (fresh - s).abs().amax(-1) <= allowed
        s = fresh
        energies.append(network.energy(s))
        if bool(settled.all()):
            break
    return Retrieval(s, torch.stack(energies), settled)


@dataclass(frozen=True)
class Winners:
    """What a Hamming network's competition ended in."""

    index: Tensor  # (n,) int64: the stored row that won; of rows that tie, the first
    patterns: Tensor  # (n, n_units): that row
    decided: Tensor  # (n,) bool: one unit alone was left
    steps: int


@torch.no_grad()
def winner_take_all(network: HammingNetwork, probes: Tensor, *, steps: int = 10_000) -> Winners:
    """MAXNET from the matches of ``probes`` (n, n_units) until one unit is left, or none could be told from another.

    Rows with equal matches keep equal activities for ever: such a probe is undecided.
    """
    check_signs(probes, "the probes")
    check_number("steps", steps, low=1, integer=True)
    activity = network.matches(probes.to(network.patterns))
    index = activity.argmax(-1)
    done, over = 0, False
    while done < steps and not over:
        activity = network.compete(activity)
        activity = activity / activity.amax(-1, keepdim=True).clamp_min(torch.finfo(activity.dtype).tiny)
        over = bool(((activity == 0) | (activity == 1)).all())  # what is left is one unit, or equals for ever
        done += 1
    return Winners(index, network.patterns[index], (activity > 0).sum(-1) == 1, done)
