"""Accelerated proximal gradient (FISTA) for L1 codes, all rows at once on the Gram matrix.

    h ← S(y − (yG − C)/L, cost/L),    y ← h + β (h − h_before),    β = (t − 1)/t',  t' = (1 + √(1 + 4t²))/2   (eq. 137)

with S the soft threshold and L the largest eigenvalue of G. A row's momentum starts anew where it points uphill,
(y − h)·(h − h_before) > 0, which makes the end linear once the set of non-zeros is found. Rows that are done leave the
batch, so that slow rows alone pay for their slowness.

Cost: one product (n, n_hidden) × (n_hidden, n_hidden) per iteration; the number of iterations grows with L over the
smallest curvature on the non-zeros, hundreds for coherent dictionaries, where coordinate descent or feature-sign search
does better at small tolerances.

Sources: Beck and Teboulle 2009 (FISTA); O'Donoghue and Candès 2015 (restart).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from lamina.models.sparse.solvers.problem import Codes, Problem, pose, violation

LOOK_EVERY = 8  # iterations between looks at the optimality conditions


@torch.no_grad()
def fista(
    v: Tensor,
    D: Tensor,
    cost: float,
    *,
    positive: bool = False,
    start: Tensor | None = None,
    iterations: int = 2000,
    tolerance: float = 1e-4,
) -> Codes:
    """Codes (n, n_hidden) that minimise ½ ‖v − h Dᵀ‖² + cost Σ|h| for rows ``v`` (n, n_visible), by FISTA.

    ``start`` holds first codes (zeros by default), ``tolerance`` is the largest violation of the optimality conditions
    as a share of the cost. Where ``iterations`` end first, codes are what they are and ``converged`` says so. Raises
    `DataError`, `SettingError`.
    """
    problem = pose(v, D, cost, positive=positive, start=start, iterations=iterations, tolerance=tolerance)
    h = problem.first()
    step = 1 / largest_eigenvalue(problem.G)
    rows = torch.arange(len(h), device=h.device)
    state = _State(h, problem.C, problem.goal)
    done = 0
    while len(rows) and done < iterations:
        for _ in range(min(LOOK_EVERY, iterations - done)):
            state.advance(problem, step)
            done += 1
        rows = _let_go(state, problem, rows, h)
    h[rows] = state.h
    return Codes(h, done, problem)


class _State:
    """The rows still in the batch: codes ``h``, points ahead ``y`` (m, n_hidden) and momenta ``t`` (m, 1)."""

    def __init__(self, h: Tensor, C: Tensor, goal: Tensor) -> None:
        self.h, self.y, self.C, self.goal = h.clone(), h.clone(), C, goal
        self.t = torch.ones_like(C[:, :1])

    def advance(self, problem: Problem, step: float) -> None:
        """One iteration."""
        h = torch.addmm(self.C, self.y, problem.G, beta=step, alpha=-step).add_(self.y)
        h = (h - problem.cost * step).clamp_(min=0) if problem.positive else softshrink(h, problem.cost * step)
        move = h - self.h
        uphill = ((self.y - h) * move).sum(1, keepdim=True) > 0
        t = torch.where(uphill, 1.0, (1 + torch.sqrt(1 + 4 * self.t * self.t)) / 2)
        ahead = torch.where(uphill, 0.0, (self.t - 1) / t)
        self.h, self.t = h, t
        self.y = torch.addcmul(h, ahead, move)

    def keep(self, rows: Tensor) -> None:
        """Go on with these ``rows`` (indices into the batch) alone."""
        self.h, self.y, self.t = self.h[rows], self.y[rows], self.t[rows]
        self.C, self.goal = self.C[rows], self.goal[rows]


def _let_go(state: _State, problem: Problem, rows: Tensor, h: Tensor) -> Tensor:
    """Write rows that are done into ``h`` and take them out of ``state``; the row numbers that stay."""
    off = violation(state.h, torch.addmm(state.C, state.h, problem.G, beta=-1), problem.cost, problem.positive)
    going = off > state.goal
    if bool(going.all()):
        return rows
    h[rows[~going]] = state.h[~going]
    state.keep(going.nonzero()[:, 0])
    return rows[going]


def largest_eigenvalue(G: Tensor) -> float:
    """Of a symmetric positive matrix; 1 where it is 0, since a step of any length then does nothing."""
    return float(torch.linalg.eigvalsh(G.double())[-1]) * (1 + 1e-6) or 1.0
