"""log Z with its interval: calibrated on machines that can be summed, and doubted where it should be."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import small_machines
import torch

import lamina
import oracles
from lamina import RBM, Random
from lamina.core.errors import DataError, SettingError, UnreliableEstimateWarning
from lamina.inference import annealing_path, exact_log_partition, log_partition
from lamina.inference.annealed_importance import forward_log_weights, reverse_log_weights
from lamina.inference.betas import as_betas
from lamina.inference.partition import effective_sample_size, estimate_log_partition, log_mean_interval
from lamina.models.energy import DBM, BoltzmannMachine, ClassificationRBM

SEEDS, CHAINS = 200, 12


def coverage(log_w: torch.Tensor, truth: float) -> float:
    """Share of `SEEDS` estimates, each from its own chains, whose interval holds log E[w] = ``truth``."""
    intervals = [log_mean_interval(part) for part in log_w.view(SEEDS, CHAINS)]
    return float(np.mean([low <= truth <= high for _, low, high in intervals]))


@pytest.mark.parametrize("pair", small_machines.pairs(), ids=small_machines.name)
def test_intervals_hold_the_truth_on_every_pair_of_families(pair):
    """200 estimates of 12 chains, run as one batch of 2,400: chains are keyed by number, so they are independent."""
    rbm = small_machines.machine(*pair)
    path = annealing_path(rbm)
    log_w = forward_log_weights(path, as_betas(30), SEEDS * CHAINS, Random(pair[0]).child(pair[1]))
    truth = exact_log_partition(rbm) - path.log_z_base
    w = torch.exp(log_w - truth)
    assert float(w.mean()) == pytest.approx(1.0, abs=5 * float(w.std()) / math.sqrt(len(w)))  # unbiased
    assert coverage(log_w, truth) >= 0.97


@pytest.mark.parametrize("visible", ["even", "odd"])
def test_intervals_hold_the_truth_on_a_deep_machine(visible):
    dbm = random_deep()
    rbm = dbm.as_rbm(visible)
    path = annealing_path(rbm)
    log_w = forward_log_weights(path, as_betas(40), SEEDS * CHAINS, Random(3))
    assert coverage(log_w, exact_log_partition(rbm) - path.log_z_base) >= 0.97


def random_deep() -> DBM:
    dbm = DBM(4, 3, 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in dbm.parameters():
            parameter.normal_(0, 0.8, generator=generator)
    return dbm


@pytest.mark.parametrize("deviation", [0.2, 1.0, 1.5])
@pytest.mark.parametrize("n", [10, 100])
def test_intervals_of_log_normal_weights_hold_their_mean(deviation, n):
    """The weights that many small steps give. The plain interval of S&M, beside it, misses far more often."""
    generator = torch.Generator().manual_seed(n)
    ours, plain = 0, 0
    for _ in range(400):
        log_w = torch.randn(n, generator=generator, dtype=torch.float64) * deviation - deviation**2 / 2
        centre, low, high = log_mean_interval(log_w)
        ours += low <= 0 <= high
        spread = 3 * float(torch.exp(log_w - centre).std()) / math.sqrt(n)
        plain += centre + math.log(max(1 - spread, 1e-300)) <= 0 <= centre + math.log1p(spread)
    assert ours >= 0.97 * 400
    if (deviation, n) == (1.5, 10):
        assert plain < 0.9 * 400


def test_an_interval_is_no_wider_than_it_must_be():
    """For many nearly equal weights it comes to three standard errors, each way."""
    log_w = 0.05 * Random(0).normal((5000, 1), torch.float64)[:, 0]
    centre, low, high = log_mean_interval(log_w)
    assert (high - low) / (6 * float(log_w.std()) / math.sqrt(5000)) == pytest.approx(1.0, rel=0.02)
    assert low < centre < high


def test_limits_of_the_interval():
    equal = torch.full((7,), 2.5, dtype=torch.float64)
    assert log_mean_interval(equal) == pytest.approx((2.5, 2.5, 2.5), abs=1e-10)
    centre, low, high = log_mean_interval(equal[:1])
    assert (centre, high) == (2.5, math.inf)
    assert low == pytest.approx(2.5 + math.log(0.00135), abs=1e-3)  # Markov
    wild = torch.tensor([0.0, 400.0, -3.0], dtype=torch.float64)
    assert math.isfinite(log_mean_interval(wild)[1])
    assert effective_sample_size(equal) == pytest.approx(7.0)
    assert effective_sample_size(wild) == pytest.approx(1.0)


def test_forward_and_reverse_hold_the_truth_between_them():
    """On average over seeds log Ẑ is too low forward and too high backward from the machine's own rows."""
    rbm = oracles.random_binary(8, 5, scale=1.0, seed=2)
    exact, path = oracles.binary(rbm), annealing_path(rbm)
    rows = exact.v[np.random.default_rng(1).choice(256, size=2000, p=exact.p_v)]
    truth = exact.log_z - path.log_z_base
    forward = forward_log_weights(path, as_betas(12), 2000, Random(0)) - truth
    backward = -reverse_log_weights(path, as_betas(12), torch.from_numpy(rows), Random(0)) - truth
    error = 4 * (float(forward.std()) + float(backward.std())) / math.sqrt(2000)
    assert float(forward.mean()) < -error < error < float(backward.mean())


