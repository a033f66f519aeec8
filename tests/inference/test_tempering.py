"""Parallel tempering keeps each temperature's distribution, and crosses between modes where Gibbs sampling does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import oracles
from lamina import RBM
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import gibbs
from lamina.inference.tempering import Tempering, parallel_tempering
from lamina.units import Bernoulli, Binomial, Concatenated, Gaussian, Rectified, Softmax, Spin

BETAS = (0.0, 0.3, 0.7, 1.0)
MACHINES = {
    "binary": (lambda: Bernoulli(4), lambda: Bernoulli(3)),
    "concatenated": (lambda: Concatenated([Bernoulli(1), Softmax(3), Spin(1)]), lambda: Binomial(2, trials=2)),
    "gaussian hidden": (lambda: Softmax(3, n_groups=2), lambda: Gaussian(2, sigma=0.8).double()),
    "rectified hidden": (lambda: Bernoulli(3), lambda: Rectified(2)),
}


def at_temperature(rbm: RBM, base: torch.Tensor, beta: float) -> RBM:
    """The machine with parameters βW, (1 − β) b_A + β b, βc, spelt out."""
    cooled = RBM(rbm.visible, rbm.hidden, dtype=torch.float64)
    with torch.no_grad():
        cooled.W.copy_(beta * rbm.W)
        cooled.b.copy_((1 - beta) * base + beta * rbm.b)
        cooled.c.copy_(beta * rbm.c)
    return cooled


def distributions(rbm: RBM, base: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The visible states (k, n_visible), and p(v) at each temperature (T, k), by the oracle."""
    found = [oracles.pair(at_temperature(rbm, base, beta)) for beta in BETAS]
    return found[0].v, np.array([np.exp(-one.free_energy - one.log_z) for one in found])


@pytest.fixture(params=sorted(MACHINES))
def tempered(request):
    visible, hidden = MACHINES[request.param]
    rbm = oracles.random_pair(visible(), hidden(), scale=0.8, seed=3)
    sampler = Tempering(rbm, BETAS, np.linspace(0.2, 0.6, rbm.n_visible))
    states, p = distributions(rbm, sampler.base)
    return sampler, states, p


def exact_draws(n: int, states: np.ndarray, p: np.ndarray) -> torch.Tensor:
    """``n`` rows at each temperature, (n, T, n_visible)."""
    generator = np.random.default_rng(0)
    chosen = np.stack([generator.choice(len(states), size=n, p=row / row.sum()) for row in p], 1)
    return torch.from_numpy(states[chosen])


def counts(v: torch.Tensor, states: np.ndarray) -> np.ndarray:
    return (v.numpy()[:, None] == states).all(-1).sum(0)


def frequent(observed: np.ndarray, expected: np.ndarray) -> list[np.ndarray]:
    """Both counts with all that is expected fewer than 5 times as one class."""
    rare = expected < 5
    if not rare.any():
        return [observed, expected]
    return [np.append(x[~rare], x[rare].sum()) for x in (observed, expected)]


def test_exact_draws_stay_exact_at_every_temperature(tempered):
    sampler, states, p = tempered
    n = 8_000
    replicas = sampler.from_rows(exact_draws(n, states, p))
    for step in range(2):
        sampler.sweep(replicas, Random(5).child(step))
    for t in range(len(BETAS)):
        assert stats.chisquare(counts(replicas.v[:, t], states), n * p[t]).pvalue > 1e-6
    torch.testing.assert_close(replicas.fields, sampler.rbm.field_h(replicas.v).detach())


def test_exchanges_alone_keep_the_joint_distribution_of_two_neighbours(tempered):
    """Were a pair exchanged too often, both temperatures' margins could stay right and their product would not."""
    sampler, states, p = tempered
    n = 20_000
    replicas = sampler.from_rows(exact_draws(n, states, p))
    before = replicas.v.clone()
    sampler.exchange(replicas, 1, Random(6))
    number = (replicas.v[:, :, None] == torch.from_numpy(states)).all(-1).double().argmax(-1)
    together = np.bincount((number[:, 1] * len(states) + number[:, 2]).numpy(), minlength=len(states) ** 2)
    expected = n * np.outer(p[1], p[2]).ravel()
    assert stats.chisquare(*frequent(together, expected)).pvalue > 1e-6
    assert torch.equal(replicas.v[:, [0, 3]], before[:, [0, 3]])
    assert not torch.equal(replicas.v[:, 1], before[:, 1])


