"""The problem that the solvers solve, one for each row v (n_visible,) on its own:

    min_h  ½ ‖v − h Dᵀ‖² + cost Σ_j s(h_j),     s(h) = |h|  or  log(1 + h²)             (docs/mathematics.md, eq. 135)

with D (n_visible, n_hidden). All of them work on the Gram matrix G = DᵀD and the correlations C = v D, through which
alone rows enter: ½ hGhᵀ − C·h + cost Σ s(h) + ½‖v‖². The gradient of the smooth part is g = hG − C.

A row is done when the distance of 0 from the subdifferential, in the largest coordinate, is at most ``tolerance`` ·
cost (eq. 136), or what rounding allows: 32 ε max|C|. For |h| this distance is |g + cost sign h| where h ≠ 0 and
max(0, |g| − cost) where h = 0; with ``positive`` codes, |g + cost| where h > 0 and max(0, −g − cost) where h = 0.

Inside: `Problem` (checked arrays), `Codes` (what a solver returns), `code_objective`, `violation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError

ROUNDING = 32.0  # of the type's ε, times the largest correlation of a row: the accuracy that a gradient can have


@dataclass(frozen=True)
class Codes:
    """``h`` (n, n_hidden), after ``iterations`` of the slowest row. How good they are is computed when asked for."""

    h: Tensor
    iterations: int
    problem: Problem
    penalty: str = "l1"

    @property
    def violation(self) -> Tensor:
        """Largest departure from optimality of each row, as a share of the cost: (n,)."""
        return self._off() / self.problem.cost

    @property
    def converged(self) -> Tensor:
        """Whether it is within tolerance or rounding, for each row: (n,) bool."""
        return self._off() <= self.problem.goal

    def _off(self) -> Tensor:
        problem = self.problem
        h = self.h.to(problem.G)
        gradient = torch.addmm(problem.C, h, problem.G, beta=-1)
        return violation(h, gradient, problem.cost, problem.positive, self.penalty)


@dataclass(frozen=True)
class Problem:
    """Checked arrays: ``G`` (n_hidden, n_hidden), ``C`` (n, n_hidden), first codes ``start`` (n, n_hidden) or None, and
    for each row the violation ``goal`` (n,) at which it is done."""

    G: Tensor
    C: Tensor
    start: Tensor | None
    cost: float
    positive: bool
    goal: Tensor

    def first(self) -> Tensor:
        """A copy of the first codes: zeros where none were given, clipped at 0 where codes are positive."""
        if self.start is None:
            return torch.zeros_like(self.C)
        return self.start.clamp(min=0) if self.positive else self.start.clone()


def pose(
    v: Tensor,
    D: Tensor,
    cost: float,
    *,
    positive: bool = False,
    start: Tensor | None = None,
    iterations: int,
    tolerance: float,
    precision: torch.dtype | None = None,
) -> Problem:
    """The problem of rows ``v`` (n, n_visible) under ``D`` (n_visible, n_hidden); ``precision`` is the type whose
    rounding limits the codes (that of ``v``).

    Raises `DataError` for widths that do not match, NaN or infinity, `SettingError` for limits left.
    """
    check_number("cost", cost, low=1e-30)
    check_number("iterations", iterations, low=0, integer=True)
    check_number("tolerance", tolerance, low=0.0)
    if v.dim() != 2 or D.dim() != 2 or v.shape[1] != D.shape[0]:
        raise DataError(
            f"rows have shape {tuple(v.shape)} and the dictionary {tuple(D.shape)}; expected (n, n_visible) and "
            f"(n_visible, n_hidden)"
        )
    C = v @ D
    if start is not None and start.shape != C.shape:
        raise DataError(f"start has shape {tuple(start.shape)}; expected {tuple(C.shape)}: a code for each row")
    if not bool(torch.isfinite(C.sum())):
        bad = "the rows" if not bool(torch.isfinite(v).all()) else "the products of rows and dictionary"
        raise DataError(f"{bad} hold NaN or infinity; expected finite numbers: fill the gaps in, or lower the scale")
    largest = C.abs().amax(1) if C.shape[1] else C.new_zeros(len(C))
    goal = largest.mul_(ROUNDING * torch.finfo(precision or C.dtype).eps).clamp_(min=tolerance * cost)
    return Problem(D.T @ D, C, start, float(cost), bool(positive), goal)


def check_penalty(penalty: str, positive: bool = False) -> None:
    """Raise `SettingError` unless ``penalty`` is "l1", or "log" with codes of both signs."""
    if penalty not in ("l1", "log"):
        raise SettingError(f"penalty is {penalty!r}; expected 'l1' (|h|) or 'log' (log(1 + h²))")
    if penalty == "log" and positive:
        raise SettingError("positive codes need penalty='l1'; 'log' is smooth and has codes of both signs")


def penalty_of(h: Tensor, penalty: str) -> Tensor:
    """Σ_j s(h_j): (..., n_hidden) → (...)."""
    return h.abs().sum(-1) if penalty == "l1" else torch.log1p(h * h).sum(-1)


def code_objective(v: Tensor, D: Tensor, h: Tensor, cost: float, penalty: str = "l1") -> Tensor:
    """½ ‖v − h Dᵀ‖² + cost Σ s(h) for each row: (..., n_visible), (..., n_hidden) → (...)."""
    check_penalty(penalty)
    return ((v - h @ D.T) ** 2).sum(-1) / 2 + cost * penalty_of(h, penalty)


def violation(h: Tensor, g: Tensor, cost: float, positive: bool, penalty: str = "l1", dim: int = 1) -> Tensor:
    """Largest distance of 0 from the subdifferential over ``dim``, given the gradient ``g`` of the smooth part."""
    if penalty == "log":
        return (g + 2 * cost * h / (1 + h * h)).abs().amax(dim)
    if positive:
        slope = g + cost
        return torch.where(h > 0, slope.abs(), -slope).amax(dim).clamp_(min=0)
    at_zero = g.abs().sub_(cost)
    return torch.where(h == 0, at_zero, torch.add(g, h.sign(), alpha=cost).abs_()).amax(dim).clamp_(min=0)
