"""Conjugate gradients: minimise a smooth function by line searches along directions that do not undo one another.

From x with gradient g, the first direction is d = −g; after each line search             (docs/mathematics.md, 104-106)

    β = max(0, g'ᵀ(g' − g) / gᵀg)  (Polak & Ribière 1969, never negative),    d ← −g' + β d,

and steepest descent again where d would lead uphill. On a quadratic of n dimensions with exact line searches, n
searches reach the minimum. A line search ends at a step α that meets the strong Wolfe conditions

    f(x + αd) ≤ f(x) + c₁ α gᵀd      and      |∇f(x + αd)ᵀd| ≤ c₂ |gᵀd|.

It extrapolates until it has a minimum between two steps and then interpolates there, always by the cubic through two
values and two slopes (Nocedal & Wright 2006, algorithms 3.5 and 3.6), kept away from the ends. A value that is no
finite number counts as too high. Where no step meets the conditions within the evaluations allowed (rounding, mostly),
the lowest point seen that descends enough is taken; where there is none, x stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number

DESCENT = 1e-2  # c₁
CURVATURE = 0.5  # c₂: much smaller costs evaluations, much larger wastes the directions
EVALUATIONS = 20  # at most, per line search
GROWTH = 5.0  # an extrapolated step is at most so many times the last one
MARGIN = 0.1  # share of an interval that interpolation keeps away from its ends
ROUNDING = 1e-16  # an interval over which the line falls by a smaller share of the value is not searched further
LEAP = 100.0  # a line search begins at most so many times further than the last one ended

Evaluate = Callable[[Tensor], tuple[float, Tensor]]


@dataclass(frozen=True)
class Point:
    """A place x + αd on a line: the step α, value f, slope ∇fᵀd, and the gradient ∇f (n,)."""

    step: float
    value: float
    slope: float
    gradient: Tensor


@dataclass(frozen=True)
class Minimised:
    """Where a minimisation ended: x (n,), its value, the line searches and evaluations that were spent."""

    x: Tensor
    value: float
    searches: int
    evaluations: int


@dataclass
class _Line:
    """f along x + αd; counts its evaluations."""

    evaluate: Evaluate
    x: Tensor
    direction: Tensor
    evaluations: int = 0

    def at(self, step: float) -> Point:
        self.evaluations += 1
        value, gradient = self.evaluate(self.x + step * self.direction)
        slope = float(torch.dot(gradient, self.direction))
        finite = math.isfinite(value) and math.isfinite(slope)
        return Point(step, value if finite else math.inf, slope if finite else math.nan, gradient)


def minimise(
    evaluate: Evaluate, x: Tensor, *, searches: int = 3, curvature: float = CURVATURE, descent: float = DESCENT
) -> Minimised:
    """At most ``searches`` line searches from ``x`` (n,); ``evaluate(x)`` gives the value and the gradient (n,).

    Ends before where the gradient is 0 or neither the direction nor steepest descent leads down. ``curvature`` and
    ``descent`` are c₂ and c₁ of the Wolfe conditions, 0 < c₁ < c₂ < 1.
    """
    check_number("curvature", curvature, low=0.0, high=1.0)
    check_number("descent", descent, low=0.0, high=curvature)
    value, gradient = evaluate(x)
    square, evaluations = float(torch.dot(gradient, gradient)), 1
    direction, slope, step = -gradient, -square, 1 / (1 + square)
    done, fresh = 0, True  # fresh: the direction is that of steepest descent
    while done < searches and math.isfinite(value) and 0 < square < math.inf:
        line = _Line(evaluate, x, direction)
        found = line_search(line.at, Point(0.0, value, slope, gradient), step, curvature=curvature, descent=descent)
        evaluations += line.evaluations
        done += 1
        if found.step == 0.0:
            if fresh:
                break
            direction, slope, step, fresh = -gradient, -square, 1 / (1 + square), True
            continue
        x, value = x + found.step * direction, found.value
        beta = max(0.0, float(torch.dot(found.gradient, found.gradient - gradient)) / square)
        gradient, square = found.gradient, float(torch.dot(found.gradient, found.gradient))
        direction = beta * direction - gradient
        before, slope = slope, float(torch.dot(direction, gradient))
        fresh = slope >= 0 or beta == 0
        if fresh:
            direction, slope = -gradient, -square
        step = found.step * min(LEAP, before / slope) if slope < 0 else found.step
    return Minimised(x, value, done, evaluations)


def line_search(
    at: Callable[[float], Point],
    start: Point,
    step: float,
    *,
    curvature: float = CURVATURE,
    descent: float = DESCENT,
    evaluations: int = EVALUATIONS,
) -> Point:
    """A point on the line that meets the strong Wolfe conditions, first tried at ``step``; ``start`` (step 0) if none.

    ``at(α)`` evaluates the line. See the module for what is taken when ``evaluations`` run out.
    """

    def descends(point: Point) -> bool:
        return point.value <= start.value + descent * point.step * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= curvature * abs(start.slope)

    best, low, high = start, start, None
    for _ in range(evaluations):
        point = at(step)
        if descends(point) and point.value < best.value:
            best = point
        if descends(point) and flat(point):
            return point
        if not descends(point) or point.value >= low.value:
            high = point
        else:
            if point.slope * ((high.step if high else math.inf) - point.step) >= 0:  # downhill lies towards low
                high = low
            low = point
        step = _beyond(start, point) if high is None else _between(low, high)
        if high is not None and abs((high.step - low.step) * low.slope) <= ROUNDING * abs(start.value):
            break
    return best


def _between(low: Point, high: Point) -> float:
    """A step between two points: the cubic's minimum, kept `MARGIN` of the interval away from its ends."""
    width = high.step - low.step
    step = _cubic_minimum(low, high) if math.isfinite(high.value) else math.nan
    if not math.isfinite(step):
        return low.step + width / 2
    share = min(max((step - low.step) / width, MARGIN), 1 - MARGIN)
    return low.step + share * width


