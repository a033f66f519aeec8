"""SciPy's L-BFGS in the loop: the minimum of a quadratic, and how a minimisation ends."""

import numpy as np
import pytest
import torch

from lamina.core.errors import SettingError
from lamina.models import MLP
from lamina.training import FullBackPropagation, fit
from lamina.training.quasi_newton import QuasiNewton, ScipyLBFGS


def problem(n=40, d=5):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n, d))
    return X, X @ generator.normal(size=(d, 2)) + 0.1 * generator.normal(size=(n, 2))


def test_it_finds_the_least_squares():
    X, Y = problem()
    model = MLP((5, 2), dtype=torch.float64, random_state=0)
    choice = QuasiNewton(searches=100, tolerance=1e-9)
    history = fit(model, (X, Y), FullBackPropagation("squared"), epochs=1, batch_size=7, optimiser=choice)
    design = np.column_stack([X, np.ones(len(X))])
    solution, residuals, *_ = np.linalg.lstsq(design, Y, rcond=None)
    found = np.vstack([model.W[0].detach().numpy(), model.b[0].detach().numpy()])
    np.testing.assert_allclose(found, solution, rtol=1e-4, atol=1e-5)
    assert history["objective"] == [pytest.approx(residuals.sum() / len(X), rel=1e-8)]
    result = choice.made[-1].result
    assert result.status == 0
    assert result.nfev == history["evaluations"][0]


@pytest.mark.parametrize(("options", "count"), [({"searches": 3}, "nit"), ({"evaluations": 4}, "nfev")])
def test_counts_are_kept(options, count):
    X, Y = problem()
    model = MLP((5, 4, 2), activation="tanh", dtype=torch.float64, random_state=0)
    choice = QuasiNewton(tolerance=0.0, **options)
    fit(model, (X, Y), FullBackPropagation("squared"), epochs=1, optimiser=choice)
    result = choice.made[-1].result
    assert result.status == 1
    assert 1 <= getattr(result, count) <= max(options.values()) + 1


def test_parameters_in_single_precision_keep_their_type():
    parameter = torch.nn.Parameter(torch.zeros(3))
    minimiser = ScipyLBFGS([parameter], {})

    def closure():
        parameter.grad = 2 * (parameter.detach() - 1)
        return (parameter.detach() - 1).square().sum()

    assert minimiser.step(closure) == pytest.approx(0, abs=1e-10)
    assert parameter.dtype == torch.float32
    torch.testing.assert_close(parameter.detach(), torch.ones(3), rtol=1e-4, atol=1e-4)


def test_bad_settings():
    with pytest.raises(SettingError, match="evaluations is 0"):
        QuasiNewton(evaluations=0)
    with pytest.raises(SettingError, match="searches is 0"):
        QuasiNewton(searches=0)
    assert QuasiNewton(7).describe()["searches"] == 7
