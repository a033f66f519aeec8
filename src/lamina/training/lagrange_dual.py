"""The best dictionary for given codes, from two sums over rows: A = HᵀH and B = VᵀH.

    min_D ½ Σ ‖v − h Dᵀ‖²  subject to  ‖d_j‖² ≤ 1 for every atom j                                        (eq. 141)

Given one multiplier λ_j ≥ 0 per atom, the minimum is D(λ) = B (A + Λ)⁻¹, and the multipliers maximise the dual

    g(λ) = −½ tr B (A + Λ)⁻¹ Bᵀ − ½ Σ λ_j,                                                                (eq. 142)
    ∂g/∂λ_j = ½ (‖d_j‖² − 1),    ∂²g/∂λ_j∂λ_k = −(DᵀD)_jk (A + Λ)⁻¹_jk

which is concave, with as many unknowns as atoms instead of n_visible times as many: Newton's method on the multipliers
that may move (those above 0, and those at 0 whose atom is too long), halved until the dual rises. Computed in float64.

Where A is singular (fewer rows than atoms, atoms that no row uses), λ_j stays at or above a tiny share of A's mean
diagonal, which picks one of many best dictionaries. Source: Lee, Battle, Raina and Ng 2007, section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEWTON = 200  # steps at most; ten are usual
HALVINGS = 20  # of a step at most
FLOOR = 1e-9  # of A's mean diagonal: the least multiplier


def best_dictionary(
    A: Tensor, B: Tensor, multipliers: Tensor | None = None, tolerance: float = 1e-10
) -> tuple[Tensor, Tensor]:
    """D (n_visible, n_hidden) and multipliers (n_hidden,), float64, for sums ``A`` (n_hidden, n_hidden) and ``B``
    (n_visible, n_hidden).

    Newton's method begins at ``multipliers``. ‖d_j‖² exceeds 1 by at most ``tolerance``, and complementary slackness
    holds as closely; columns are then scaled down to length 1, so that the constraint holds exactly.
    """
    A, B = A.double(), B.double()
    floor = FLOOR * float(A.diagonal().mean().clamp(min=1e-30))
    start = A.diagonal() * 0.1 if multipliers is None else multipliers.double()
    point = _Point(A, B, start.clamp(min=floor))
    for _ in range(NEWTON):
        slope = (point.D * point.D).sum(0) - 1  # twice the dual's
        free = (point.multipliers > floor) | (slope > 0)
        if not bool((slope.abs() > tolerance).logical_and(free).any()):
            break
        better = _newton_step(point, slope, free, floor)
        if better is None:  # as high as rounding lets it rise
            break
        point = better
    lengths = torch.linalg.vector_norm(point.D, dim=0)
    return point.D / lengths.clamp(min=1.0), point.multipliers


class _Point:
    """The dual at ``multipliers``: inverse, dictionary and value."""

    def __init__(self, A: Tensor, B: Tensor, multipliers: Tensor) -> None:
        self.A, self.B, self.multipliers = A, B, multipliers
        factor = torch.linalg.cholesky(A + torch.diag(multipliers))
        self.inverse = torch.cholesky_inverse(factor)
        self.D = B @ self.inverse
        self.value = float(-(self.D * B).sum() / 2 - multipliers.sum() / 2)


def _newton_step(point: _Point, slope: Tensor, free: Tensor, floor: float) -> _Point | None:
    """The point one step ahead, or None where no step raises the dual."""
    curvature = (point.D.T @ point.D) * point.inverse * 2  # minus twice the dual's
    at = free.nonzero()[:, 0]
    inner = curvature[at][:, at]
    inner.diagonal().add_(inner.diagonal().mean() * 1e-12 + 1e-300)
    step = torch.zeros_like(slope)
    step[at] = torch.linalg.solve(inner, slope[at])
    share = 1.0
    for _ in range(HALVINGS):
        ahead = _Point(point.A, point.B, (point.multipliers + share * step).clamp(min=floor))
        if ahead.value > point.value:
            return ahead
        share /= 2
    return None