def test_the_record_of_each_method():
    rbm = oracles.random_binary(8, 5, scale=0.8, seed=4)
    exact = oracles.binary(rbm)
    rows = exact.v[np.random.default_rng(1).choice(256, size=300, p=exact.p_v)]
    for method, start in (("ais", None), ("reverse-ais", rows)):
        found = log_partition(rbm, method, betas=200, random_state=1, start=start, data_mean=rows.mean(0))
        assert found.low <= exact.log_z <= found.high
        assert abs(found.log_z - exact.log_z) < 0.2
        assert (found.method, found.n_chains, found.n_temperatures) == (method, 100, 200)
        assert found.trusted
        assert found.warning is None
        assert 50 < found.effective_sample_size <= 100
        assert found.seconds > 0
    same = log_partition(rbm, method, betas=200, random_state=1, start=rows, data_mean=rows.mean(0))
    assert same.log_z == found.log_z
    summed = log_partition(rbm, "exact")
    assert summed.log_z == summed.low == summed.high == pytest.approx(exact.log_z, rel=1e-12)
    assert summed.trusted
    assert lamina.inference.log_partition is log_partition


def test_models_that_are_machines_in_disguise_and_those_with_their_own_path():
    for model in (
        random_deep(),
        ClassificationRBM(4, 3, 3, dtype=torch.float64),
        BoltzmannMachine(4, 2, dtype=torch.float64),
    ):
        exact = log_partition(model, "exact").log_z
        found = log_partition(model, betas=100, random_state=0)
        assert found.low <= exact <= found.high


def test_what_is_trusted_is_right_and_what_is_wrong_is_doubted():
    """72 estimates with too few temperatures up to enough, on couplings from weak to strong."""
    wrong, trusted = 0, 0
    for scale, seed, n in product((1.0, 2.0, 4.0), range(6), (3, 10, 30, 200)):
        rbm = oracles.random_binary(12, 10, scale=scale, seed=seed)
        truth = exact_log_partition(rbm)
        found = estimate_log_partition(rbm, "ais", n_chains=100, betas=n, random_state=seed)
        assert found.trusted == (found.warning is None)
        if abs(found.log_z - truth) > 1.0 or not found.low <= truth <= found.high:
            assert not found.trusted
            wrong += 1
        trusted += found.trusted
    assert wrong >= 15
    assert trusted >= 10


def test_doubt_is_a_warning_that_says_what_to_do():
    rbm = oracles.random_binary(12, 10, scale=3.0)
    with pytest.warns(
        UnreliableEstimateWarning, match=r"deviation .*\(3 temperatures\).*use more temperatures"
    ) as caught:
        found = log_partition(rbm, betas=3, random_state=0)
    assert str(caught[0].message) == found.warning
    assert caught[0].filename == __file__
    assert issubclass(UnreliableEstimateWarning, UserWarning)


def test_a_mode_that_no_chain_reaches_is_seen_by_the_reverse_estimate_alone():
    """A forward walk may be wrong by nats with equal weights: the reason why the reverse side exists."""
    rbm = hidden_mode()
    truth = exact_log_partition(rbm)
    forward = log_partition(rbm, betas=20, random_state=0)
    assert forward.trusted
    assert truth - forward.high > 1.0
    rows = np.ones((100, 12))
    with pytest.warns(UnreliableEstimateWarning):
        backward = log_partition(rbm, "reverse-ais", betas=20, random_state=0, start=rows)
    assert backward.log_z > truth


def hidden_mode() -> RBM:
    """Free units, but for one state, all on, that holds most of the mass behind a wall."""
    rbm = RBM(12, 1, dtype=torch.float64)
    with torch.no_grad():
        rbm.W.fill_(12.0)
        rbm.b.fill_(-2.0)
        rbm.c.fill_(-12.0 * 11 + 15.0)
    return rbm


def test_too_few_chains_are_doubted():
    rbm = oracles.random_binary(4, 3, scale=0.3)
    with pytest.warns(UnreliableEstimateWarning, match="1 chain"):
        found = log_partition(rbm, n_chains=1, betas=10, random_state=0)
    assert found.high == math.inf
    assert found.log_z == pytest.approx(oracles.binary(rbm).log_z, abs=1.0)


def test_numbers_that_are_not_finite_are_refused():
    rbm = RBM(4, 3)
    with torch.no_grad():
        rbm.W[0, 0] = float("nan")
    with pytest.raises(DataError, match="finite"):
        log_partition(rbm, betas=5, random_state=0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "magic"}, SettingError, "ais, reverse-ais, exact"),
        ({"n_chains": 0}, SettingError, "n_chains"),
        ({"betas": [0, 2, 1]}, SettingError, "betas"),
        ({"method": "reverse-ais"}, SettingError, "start="),
        ({"method": "reverse-ais", "start": np.zeros((5, 3))}, DataError, "3 features"),
        ({"method": "reverse-ais", "start": np.full((5, 4), np.nan)}, DataError, "NaN"),
        ({"method": "reverse-ais", "start": np.zeros((0, 4))}, DataError, "0 row"),
        ({"method": "reverse-ais", "start": np.full((2, 4), 7)}, DataError, "rows of start lie"),
        ({"data_mean": np.zeros(3)}, DataError, "data_mean"),
        ({"random_state": "x"}, SettingError, "random_state"),
    ],
)
def test_bad_options_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        log_partition(RBM(4, 2), **{"betas": 3, **options})


def test_what_cannot_be_summed_is_refused():
    with pytest.raises(SettingError, match=r"2\^40 states"):
        log_partition(RBM(40, 40), "exact")
    with pytest.raises(SettingError, match="no partition function"):
        log_partition(torch.nn.Linear(2, 2), "exact")
