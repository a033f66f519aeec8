"""Solvers of sparse codes: optimal by the conditions, equal to each other and to scikit-learn's, in hard cases too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from lamina.core.errors import DataError, SettingError
from lamina.inference import (
    alternating_directions,
    code_objective,
    conjugate_gradient_codes,
    coordinate_descent,
    feature_sign,
    fista,
)

L1 = [alternating_directions, coordinate_descent, feature_sign, fista]
IDS = [solver.__name__ for solver in L1]
EXACT = {"iterations": 50_000, "tolerance": 1e-11}


def problem(n: int = 8, n_visible: int = 8, n_hidden: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    D = generator.normal(size=(n_visible, n_hidden))
    return torch.from_numpy(2 * generator.normal(size=(n, n_visible))), torch.from_numpy(D / np.linalg.norm(D, axis=0))


def departure(v: torch.Tensor, D: torch.Tensor, h: torch.Tensor, cost: float, positive: bool = False) -> float:
    """How far the subgradient conditions are missed, written out one coordinate at a time."""
    gradient = -(v - h @ D.T) @ D
    worst = 0.0
    for g, x in zip(gradient.flatten().tolist(), h.flatten().tolist(), strict=True):
        if x == 0:
            off = max(0.0, -g - cost) if positive else max(0.0, abs(g) - cost)
        else:
            off = abs(g + cost * np.sign(x))
        worst = max(worst, off)
    return worst


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("solver", L1, ids=IDS)
class TestL1:
    def test_optimal_and_scikit_learns(self, solver, positive):
        v, D = problem()
        found = solver(v, D, 0.5, positive=positive, **EXACT)
        assert bool(found.converged.all())
        assert departure(v, D, found.h, 0.5, positive) < 1e-9
        if positive:
            assert bool((found.h >= 0).all())
        assert 0.1 < float((found.h == 0).double().mean()) < 0.9
        for row, h in zip(v.numpy(), found.h.numpy(), strict=True):
            lasso = Lasso(0.5 / len(row), fit_intercept=False, positive=positive, tol=1e-14, max_iter=100_000)
            np.testing.assert_allclose(h, lasso.fit(D.numpy(), row).coef_, rtol=0, atol=1e-8)

    def test_the_violation_it_reports_is_the_true_one(self, solver, positive):
        v, D = problem()
        found = solver(v, D, 0.5, positive=positive, iterations=3, tolerance=1e-9)
        assert float(found.violation.max()) == pytest.approx(departure(v, D, found.h, 0.5, positive) / 0.5, rel=1e-9)
        assert not bool(found.converged.all())

    def test_tolerance_is_kept_and_saves_work(self, solver, positive):
        v, D = problem()
        coarse, fine = (solver(v, D, 0.5, positive=positive, tolerance=t) for t in (0.3, 1e-7))
        assert departure(v, D, coarse.h, 0.5, positive) <= 0.3 * 0.5 * (1 + 1e-9)
        assert coarse.iterations <= fine.iterations
        assert departure(v, D, fine.h, 0.5, positive) <= 1e-7 * 0.5 * (1 + 1e-6)

    def test_from_the_answer_it_has_little_to_do(self, solver, positive):
        v, D = problem()
        cold = solver(v, D, 0.5, positive=positive, tolerance=1e-8)
        warm = solver(v, D, 0.5, positive=positive, start=cold.h, tolerance=1e-7)
        assert warm.iterations <= 8  # a look at the conditions
        torch.testing.assert_close(warm.h, cold.h, rtol=0, atol=1e-6)
        elsewhere = torch.full_like(cold.h, -3.0)  # signs all wrong, and forbidden where codes are positive
        again = solver(v, D, 0.5, positive=positive, start=elsewhere, **EXACT)
        torch.testing.assert_close(again.h, cold.h, rtol=0, atol=1e-6)

    def test_a_cost_above_all_correlations_leaves_nothing(self, solver, positive):
        v, D = problem()
        cost = float((v @ D).abs().max()) * 1.001
        found = solver(v, D, cost, positive=positive)
        assert not bool(found.h.any())
        assert bool(found.converged.all())

    def test_repeated_and_empty_atoms(self, solver, positive):
        v, D = problem()
        D = torch.cat([D, D[:, :4], torch.zeros(8, 1, dtype=D.dtype)], 1)
        found = solver(v, D, 0.5, positive=positive, iterations=50_000, tolerance=1e-7)
        assert departure(v, D, found.h, 0.5, positive) < 1e-7
        assert not bool(found.h[:, -1].any())
        once = solver(v, D[:, :12], 0.5, positive=positive, **EXACT)
        objective = code_objective(v, D, found.h, 0.5)
        torch.testing.assert_close(objective, code_objective(v, D[:, :12], once.h, 0.5), rtol=1e-8, atol=1e-8)

    def test_one_row_no_row_and_float32(self, solver, positive):
        v, D = problem()
        whole = solver(v, D, 0.5, positive=positive, **EXACT).h
        torch.testing.assert_close(solver(v[3:4], D, 0.5, positive=positive, **EXACT).h, whole[3:4], rtol=0, atol=1e-8)
        assert solver(v[:0], D, 0.5, positive=positive).h.shape == (0, 12)
        single = solver(v.float(), D.float(), 0.5, positive=positive, tolerance=0.0)  # as exact as rounding allows
        assert single.h.dtype == torch.float32
        torch.testing.assert_close(single.h.double(), whole, rtol=0, atol=1e-3)
        assert bool(single.converged.all())

    def test_scale_of_rows_and_cost_goes_into_the_codes(self, solver, positive):
        v, D = problem()
        h = solver(v, D, 0.5, positive=positive, **EXACT).h
        larger = solver(1e4 * v, D, 5e3, positive=positive, **EXACT).h
        torch.testing.assert_close(larger, 1e4 * h, rtol=1e-7, atol=1e-4)

    def test_bad_input(self, solver, positive):
        v, D = problem()
        for cost in (0.0, -1.0, float("nan"), "1"):
            with pytest.raises(SettingError, match="cost is"):
                solver(v, D, cost, positive=positive)
        with pytest.raises(DataError, match="expected"):
            solver(v[:, :5], D, 0.5, positive=positive)
        with pytest.raises(DataError, match="start has shape"):
            solver(v, D, 0.5, positive=positive, start=torch.zeros(2, 2))
        v[0, 0] = float("inf")
        with pytest.raises(DataError, match="the rows hold NaN or infinity"):
            solver(v, D, 0.5, positive=positive)


def test_every_sweep_and_every_sign_step_lowers_the_objective():
    v, D = problem(seed=3)
    for solver in (coordinate_descent, feature_sign):
        values = torch.stack(
            [code_objective(v, D, solver(v, D, 0.5, iterations=k, tolerance=0).h, 0.5) for k in range(9)]
        )
        assert bool((values.diff(dim=0) <= 1e-12).all())
        assert float(values[0].mean()) > float(values[-1].mean())


class TestLog:
    def test_stationary_by_autograd(self):
        v, D = problem()
        found = conjugate_gradient_codes(v, D, 0.5, tolerance=1e-9, iterations=5000)
        assert bool(found.converged.all())
        h = found.h.clone().requires_grad_()
        (slope,) = torch.autograd.grad(code_objective(v, D, h, 0.5, "log").sum(), h)
        assert float(slope.abs().max()) < 1e-8
        assert float(found.violation.max()) == pytest.approx(float(slope.abs().max()) / 0.5, rel=1e-6, abs=1e-13)

    def test_a_minimum_and_not_a_saddle(self):
        v, D = problem(n=3)
        h = conjugate_gradient_codes(v, D, 0.5, tolerance=1e-9, iterations=5000).h
        for row, code in zip(v, h, strict=True):
            curvature = torch.autograd.functional.hessian(
                lambda x, row=row: code_objective(row, D, x, 0.5, "log"), code
            )
            assert float(torch.linalg.eigvalsh(curvature)[0]) > -1e-6

    @pytest.mark.parametrize("cost", [0.05, 0.5, 20.0])
    def test_every_step_lowers_every_row(self, cost):
        v, D = problem(seed=1)
        v = 5 * v  # codes beyond 1, where the penalty is concave
        values = torch.stack(
            [
                code_objective(v, D, conjugate_gradient_codes(v, D, cost, iterations=k, tolerance=0).h, cost, "log")
                for k in range(25)
            ]
        )
        assert bool((values.diff(dim=0) <= 1e-10).all())
        assert bool((values[0] > values[-1]).all())

    def test_start_decides_and_the_answer_stays(self):
        v, D = problem()
        cold = conjugate_gradient_codes(v, D, 0.5, tolerance=1e-8)
        warm = conjugate_gradient_codes(v, D, 0.5, start=cold.h, tolerance=1e-7)
        assert warm.iterations == 0
        assert torch.equal(warm.h, cold.h)

    def test_float32_and_bad_input(self):
        v, D = problem()
        h = conjugate_gradient_codes(v.float(), D.float(), 0.5).h
        torch.testing.assert_close(h.double(), conjugate_gradient_codes(v, D, 0.5, tolerance=1e-8).h, rtol=0, atol=1e-2)
        with pytest.raises(SettingError, match="cost is 0"):
            conjugate_gradient_codes(v, D, 0.0)
        v[2, 1] = float("nan")
        with pytest.raises(DataError, match="NaN"):
            conjugate_gradient_codes(v, D, 0.5)


def test_objective_knows_its_penalties():
    v, D = problem()
    with pytest.raises(SettingError, match="penalty is 'huber'"):
        code_objective(v, D, v @ D, 1.0, "huber")
