"""Conjugate gradients on functions with known minima, and the conditions that every line search must meet."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, rosen, rosen_der
from torch import nn

from lamina.core.errors import SettingError
from lamina.training.conjugate_gradients import LBFGS, ConjugateGradients, Point, line_search, minimise

FLOAT = torch.float64


class Counted:
    """A function of NumPy with its gradient, in the form that `minimise` asks; counts its calls."""

    def __init__(self, value, gradient) -> None:
        self.value, self.gradient, self.calls, self.seen = value, gradient, 0, []

    def __call__(self, x):
        self.calls += 1
        self.seen.append(x.clone())
        return float(self.value(x.numpy())), torch.from_numpy(np.asarray(self.gradient(x.numpy())))


def quadratic(n: int, seed: int = 0):
    """½ xᵀAx − bᵀx and its minimum."""
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(n, n))
    A, b = root @ root.T + 0.1 * np.eye(n), generator.normal(size=n)
    return Counted(lambda x: x @ A @ x / 2 - b @ x, lambda x: A @ x - b), np.linalg.solve(A, b)


rosenbrock = lambda: Counted(rosen, rosen_der)  # noqa: E731 - a fresh count each time


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_n_exact_searches_solve_a_quadratic_of_n_dimensions(n):
    function, solution = quadratic(n)
    found = minimise(function, torch.zeros(n, dtype=FLOAT), searches=n, curvature=1e-7, descent=1e-8)
    np.testing.assert_allclose(found.x.numpy(), solution, rtol=1e-5, atol=1e-6)
    assert found.searches <= n
    if n > 2:
        function, solution = quadratic(n)
        early = minimise(function, torch.zeros(n, dtype=FLOAT), searches=n - 2, curvature=1e-7, descent=1e-8)
        assert np.abs(early.x.numpy() - solution).max() > 1e-3


def test_rosenbrock_ends_where_scipys_does():
    start = np.array([-1.2, 1.0, -1.2, 1.0])
    theirs = minimize(rosen, start, jac=rosen_der, method="CG", options={"gtol": 1e-9, "maxiter": 1000})
    function = rosenbrock()
    ours = minimise(function, torch.from_numpy(start), searches=200)
    np.testing.assert_allclose(ours.x.numpy(), theirs.x, atol=1e-6)
    assert ours.value < 1e-12
    assert ours.evaluations == function.calls


def test_it_follows_polak_and_ribiere():
    """Two searches by hand: the second direction is −g' + βd with β = g'ᵀ(g' − g)/gᵀg."""
    function, _ = quadratic(6, seed=3)
    x = torch.ones(6, dtype=FLOAT)
    g = function(x)[1]
    first = minimise(function, x, searches=1, curvature=0.02).x
    g1 = function(first)[1]
    second = minimise(function, x, searches=2, curvature=0.02).x
    beta = float(g1 @ (g1 - g) / (g @ g))
    assert beta > 0
    moved = second - first
    direction = beta * -g - g1
    torch.testing.assert_close(moved / moved.norm(), direction / direction.norm(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("step", [1e-6, 0.05, 1.0, 300.0])
@pytest.mark.parametrize("curvature", [0.5, 0.05])
def test_a_line_search_ends_where_the_strong_wolfe_conditions_hold(step, curvature):
    """On lines with one minimum, with several, and with a wall of no finite value, from steps near and far."""
    lines = {
        "parabola": (lambda a: (a - 2) ** 2, lambda a: 2 * (a - 2)),
        "waves": (lambda a: (a - 3) ** 2 / 10 + math.sin(3 * a), lambda a: (a - 3) / 5 + 3 * math.cos(3 * a) - 4),
        "wall": (lambda a: -math.log(5 - a) - 2 * a if a < 5 else math.nan, lambda a: 1 / (5 - a) - 2),
        "flat far away": (lambda a: -math.exp(-((a - 1) ** 2)), lambda a: 2 * (a - 1) * math.exp(-((a - 1) ** 2))),
    }
    value, slope = lines["waves"]
    lines["waves"] = (lambda a, f=value: f(a) - 4 * a, slope)
    for name, (value, slope) in lines.items():
        at = lambda a, f=value, g=slope: _point(a, f, g)  # noqa: E731
        start = at(0.0)
        found = line_search(at, start, step, curvature=curvature, evaluations=60)
        assert found.step > 0, name
        assert found.value <= start.value + 1e-2 * found.step * start.slope, name
        assert abs(found.slope) <= curvature * abs(start.slope), name


def _point(a: float, f, g) -> Point:
    value = f(a)
    if not math.isfinite(value):
        return Point(a, math.inf, math.nan, torch.zeros(1))
    return Point(a, value, g(a), torch.zeros(1))


def test_where_no_step_descends_x_stays():
    """A gradient that points the wrong way: every step rises, and the search ends at 0 instead of going uphill."""
    function = Counted(lambda x: float(x @ x), lambda x: -2 * x)
    start = torch.ones(3, dtype=FLOAT)
    found = minimise(function, start, searches=5)
    assert torch.equal(found.x, start)
    assert found.value == 3.0
    assert (found.searches, found.evaluations) == (1, function.calls)


def test_at_a_minimum_nothing_is_searched():
    function, solution = quadratic(1)
    function.gradient = lambda x: np.zeros(1)
    found = minimise(function, torch.from_numpy(solution), searches=3)
    assert (found.searches, found.evaluations, function.calls) == (0, 1, 1)


def test_an_infinite_start_is_left_alone():
    function = Counted(lambda x: math.nan, lambda x: np.ones(2))
    found = minimise(function, torch.zeros(2, dtype=FLOAT))
    assert math.isnan(found.value)
    assert found.evaluations == 1


@pytest.mark.parametrize(
    ("options", "match"), [({"curvature": 1.5}, "curvature is 1.5"), ({"descent": 0.7}, "descent is 0.7")]
)
def test_settings_out_of_range(options, match):
    with pytest.raises(SettingError, match=match):
        minimise(rosenbrock(), torch.zeros(2, dtype=FLOAT), **options)


def closure_of(parameters, calls):
    """Rosenbrock's function of all parameters laid side by side."""

    def closure():
        calls.append(1)
        x = torch.cat([p.reshape(-1) for p in parameters])
        value = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        for p, g in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
            p.grad = g
        return value.detach()

    return closure


def test_the_optimiser_is_the_function_on_parameters_of_any_shape():
    parameters = [
        nn.Parameter(torch.tensor([[-1.2, 1.0], [-1.2, 1.0]], dtype=FLOAT)),
        nn.Parameter(torch.ones((), dtype=FLOAT)),
    ]
    calls: list[int] = []
    optimiser = ConjugateGradients(parameters, searches=7)
    first = optimiser.step(closure_of(parameters, calls))
    expected = minimise(rosenbrock(), torch.tensor([-1.2, 1.0, -1.2, 1.0, 1.0], dtype=FLOAT), searches=7)
    torch.testing.assert_close(torch.cat([p.detach().reshape(-1) for p in parameters]), expected.x)
    assert first == pytest.approx(expected.value)
    assert optimiser.evaluations == len(calls) == expected.evaluations
    assert optimiser.step(closure_of(parameters, calls)) < first


def test_lbfgs_returns_where_it_ended_and_forgets_on_demand():
    parameters = [nn.Parameter(torch.tensor([-1.2, 1.0], dtype=FLOAT))]
    optimiser = LBFGS(parameters, searches=5)
    value = optimiser.step(closure_of(parameters, []))
    assert value == pytest.approx(rosen(parameters[0].detach().numpy()))
    assert value < rosen(np.array([-1.2, 1.0]))
    assert optimiser.state
    optimiser.restart()
    assert not optimiser.state
    for _ in range(10):
        value = optimiser.step(closure_of(parameters, []))
    assert value < 1e-10