def test_the_rate_of_exchange_is_that_of_metropolis(tempered):
    """Σ p(v) p′(v′) min(1, p(v′) p′(v) / (p(v) p′(v′))) over all pairs of states."""
    sampler, states, p = tempered
    n = 20_000
    for first in (0, 1):
        replicas = sampler.from_rows(exact_draws(n, states, p))
        rates = sampler.exchange(replicas, first, Random(7))
        for pair, rate in enumerate(rates.tolist()):
            low, high = p[first + 2 * pair], p[first + 2 * pair + 1]
            expected = np.minimum(np.outer(low, high), np.outer(high, low)).sum()
            assert abs(rate - expected) < 5 * 0.5 / np.sqrt(n)


def two_moods() -> RBM:
    """Ten spins that two hidden spins hold together: nearly all up, or nearly all down, each with probability ½."""
    rbm = RBM(Spin(10), Spin(2), dtype=torch.float64)
    with torch.no_grad():
        rbm.W.fill_(0.9)
    return rbm


def test_tempering_mixes_what_gibbs_sampling_does_not():
    rbm, n = two_moods(), 800
    start = torch.ones(n, 10, dtype=torch.float64)
    stuck = gibbs(rbm, start, 50, Random(1))
    assert (stuck.sum(1) > 0).double().mean() > 0.95
    found = parallel_tempering(rbm, n, 50, Random(1), betas=10, start=start)
    assert found.v.shape == (n, 10)
    assert found.replicas.shape == (n, 10, 10)
    assert torch.equal(found.replicas[:, -1], found.v)
    assert found.swap_rates.shape == (9,)
    assert (found.swap_rates > 0.2).all()
    exact = oracles.pair(rbm)
    p = np.exp(-exact.free_energy - exact.log_z)
    up = (exact.v == 1).sum(1)  # states with as many spins up are equally probable
    observed = np.bincount((found.v == 1).sum(1).numpy(), minlength=11)
    expected = n * np.bincount(up, weights=p)
    assert stats.chisquare(*frequent(observed, expected)).pvalue > 1e-6


def test_chains_begin_at_the_base_rates():
    rbm = oracles.random_binary(4, 3)
    mean = np.array([0.1, 0.5, 0.7, 0.95])
    found = parallel_tempering(rbm, 20_000, 0, Random(2), betas=3, data_mean=mean)
    assert found.betas == (0.0, 0.5, 1.0)
    assert (np.abs(found.replicas.numpy().mean((0, 1)) - mean) < 5 * np.sqrt(0.25 / 60_000)).all()
    assert (found.swap_rates == 0).all()


def test_chains_draw_the_same_numbers_whatever_chains_run_beside_them():
    sampler = Tempering(oracles.random_binary(4, 3), 4)
    rows = torch.arange(6)
    start = sampler.start(6, Random(0)).v
    whole, part = sampler.from_rows(start.clone()), sampler.from_rows(start[2:4].clone())
    sampler.sweep(whole, Random(9).at(1, rows))
    sampler.sweep(part, Random(9).at(1, rows[2:4]))
    assert torch.equal(whole.v[2:4], part.v)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_of_the_machine_is_kept(dtype):
    found = parallel_tempering(RBM(Gaussian(3), 2, dtype=dtype), 5, 2, Random(0), betas=(0.0, 0.4, 1.0))
    assert found.v.dtype == dtype
    assert torch.isfinite(found.v).all()


def test_what_cannot_be_tempered_is_refused():
    rbm = RBM(4, 3)
    with pytest.raises(SettingError, match="number of temperatures"):
        parallel_tempering(rbm, 5, 2, Random(0), betas=1)
    with pytest.raises(SettingError, match=r"from 0\.5 to 1"):
        parallel_tempering(rbm, 5, 2, Random(0), betas=(0.5, 1.0))
    with pytest.raises(SettingError, match="steps"):
        parallel_tempering(rbm, 5, -1, Random(0))
    with pytest.raises(SettingError, match="n_chains"):
        parallel_tempering(rbm, 0, 1, Random(0))
    with pytest.raises(DataError, match="data_mean has shape"):
        parallel_tempering(rbm, 5, 1, Random(0), data_mean=np.zeros(3))
    with pytest.raises(SettingError, match="another distribution than its energy"):
        parallel_tempering(RBM(4, Rectified(3, sampler="noisy")), 5, 1, Random(0))
    with pytest.raises(DataError, match="start has shape"):
        parallel_tempering(rbm, 5, 1, Random(0), start=torch.zeros(4, 4))
