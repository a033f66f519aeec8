"""Nonlinear conjugate gradients for the smooth penalty log(1 + h²), all rows at once (Olshausen and Field 1996).

    p ← −∇ + β p,    β = max(0, ∇·(∇ − ∇_before) / ‖∇_before‖²),    h ← h + t p                           (eq. 140)

with ∇ = hG − C + 2 cost h/(1 + h²). The step t minimises the objective along p by Newton's method in one dimension, on
products that are made once; where that does not lower the objective as it should (the penalty is not convex beyond
|h| = 1), the step is −∇·p / (pGp + 2 cost ‖p‖²), which must, because no second derivative of the penalty exceeds 2
cost. So every step lowers every row's objective.

The objective is not convex: codes are a stationary point, which depends on ``start`` (by default 0, from where the
search goes downhill along the correlations). Codes are small where the L1 penalty would make them 0, never exactly 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.models.sparse.solvers.problem import Codes, Problem, pose, violation

NEWTON = 3  # steps in one dimension
ENOUGH = 1e-4  # share of the slope that a step must gain (Armijo)


@torch.no_grad()
def conjugate_gradient_codes(
    v: Tensor,
    D: Tensor,
    cost: float,
    *,
    start: Tensor | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-4,
) -> Codes:
    """Codes (n, n_hidden) at a minimum of ½ ‖v − h Dᵀ‖² + cost Σ log(1 + h²) for rows ``v`` (n, n_visible).

    Arguments and errors as in `fista`; a row is done where no slope exceeds ``tolerance`` · cost.
    """
    problem = pose(v, D, cost, start=start, iterations=iterations, tolerance=tolerance)
    h = problem.first()
    rows = torch.arange(len(h), device=h.device)
    now, C, goal = h.clone(), problem.C, problem.goal
    smooth = torch.addmm(C, now, problem.G, beta=-1)  # the gradient of the quadratic part
    slope = smooth + _penalty_slope(now, problem.cost)
    path, done = -slope, 0
    while done < iterations:
        going = violation(now, smooth, problem.cost, False, "log") > goal
        if not bool(going.all()):
            h[rows[~going]] = now[~going]
            rows, C, goal = rows[going], C[going], goal[going]
            now, smooth, slope, path = now[going], smooth[going], slope[going], path[going]
        if not len(rows):
            break
        smooth += _move(now, path, smooth, slope, problem)
        before, slope = slope, smooth + _penalty_slope(now, problem.cost)
        path = _next_path(path, slope, before)
        done += 1
        if done % 32 == 0:  # rounding gathers in what is only ever added to
            smooth = torch.addmm(C, now, problem.G, beta=-1)
    h[rows] = now
    return Codes(h, done, problem, "log")


def _penalty_slope(h: Tensor, cost: float) -> Tensor:
    return 2 * cost * h / (1 + h * h)


def _next_path(path: Tensor, slope: Tensor, before: Tensor) -> Tensor:
    """Polak and Ribière's direction; steepest descent where it would lead uphill."""
    length = (before * before).sum(1, keepdim=True).clamp_(min=torch.finfo(path.dtype).tiny)
    beta = ((slope * (slope - before)).sum(1, keepdim=True) / length).clamp_(min=0)
    ahead = beta * path - slope
    return torch.where((ahead * slope).sum(1, keepdim=True) < 0, ahead, -slope)


def _move(h: Tensor, path: Tensor, smooth: Tensor, slope: Tensor, problem: Problem) -> Tensor:
    """Step along ``path``, ``h`` in place; what that adds to the smooth part's gradient."""
    product = path @ problem.G
    tilt, bend = (smooth * path).sum(1, keepdim=True), (product * path).sum(1, keepdim=True)
    downhill, cost = (slope * path).sum(1, keepdim=True), problem.cost
    sure = -downhill / (bend + 2 * cost * (path * path).sum(1, keepdim=True)).clamp_(min=torch.finfo(h.dtype).tiny)
    t = sure
    for _ in range(NEWTON):
        x = torch.addcmul(h, t, path)
        square = 1 + x * x
        first = tilt + t * bend + 2 * cost * (x / square * path).sum(1, keepdim=True)
        second = bend + 2 * cost * ((1 - x * x) / (square * square) * path * path).sum(1, keepdim=True)
        t = torch.where(second > 0, t - first / second, 2 * t)
    gain = t * tilt + t * t * bend / 2
    gain += cost * (torch.log1p(torch.addcmul(h, t, path) ** 2) - torch.log1p(h * h)).sum(1, keepdim=True)
    fine = (t > 0) & torch.isfinite(gain) & (gain <= ENOUGH * t * downhill)
    t = torch.where(fine, t, sure)
    h.addcmul_(t, path)
    return t * product
