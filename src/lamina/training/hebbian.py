"""Storage rules: patterns of ±1 written into the weights of associative memories.

=================== ==================================================== ============ ===========================
rule                weights (all with a zero diagonal)                   capacity     needs
=================== ==================================================== ============ ===========================
`hebbian`           (1/N) Σ ξ ξᵀ − (P/N) I                               0.138 N      each pattern once, any order
`storkey`           pattern by pattern, with the field that is there     N/√(2 log N) each pattern once, in order
`pseudo_inverse`    the projection on the patterns' span                 N            all patterns together
=================== ==================================================== ============ ===========================

(docs/mathematics.md, eq. 64 and 65.) Capacities are for random patterns and differ in kind: a small share of wrong
bits is allowed for `hebbian`, none for the others.

Sources: Hopfield 1982; A. Storkey 1997, Increasing the capacity of a Hopfield network without sacrificing
functionality; L. Personnaz, I. Guyon, G. Dreyfus 1985; B. Kosko 1988 (`hebbian_pairs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.energy.bam import BidirectionalAssociativeMemory
from lamina.models.energy.hopfield import Hopfield, check_signs
from lamina.training.rules import Setting, StatisticsRule
from lamina.training.sources import Batch


@torch.no_grad()
def hebbian(patterns: Tensor) -> Tensor:
    """(1/N) Σ_μ ξ_μ ξ_μᵀ − (P/N) I for ``patterns`` (P, N) of ±1: (N, N)."""
    check_signs(patterns, "the patterns")
    return (patterns.T @ patterns).fill_diagonal_(0).div_(patterns.shape[1])


@torch.no_grad()
def hebbian_field(patterns: Tensor, states: Tensor) -> Tensor:
    """N times the field of the Hebbian weights, Σ_μ ξ_μ (ξ_μ·s) − P s, without making them: (n, N).

    4·n·P·N operations, fewer than 2·n·N² while P < N/2. The numbers are whole: exact in float32 while P·√N stays well
    below 2^24, so that a field of 0 is told from a small one.
    """
    return (states @ patterns.T) @ patterns - len(patterns) * states


@torch.no_grad()
def storkey(patterns: Tensor, W: Tensor | None = None) -> Tensor:
    """Storkey's incremental rule: ``patterns`` (P, N) of ±1 added one by one to ``W`` (N, N) or to none.

    ΔW_ij = (ξ_i ξ_j − ξ_i h_ji − h_ij ξ_j) / N with h_ij = Σ_{k≠i,j} W_ik ξ_k, for i ≠ j. With H = W ξ and a zero
    diagonal, h_ij = H_i − W_ij ξ_j, so that ΔW = (ξξᵀ − ξHᵀ − Hξᵀ + 2W) / N: 2·N² operations per pattern and no loop.
    """
    check_signs(patterns, "the patterns")
    n = patterns.shape[1]
    W = patterns.new_zeros(n, n) if W is None else W.clone()
    for pattern in patterns:
        H = W @ pattern
        change = torch.outer(pattern, pattern / 2 - H)
        W += (change + change.T + 2 * W) / n
        W.fill_diagonal_(0)
    return W


@torch.no_grad()
def pseudo_inverse(patterns: Tensor) -> Tensor:
    """X⁺ X with its diagonal set to 0, for ``patterns`` X (P, N) of ±1: the projection on their span, (N, N).

    Every pattern of up to N − 1 independent ones is a fixed point: the field is (1 − (X⁺X)_ii) ξ_i. Dependent patterns
    are allowed (singular values below rounding are left out). Taking the diagonal away widens the basins (Kanter and
    Sompolinsky 1987) and keeps the energy falling.
    """
    check_signs(patterns, "the patterns")
    _, values, basis = torch.linalg.svd(patterns.double(), full_matrices=False)
    kept = basis[values > values.max() * max(patterns.shape) * torch.finfo(torch.float64).eps]
    return (kept.T @ kept).fill_diagonal_(0).to(patterns.dtype)


@torch.no_grad()
def hebbian_pairs(left: Tensor, right: Tensor) -> Tensor:
    """Σ_μ x_μ y_μᵀ for pairs (P, n_left), (P, n_right) of ±1: (n_left, n_right), a bidirectional memory's weights."""
    check_signs(left, "the left patterns")
    check_signs(right, "the right patterns")
    if len(left) != len(right):
        raise DataError(f"{len(left)} left and {len(right)} right patterns; expected as many: they are pairs")
    return left.T @ right


STORAGE = {"hebbian": hebbian, "storkey": storkey, "pseudo-inverse": pseudo_inverse}


@torch.no_grad()
def store(network: Hopfield, patterns: Tensor, rule: str = "hebbian") -> Hopfield:
    """Set the weights of ``network`` from ``patterns`` (P, n) of ±1 by "hebbian", "storkey" or "pseudo-inverse"."""
    if rule not in STORAGE:
        raise SettingError(f"the storage rule is {rule!r}; expected one of {', '.join(sorted(STORAGE))}")
    network.check_states(patterns, "the patterns")
    network.W.copy_(STORAGE[rule](patterns.to(network.W)))
    return network


@torch.no_grad()
def store_pairs(memory: BidirectionalAssociativeMemory, left: Tensor, right: Tensor) -> BidirectionalAssociativeMemory:
    """Set the weights of ``memory`` from pairs (P, n_left), (P, n_right) of ±1."""
    W = hebbian_pairs(left.to(memory.W), right.to(memory.W))
    if W.shape != memory.W.shape:
        raise DataError(
            f"the pairs have widths {tuple(W.shape)}; expected {tuple(memory.W.shape)}, the sizes of this memory"
        )
    memory.W.copy_(W)
    return memory


class HebbianStorage(StatisticsRule):
    """`hebbian` as a rule of the one loop: patterns may be read in batches, from files, or over several processes."""

    def start(self, model: Any, setting: Setting) -> None:
        self.correlation = torch.zeros(model.n, model.n, dtype=setting.dtype, device=setting.device)

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, Hopfield):
            raise SettingError(f"HebbianStorage fills a Hopfield network; {type(model).__name__} given")
        model.check_states(values[0], "the patterns")

    def zero(self) -> list[Tensor]:
        return [self.correlation.zero_()]

    def accumulate(self, model: nn.Module, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        patterns = batch.values[0]
        if len(patterns):
            check_signs(patterns, "the patterns")
            self.correlation.addmm_(patterns.T, patterns)
        return {}

    def maximise(self, model: Any) -> None:
        model.W.copy_(self.correlation).fill_diagonal_(0).div_(model.n)
