"""Feature-sign search: exact L1 codes by guessing the signs of the non-zeros, many rows at once.

With signs θ ∈ {−1, 0, 1} fixed, the problem on the active coordinates is a least-squares one with the minimum

    h* = G_aa⁻¹ (C_a − cost θ_a)                                                                          (eq. 139)

A step goes from h towards h*, to the best of h* and the points where a coordinate crosses zero (which then leaves the
active set). When the active coordinates are optimal, the one zero coordinate that violates |g| ≤ cost most is made
active. Each step lowers the objective, no combination of signs comes twice, so it ends, at the minimum. Steps of all
rows are taken together, with active sets padded to the largest; rows that are done leave.

Cost per step and row: a Cholesky decomposition of the active size and its square for the line search; the number of
steps is about that of the non-zeros where codes start at zero, a few where ``start`` is near. It computes in float64
whatever the type of the rows: signs that rounding decides would be guessed again and again.

Source: Lee, Battle, Raina and Ng 2007, algorithm 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lamina.models.sparse.solvers.problem import Codes, Problem, pose

ROWS = 1024  # that are stepped together: bounds the memory of padded active sets


@torch.no_grad()
def feature_sign(
    v: Tensor,
    D: Tensor,
    cost: float,
    *,
    positive: bool = False,
    start: Tensor | None = None,
    iterations: int = 2000,
    tolerance: float = 1e-6,
) -> Codes:
    """Codes (n, n_hidden) that minimise ½ ‖v − h Dᵀ‖² + cost Σ|h| for rows ``v`` (n, n_visible), by at most
    ``iterations`` feature-sign steps; other arguments and errors as in `fista`."""
    first_codes = None if start is None else start.double()
    limits: dict[str, Any] = {"iterations": iterations, "tolerance": tolerance, "precision": v.dtype}
    problem = pose(v.double(), D.double(), cost, positive=positive, start=first_codes, **limits)
    h = problem.first()
    most = 0
    for first in range(0, len(h), ROWS):
        most = max(most, _search(problem, h[first : first + ROWS], slice(first, first + ROWS), iterations))
    return Codes(h.to(v.dtype), most, problem)


def _search(problem: Problem, h: Tensor, part: slice, iterations: int) -> int:
    """Improve ``h`` (m, n_hidden), the rows ``part`` of the problem, in place; the steps taken."""
    C, goal = problem.C[part], problem.goal[part]
    rows = torch.arange(len(h), device=h.device)
    now, signs = h.clone(), h.sign()
    for done in range(iterations):
        gradient = torch.addmm(C, now, problem.G, beta=-1)
        going = _activate(signs, now, gradient, problem, goal)
        if not bool(going.all()):
            h[rows[~going]] = now[~going]
            rows, C, goal = rows[going], C[going], goal[going]
            now, signs, gradient = now[going], signs[going], gradient[going]
        if not len(rows):
            return done
        _step(now, signs, gradient, problem)
    h[rows] = now
    return iterations


def _activate(signs: Tensor, h: Tensor, gradient: Tensor, problem: Problem, goal: Tensor) -> Tensor:
    """Give rows whose active coordinates are optimal one more, in place; which rows (m,) are not done."""
    slope = torch.add(gradient, signs, alpha=problem.cost)
    active_off = torch.where(signs != 0, slope.abs(), 0.0).amax(1)
    reach = -gradient if problem.positive else gradient.abs()
    zero_off, where = torch.where(signs == 0, reach - problem.cost, -problem.cost).max(1)
    settled = active_off <= goal
    going = ~settled | (zero_off > goal)
    adding = settled & (zero_off > goal)
    at = adding.nonzero()[:, 0]
    signs[at, where[at]] = -gradient[at, where[at]].sign()
    return going


def _step(h: Tensor, signs: Tensor, gradient: Tensor, problem: Problem) -> None:
    """One feature-sign step of every row, in place: codes and signs (m, n_hidden)."""
    size = int((signs != 0).sum(1).max())
    active = signs.abs().topk(size, dim=1).indices
    used = signs.gather(1, active) != 0  # the rest is padding
    inner = problem.G[active.unsqueeze(2), active.unsqueeze(1)] * (used.unsqueeze(2) & used.unsqueeze(1))
    from_h = h.gather(1, active)
    slope = torch.where(used, gradient.gather(1, active) + problem.cost * signs.gather(1, active), 0.0)
    move = -_solved(inner, slope, used)
    share = _best_share(from_h, move, inner, torch.where(used, gradient.gather(1, active), 0.0), problem)
    stays = (used & (_crossings(from_h, move) != share)) | (used & (share == 1))
    new = torch.where(stays, torch.addcmul(from_h, share, move), 0.0)
    h.scatter_(1, active, new)
    signs.scatter_(1, active, new.sign())


def _solved(inner: Tensor, slope: Tensor, used: Tensor) -> Tensor:
    """inner⁻¹ slope for each row, (m, size); padding and, where atoms repeat, a little of the identity are added."""
    diagonal = inner.diagonal(dim1=1, dim2=2)
    little = diagonal.amax(1, keepdim=True) * (4 * inner.shape[1] * torch.finfo(inner.dtype).eps)
    whole = inner + torch.diag_embed(torch.where(used, little, 1.0))
    factor, failed = torch.linalg.cholesky_ex(whole)
    if bool((failed > 0).any()):  # atoms that repeat, beyond what rounding forgives
        factor = torch.linalg.cholesky(whole + torch.diag_embed((1e3 * little).expand_as(diagonal)))
    return torch.cholesky_solve(slope.unsqueeze(2), factor).squeeze(2)


def _crossings(h: Tensor, move: Tensor) -> Tensor:
    """The shares of ``move`` at which coordinates reach zero, (m, size); 1 where none is in (0, 1)."""
    crossing = -h / move
    return torch.where((crossing > 0) & (crossing < 1), crossing, 1.0)


def _best_share(h: Tensor, move: Tensor, inner: Tensor, gradient: Tensor, problem: Problem) -> Tensor:
    """The share (m, 1) of ``move`` of least objective, among 1 and the crossings."""
    if problem.positive:  # as far as codes stay at or above 0
        return _crossings(h, move).amin(1, keepdim=True)
    shares = torch.cat([torch.ones_like(h[:, :1]), _crossings(h, move)], 1)
    bend = torch.einsum("mi,mij,mj->m", move, inner, move).unsqueeze(1)
    tilt = (move * gradient).sum(1, keepdim=True)
    points = torch.addcmul(h.unsqueeze(1), shares.unsqueeze(2), move.unsqueeze(1))
    objective = shares * tilt + shares**2 * bend / 2 + problem.cost * points.abs().sum(2)
    return shares.gather(1, objective.argmin(1, keepdim=True))
