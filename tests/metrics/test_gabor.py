"""Gabor fits: known functions are found, noise and other shapes are not, derivatives are right."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.metrics.gabor import FASTEST, NARROWEST, GaborFits, _Problem, fit_gabor

SIDE = 12
N = 60


def random_gabors(n: int, seed: int = 0) -> GaborFits:
    """Functions well inside a patch, of all orientations and phases."""
    g = np.random.default_rng(seed)
    uniform = [(3, 8), (3, 8), (1.2, 2.8), (1.2, 3.5), (0, np.pi), (0.08, 0.35), (0.1, 3), (-np.pi, np.pi)]
    return GaborFits(np.ones(n), *(g.uniform(low, high, n) for low, high in uniform))


def written_out(x0, y0, sx, sy, theta, f, amplitude, phase) -> np.ndarray:
    """One function by its formula: amplitude · window · cos(2πf x' − phase)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    along = (x - x0) * np.cos(theta) + (y - y0) * np.sin(theta)
    across = (y - y0) * np.cos(theta) - (x - x0) * np.sin(theta)
    window = np.exp(-(along**2) / (2 * sx**2) - across**2 / (2 * sy**2))
    return amplitude * window * np.cos(2 * np.pi * f * along - phase)


@pytest.fixture(scope="module")
def known() -> tuple[GaborFits, GaborFits]:
    true = random_gabors(N)
    return true, fit_gabor(true.functions(SIDE, SIDE))


def test_the_function_is_the_formula():
    true = random_gabors(3)
    pictures = true.functions(SIDE, SIDE)
    for k in range(3):
        names = ("x", "y", "sigma_along", "sigma_across", "orientation", "frequency", "amplitude", "phase")
        expected = written_out(*(getattr(true, name)[k] for name in names))
        np.testing.assert_allclose(pictures[k], expected, atol=1e-12)


def test_gabor_functions_are_found(known):
    true, found = known
    assert (found.r2 > 0.999).mean() > 0.98
    good = found.r2 > 0.99999
    assert good.mean() > 0.9
    pictures = true.functions(SIDE, SIDE)
    np.testing.assert_allclose(found.functions(SIDE, SIDE)[good], pictures[good], atol=0.02)


def test_parameters_are_found_where_they_are_determined(known):
    """Several cycles under the window: a wider one has the same picture with other parameters."""
    true, found = known
    clear = (found.r2 > 0.99999) & (true.frequency * true.sigma_along > 0.35)
    assert clear.sum() > 20
    turned = np.angle(np.exp(2j * (found.orientation - true.orientation))) / 2
    np.testing.assert_allclose(turned[clear], 0, atol=0.02)
    np.testing.assert_allclose(found.frequency[clear], true.frequency[clear], rtol=0.05)
    np.testing.assert_allclose(found.sigma_across[clear], true.sigma_across[clear], rtol=0.05)
    assert ((found.orientation >= 0) & (found.orientation < np.pi)).all()


def test_r2_is_that_of_the_function_returned_at_any_scale():
    generator = np.random.default_rng(1)
    filters = random_gabors(8).functions(SIDE, SIDE) + generator.normal(size=(8, SIDE, SIDE)) * 0.3 + 0.1
    for scale in (1.0, 1e-6, 1e6):
        found = fit_gabor(filters * scale)
        left = ((filters * scale - found.functions(SIDE, SIDE)) ** 2).sum((1, 2))
        centred = (filters - filters.mean((1, 2), keepdims=True)) * scale
        np.testing.assert_allclose(found.r2, 1 - left / (centred**2).sum((1, 2)), rtol=1e-8)


def test_noise_and_checks_are_no_gabor_functions():
    generator = np.random.default_rng(2)
    assert fit_gabor(generator.normal(size=(30, SIDE, SIDE))).r2.max() < 0.5
    y, x = np.mgrid[:SIDE, :SIDE]
    check = np.sin(2 * np.pi * 2 * x / SIDE) * np.sin(2 * np.pi * 2 * y / SIDE)  # a sum of two gratings
    assert fit_gabor(check[None]).r2[0] < 0.7


def test_limits_hold_and_a_single_pixel_is_at_the_narrowest():
    pixel = np.zeros((1, SIDE, SIDE))
    pixel[0, 4, 7] = -2.0
    found = fit_gabor(np.concatenate([pixel, np.random.default_rng(3).normal(size=(10, SIDE, SIDE))]))
    assert found.r2[0] > 0.9
    assert (found.x[0], found.y[0]) == (pytest.approx(7, abs=0.1), pytest.approx(4, abs=0.1))
    assert found.sigma_along.min() >= NARROWEST * (1 - 1e-12)
    assert found.sigma_across.max() <= SIDE * (1 + 1e-12)
    assert (found.frequency <= FASTEST).all()
    assert (found.frequency >= 0).all()


def test_derivatives_are_those_of_the_function():
    generator = np.random.default_rng(4)
    problem = _Problem(np.zeros((5, 6, 7)))
    p = np.column_stack([generator.uniform(1, 5, (5, 2)), generator.uniform(0, 1, (5, 6))])
    g, parts = problem.functions(p)
    slopes = problem.derivatives(p, g, parts)
    for k in range(8):
        step = np.zeros(8)
        step[k] = 1e-6
        numeric = (problem.functions(p + step)[0] - problem.functions(p - step)[0]) / 2e-6
        np.testing.assert_allclose(slopes[:, k], numeric, atol=1e-7)


def test_descent_never_raises_the_error():
    generator = np.random.default_rng(5)
    problem = _Problem(generator.normal(size=(20, 8, 8)))
    p = problem.completed(np.column_stack([generator.uniform(2, 6, (20, 2)), generator.uniform(0, 0.5, (20, 4))]))
    errors = [((problem.w - problem.functions(p)[0]) ** 2).sum(1)]
    for _ in range(6):
        p, error = problem.descend(p, 1)
        errors.append(error)
    assert (np.diff(np.array(errors), axis=0) <= 1e-12).all()
    assert errors[-1].mean() < errors[0].mean()


def test_bandwidth_is_the_width_of_the_transform():
    wide = GaborFits(*(np.array([v]) for v in (1, 32, 32, 4.0, 4.0, 0.0, 0.2, 1.0, 0.0)))
    f = np.linspace(0, 0.5, 20001)
    gain = np.exp(-2 * (np.pi * 4.0 * (f - 0.2)) ** 2)
    above = f[gain >= 0.5]
    assert wide.bandwidth[0] == pytest.approx(np.log2(above[-1] / above[0]), abs=1e-3)
    blob = GaborFits(*(np.array([v]) for v in (1, 32, 32, 1.0, 1.0, 0.0, 0.1, 1.0, 0.0)))
    assert blob.bandwidth[0] == np.inf


def test_a_constant_filter_has_no_fit():
    assert fit_gabor(np.zeros((1, 6, 6))).r2[0] == 0
    assert fit_gabor(np.full((1, 6, 6), 3.0)).r2[0] == 0


@pytest.mark.parametrize("filters", [np.zeros((2, 3, 12)), np.zeros((12, 12)), np.zeros((0, 12, 12))])
def test_what_are_no_filters_is_refused(filters):
    with pytest.raises(DataError, match=r"at least one of at least 4 × 4 pixels"):
        fit_gabor(filters)
    with pytest.raises(DataError, match="NaN"):
        fit_gabor(np.full((1, 5, 5), np.nan))