def _beyond(start: Point, point: Point) -> float:
    """A step further than ``point``, where the line still falls: the cubic's minimum if it lies ahead and not far."""
    step = _cubic_minimum(start, point)
    furthest = GROWTH * point.step
    if not math.isfinite(step) or step <= point.step or step > furthest:
        return furthest
    return max(step, (1 + MARGIN) * point.step)


def _cubic_minimum(a: Point, b: Point) -> float:
    """The minimum of the cubic through both values and slopes (Nocedal & Wright, eq. 3.59); NaN where it has none."""
    width = b.step - a.step
    one = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    under = one * one - a.slope * b.slope
    if not under >= 0:
        return math.nan
    two = math.copysign(math.sqrt(under), width)
    below = b.slope - a.slope + 2 * two
    return b.step - width * (b.slope + two - one) / below if below else math.nan


class ConjugateGradients(torch.optim.Optimizer):
    """`minimise` in the shape of a PyTorch optimiser: each `step` is ``searches`` line searches from where it stands.

    Nothing is remembered between steps, so that every batch begins with steepest descent. ``evaluations`` counts all
    calls of the closure so far.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], searches: int = 3, curvature: float = CURVATURE) -> None:
        super().__init__(list(parameters), {"searches": int(searches), "curvature": float(curvature)})
        self.evaluations = 0

    def step(self, closure: Any = None) -> float:  # type: ignore[override]  # a closure it must have
        """Minimise ``closure()``, which sets ``.grad`` and returns the value; returns the value where it ended."""
        group = self.param_groups[0]
        parameters = group["params"]

        def evaluate(x: Tensor) -> tuple[float, Tensor]:
            _scatter(x, parameters)
            with torch.enable_grad():
                value = float(closure())
            return value, torch.cat([p.grad.reshape(-1) for p in parameters])

        x = torch.cat([p.detach().reshape(-1) for p in parameters])
        found = minimise(evaluate, x, searches=group["searches"], curvature=group["curvature"])
        self.evaluations += found.evaluations
        _scatter(found.x, parameters)
        return found.value

    def restart(self) -> None:
        """Nothing to forget."""


@torch.no_grad()
def _scatter(x: Tensor, parameters: list[nn.Parameter]) -> None:
    for parameter, part in zip(parameters, x.split([p.numel() for p in parameters]), strict=True):
        parameter.copy_(part.view_as(parameter))


class LBFGS(torch.optim.LBFGS):
    """PyTorch's L-BFGS with strong Wolfe conditions, ``searches`` iterations per step; `step` returns the last value.

    Its memory lasts from step to step until `restart`.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], searches: int = 20) -> None:
        super().__init__(list(parameters), lr=1.0, max_iter=int(searches), line_search_fn="strong_wolfe")

    def step(self, closure: Any = None) -> float:  # type: ignore[override]  # the value where it ended, not began
        values: list[float] = []

        def noted() -> float:
            values.append(float(closure()))
            return values[-1]

        super().step(noted)  # type: ignore[arg-type]  # a number will do
        return values[-1]

    def restart(self) -> None:
        """Forget the curvature seen so far."""
        self.state.clear()


MINIMISERS: dict[str, Callable[[list[nn.Parameter], int], ConjugateGradients | LBFGS]] = {
    "cg": ConjugateGradients,
    "lbfgs": LBFGS,
}
