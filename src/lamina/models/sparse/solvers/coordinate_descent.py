"""Cyclic coordinate descent for L1 codes, vectorised over rows: one coordinate of all rows at a time.

    h_j ← S(C_j − Σ_{k≠j} G_jk h_k, cost) / G_jj

Codes are kept transposed, (n_hidden, n), so that a coordinate is contiguous. Within a block of coordinates the
correlations with the residual are brought up to date one coordinate at a time, by a small product; all others once
per block, by a large one. Rows that are done leave the batch after a sweep.

Each sweep lowers every row's objective: what to take where that must hold, as for a few sweeps from a good guess. For
whole searches the many small operations make it the slowest of the four. Source: Friedman, Hastie and Tibshirani 2010,
the update on the Gram matrix ("covariance updates").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from lamina.models.sparse.solvers.problem import Codes, Problem, pose, violation

BLOCK = 16  # coordinates between two large products


@torch.no_grad()
def coordinate_descent(
    v: Tensor,
    D: Tensor,
    cost: float,
    *,
    positive: bool = False,
    start: Tensor | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-4,
) -> Codes:
    """Codes (n, n_hidden) that minimise ½ ‖v − h Dᵀ‖² + cost Σ|h| for rows ``v`` (n, n_visible), by ``iterations``
    sweeps over the coordinates at most; other arguments and errors as in `fista`."""
    problem = pose(v, D, cost, positive=positive, start=start, iterations=iterations, tolerance=tolerance)
    h = problem.first()
    rows = torch.arange(len(h), device=h.device)
    H = h.T.contiguous()
    C = problem.C.T.contiguous()
    Q = torch.addmm(C, problem.G, H, alpha=-1)
    goal, done = problem.goal, 0
    while len(rows) and done < iterations:
        sweep(H, Q, problem)
        done += 1
        Q = torch.addmm(C, problem.G, H, alpha=-1)  # anew: rounding gathers in what is only ever added to
        going = violation(H, -Q, problem.cost, problem.positive, dim=0) > goal
        if done == iterations or bool(going.all()):
            continue
        h[rows[~going]] = H[:, ~going].T
        rows, goal = rows[going], goal[going]
        H, Q, C = H[:, going], Q[:, going], C[:, going]
    h[rows] = H.T
    return Codes(h, done, problem)


def sweep(H: Tensor, Q: Tensor, problem: Problem) -> None:
    """One pass over the coordinates, in place: codes ``H`` and correlations with the residual ``Q``, (n_hidden, n)."""
    G, n = problem.G, H.shape[0]
    moves = torch.empty(min(BLOCK, n), H.shape[1], dtype=H.dtype, device=H.device)
    scale = G.diagonal().tolist()
    for first in range(0, n, BLOCK):
        last = min(first + BLOCK, n)
        for j in range(first, last):
            move = moves[j - first]
            if scale[j] <= 0:  # an atom of length 0 explains nothing
                move.copy_(H[j]).neg_()
                H[j].zero_()
                continue
            q = torch.addmv(Q[j], moves[: j - first].T, G[first:j, j], alpha=-1) if j > first else Q[j]
            _update(H[j], q, move, scale[j], problem)
        Q.addmm_(G[:, first:last], moves[: last - first], alpha=-1)


def _update(h: Tensor, q: Tensor, move: Tensor, scale: float, problem: Problem) -> None:
    """One coordinate of all rows (n,): ``h`` in place, its change into ``move``."""
    free = torch.add(q, h, alpha=scale)
    new = (free - problem.cost).clamp_(min=0) if problem.positive else softshrink(free, problem.cost)
    new.div_(scale)
    torch.sub(new, h, out=move)
    h.copy_(new)
