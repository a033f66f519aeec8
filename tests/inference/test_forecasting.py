"""Forecasts, generation and likelihoods of frames against enumeration of the machine of each condition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import oracles
from lamina.core.errors import DataError, SettingError
from lamina.inference import conditional_log_likelihood, exact_log_partition, forecast, forecasting, generate
from lamina.models.energy import ConditionalRBM, TemporalRBM
from lamina.units import Gaussian


def scatter(model, scale: float = 0.7, seed: int = 0):
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return model


def conditional(visible=4) -> ConditionalRBM:
    return scatter(ConditionalRBM(visible, 3, 2, dtype=torch.float64))


def conditions(n: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).normal(size=(n, 2)))


@pytest.mark.parametrize("visible", [4, Gaussian(4, sigma=0.7)])
def test_the_exact_forecast_is_the_mean_of_the_machine_of_each_condition(visible, monkeypatch):
    model, x = conditional(visible), conditions()
    monkeypatch.setattr(forecasting, "STATES_AT_ONCE", 70)  # two conditions at a time
    found = forecast(model, x, "exact").numpy()
    for row, mean in zip(x, found, strict=True):
        alone = model.as_rbm(row)
        real = isinstance(visible, Gaussian)
        exact = oracles.mixture(alone).mean() if real else oracles.binary(alone).p_v @ oracles.states(4)
        np.testing.assert_allclose(mean, exact, rtol=1e-10)


@pytest.mark.parametrize("visible", [4, Gaussian(4, sigma=0.7)])
def test_the_likelihood_of_a_frame_is_that_of_the_machine_of_its_condition(visible):
    model, x = conditional(visible), conditions()
    v = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (4, 4)).astype(float))
    found = conditional_log_likelihood(model, v, x)
    assert found.dtype == torch.float64
    for k, row in enumerate(x):
        alone = model.as_rbm(row)
        exact = -float(alone.free_energy(v[k]).detach()) - exact_log_partition(alone)
        assert float(found[k]) == pytest.approx(exact, rel=1e-10)


def test_probabilities_of_all_frames_sum_to_one():
    model = conditional()
    v = torch.from_numpy(oracles.states(4))
    for row in conditions(2):
        assert float(conditional_log_likelihood(model, v, row.expand(16, -1)).exp().sum()) == pytest.approx(1)


def test_forecasts_by_gibbs_sampling_approach_the_exact_one():
    """Independent chains; a mean of probabilities deviates by less than ½ / √chains."""
    model, x = conditional(), conditions()
    n = 4000
    found = forecast(model, x, "gibbs", steps=40, n_chains=n, random_state=0)
    assert float((found - forecast(model, x, "exact")).abs().max()) < 5 * 0.5 / np.sqrt(n)


def test_mean_field_is_exact_where_hidden_units_have_no_say_and_a_fixed_point_elsewhere():
    model, x = conditional(), conditions()
    v = forecast(model, x, steps=200)
    torch.testing.assert_close(v, model.mean_v_from_h(model.mean_h_from_v(v, x), x).detach(), rtol=1e-6, atol=1e-8)
    with torch.no_grad():
        model.base.W.zero_()
    torch.testing.assert_close(forecast(model, x, steps=1), forecast(model, x, "exact"))


def temporal(visible=2) -> TemporalRBM:
    return scatter(TemporalRBM(visible, 3, n_lags=2, dtype=torch.float64), scale=1.0, seed=3)


def test_generated_frames_follow_the_distribution_of_each_step():
    """Two frames after one past, 16 outcomes: p(v_1 | past) p(v_2 | v_1, past) by enumeration."""
    model, n = temporal(), 20_000
    past = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    found = generate(model, past.expand(n, -1, -1), 2, steps=25, random_state=1)
    assert found.shape == (n, 2, 2)
    v = torch.from_numpy(oracles.states(2))

    def p(past):
        return conditional_log_likelihood(model, v, model.condition(past).expand(4, -1)).exp().numpy()

    expected = []
    for k in range(4):
        expected.append(p(past)[k] * p(torch.stack([v[k], past[0]])))
    counts = np.bincount((found.reshape(n, 4).numpy() @ [8, 4, 2, 1]).astype(int), minlength=16)
    assert stats.chisquare(counts, n * np.concatenate(expected)).pvalue > 1e-6


def test_generation_repeats_with_its_seed_and_means_are_no_draws():
    model = scatter(TemporalRBM(Gaussian(2), 3, n_lags=2, dtype=torch.float64), scale=0.3)
    past = torch.zeros(3, 2, 2, dtype=torch.float64)
    one, two, other = (generate(model, past, 4, random_state=seed) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    with torch.no_grad():
        model.conditional.W.zero_()
    smooth = generate(model, past, 3, mean_last=True, random_state=1)
    sequence = list(past[0])  # without hidden units the mean is the autoregression's
    A, b = model.autoregression.detach(), model.conditional.b.detach()
    for t in range(3):
        sequence.append(b + sequence[-1] @ A[0] + sequence[-2] @ A[1])
        torch.testing.assert_close(smooth[:, t], sequence[-1].expand(3, -1))


def test_what_cannot_be_asked_is_refused():
    model, x = conditional(), conditions()
    with pytest.raises(SettingError, match="method is 'gibs'; did you mean 'gibbs'"):
        forecast(model, x, "gibs")
    with pytest.raises(SettingError, match="steps is 0"):
        forecast(model, x, steps=0)
    with pytest.raises(DataError, match=r"conditions have shape \(4, 1\)"):
        forecast(model, x[:, 1:])
    with pytest.raises(DataError, match=r"past has shape \(1, 3, 2\); expected \(..., 2, 2\)"):
        generate(temporal(), torch.zeros(1, 3, 2), 1)
    with pytest.raises(SettingError, match="n_frames is 0"):
        generate(temporal(), torch.zeros(1, 2, 2), 0)
    with pytest.raises(SettingError, match="at most 2\\^24"):
        conditional_log_likelihood(ConditionalRBM(2, 30, 1), torch.zeros(1, 2), torch.zeros(1, 1))
