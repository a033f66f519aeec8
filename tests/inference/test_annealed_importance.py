"""Annealing along every path: each weight and each transition against enumeration, then what a walk must keep to."""

from __future__ import annotations

import numpy as np
import pytest
import small_machines
import torch
from scipy import stats

import oracles
from lamina import RBM, Random
from lamina.core.errors import DataError, SettingError
from lamina.inference import annealed_importance as module
from lamina.inference import annealing_path, exact_log_partition
from lamina.inference.annealed_importance import forward_log_weights, reverse_log_weights
from lamina.inference.annealing_paths import RBMPath, cumulant_rise
from lamina.inference.betas import as_betas
from lamina.models.energy import DBM, BoltzmannMachine, ConditionalRBM
from lamina.units import Bernoulli, Concatenated, Rectified, Softmax

PAIRS = pytest.mark.parametrize("pair", small_machines.pairs(), ids=small_machines.name)


def at(rbm: RBM, base: torch.Tensor, beta: float) -> RBM:
    """The machine of eq. 30 at β, made by hand."""
    found = RBM(rbm.visible, rbm.hidden, dtype=torch.float64)
    with torch.no_grad():
        found.W.copy_(beta * rbm.W)
        found.b.copy_((1 - beta) * base + beta * rbm.b)
        found.c.copy_(beta * rbm.c)
    return found


def draws(rbm: RBM, n: int) -> torch.Tensor:
    """Rows of the machine's own support, (n, n_visible)."""
    return rbm.visible.sample(rbm.b.detach().expand(n, -1), Random(3))


def rooms_like(fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(fields), torch.empty_like(fields)


@PAIRS
@torch.no_grad()
def test_weights_are_differences_of_free_energies(pair):
    rbm = small_machines.machine(*pair)
    v = draws(rbm, 6)
    path = RBMPath(rbm, v.mean(0))
    for before, after in ((0.0, 0.01), (0.3, 0.31), (0.0, 1.0), (0.9, 0.2)):
        weight = path.log_weight(path.from_rows(v), before, after)
        expected = at(rbm, path.base, before).free_energy(v) - at(rbm, path.base, after).free_energy(v)
        torch.testing.assert_close(weight, expected, rtol=1e-9, atol=1e-9)


@PAIRS
@torch.no_grad()
def test_the_sum_of_the_base_is_that_of_the_machine_at_zero(pair):
    rbm = small_machines.machine(*pair)
    path = RBMPath(rbm, draws(rbm, 9).mean(0))
    assert path.log_z_base == pytest.approx(exact_log_partition(at(rbm, path.base, 0.0)), rel=1e-12)


@pytest.mark.parametrize("beta", [0.4, 1.0])
def test_a_transition_leaves_its_own_member_as_it_is(beta):
    rbm = oracles.random_binary(4, 3, scale=1.2, seed=2)
    path = RBMPath(rbm, torch.tensor([0.2, 0.5, 0.7, 0.4]))
    exact = oracles.binary(at(rbm, path.base, beta))
    n = 30_000
    start = exact.v[np.random.default_rng(0).choice(16, size=n, p=exact.p_v)]
    state, random = path.from_rows(torch.from_numpy(start)), Random(4)
    with torch.no_grad():
        for _ in range(2):
            state = path.step(state, beta, random)
    counts = np.bincount((state.v.numpy() @ [8, 4, 2, 1]).astype(int), minlength=16)
    assert stats.chisquare(counts, n * exact.p_v).pvalue > 1e-6
    torch.testing.assert_close(state.fields, rbm.field_h(state.v))  # what the next weight and transition rely on


def test_the_start_is_drawn_from_the_base():
    rbm = oracles.random_binary(3, 2, seed=1)
    path = RBMPath(rbm, torch.tensor([0.1, 0.5, 0.8]))
    n = 20_000
    mean = path.start(n, Random(0).at(0)).v.mean(0).numpy()
    expected = np.array([0.1, 0.5, 0.8])
    assert (np.abs(mean - expected) < 5 * np.sqrt(expected * (1 - expected) / n)).all()


@pytest.mark.parametrize("betas", [[0.0, 1.0], 7, np.linspace(0, 1, 40) ** 0.5])
def test_the_mean_weight_is_the_ratio_of_sums_whatever_the_schedule(betas):
    """E[w] = Z / Z_base within five standard errors, in both directions."""
    rbm = oracles.random_binary(5, 3, scale=0.7, seed=5)
    path, exact = annealing_path(rbm), oracles.binary(rbm)
    rows = exact.v[np.random.default_rng(0).choice(32, size=4000, p=exact.p_v)]
    log_ratio = exact.log_z - path.log_z_base
    forward = forward_log_weights(path, as_betas(betas), 4000, Random(2)) - log_ratio
    reverse = reverse_log_weights(path, as_betas(betas), torch.from_numpy(rows), Random(2)) + log_ratio
    for w in (forward.exp(), reverse.exp()):
        assert float(w.mean()) == pytest.approx(1.0, abs=5 * float(w.std()) / np.sqrt(4000))


def test_without_weights_one_temperature_is_exact():
    rbm = RBM(7, 3, dtype=torch.float64)
    with torch.no_grad():
        rbm.W.zero_()
        rbm.b.normal_(generator=torch.Generator().manual_seed(0))
    path = annealing_path(rbm)
    log_z = forward_log_weights(path, [0.0, 1.0], 5, Random(0)) + path.log_z_base
    expected = float(torch.log1p(rbm.b.detach().exp()).sum()) + 3 * np.log(2)
    np.testing.assert_allclose(log_z.numpy(), expected, rtol=1e-13)


def test_without_hidden_units_and_couplings_the_sum_is_n_log_2():
    machine = BoltzmannMachine(5, 0, dtype=torch.float64)
    with torch.no_grad():
        machine.W.zero_()
    path = annealing_path(machine)
    log_z = forward_log_weights(path, [0.0, 1.0], 4, Random(0)) + path.log_z_base
    np.testing.assert_allclose(log_z.numpy(), 5 * np.log(2), rtol=1e-14)


def test_numbers_do_not_depend_on_how_chains_are_grouped(monkeypatch):
    rbm = oracles.random_binary(6, 4, seed=1)
    path, betas = annealing_path(rbm), as_betas(30)
    rows = oracles.states(6)[:17]
    whole = (
        forward_log_weights(path, betas, 17, Random(1)),
        reverse_log_weights(path, betas, torch.tensor(rows), Random(1)),
    )
    monkeypatch.setattr(module, "MOST_NUMBERS", 5 * path.n_units)
    assert [len(group) for group in module.groups(17, path)] == [5, 5, 5, 2]
    parts = (
        forward_log_weights(path, betas, 17, Random(1)),
        reverse_log_weights(path, betas, torch.tensor(rows), Random(1)),
    )
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert len(set(whole[0].tolist())) == 17


def test_single_precision_comes_to_the_same_within_its_rounding():
    double = oracles.random_binary(12, 9, scale=0.5, seed=3)
    single = RBM(12, 9)
    with torch.no_grad():
        for name in ("W", "b", "c"):
            getattr(single, name).copy_(getattr(double, name))
    found = forward_log_weights(annealing_path(single), as_betas(400), 300, Random(0))
    assert found.dtype == torch.float64
    error = (
        float(torch.logsumexp(found, 0))
        - np.log(300)
        + annealing_path(single).log_z_base
        - oracles.binary(double).log_z
    )
    assert abs(error) < 5 * float(found.std()) / np.sqrt(300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("before", "after"), [(0.0, 1e-4), (0.9, 0.90001), (0.7, 0.699), (0.0, 1.0), (1.0, 0.0)])
def test_the_difference_of_cumulants_is_right_for_any_field(dtype, before, after):
    fields = torch.tensor([[-900.0, -80.0, -17.0, -1.0, -1e-4, 0.0, 0.3, 5.0, 40.0, 900.0]], dtype=dtype).T.contiguous()
    found = cumulant_rise(Bernoulli(1), fields, torch.zeros(1, dtype=dtype), before, after, rooms_like(fields))
    x = fields.double().squeeze(1)
    zero = torch.zeros_like(x)
    expected = torch.logaddexp(after * x, zero) - torch.logaddexp(before * x, zero)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=200 * eps, atol=1000 * eps)


def test_a_side_of_several_kinds_adds_up_its_parts():
    family = Concatenated([Bernoulli(3), Concatenated([Softmax(3), Bernoulli(1)])])
    fields = Random(1).normal((5, 7), torch.float64)
    bias = Random(2).normal((1, 7), torch.float64)[0]
    found = cumulant_rise(family, fields, bias, 0.2, 0.25, rooms_like(fields))
    expected = family.cumulant(0.25 * fields, 0.25 * bias) - family.cumulant(0.2 * fields, 0.2 * bias)
    torch.testing.assert_close(found, expected)


def test_the_machine_of_a_deep_model_is_found_and_a_mean_of_its_rows_is_enough():
    dbm = DBM(4, 3, 2, dtype=torch.float64, random_state=1)
    path = annealing_path(dbm, np.full(4, 0.25))
    assert isinstance(path, RBMPath)
    np.testing.assert_allclose(path.base[:4].numpy(), np.log(1 / 3), rtol=1e-12)
    assert torch.equal(path.base[4:], dbm.as_rbm().b.detach()[4:])


@pytest.mark.parametrize(
    ("mean", "words"), [(np.zeros(5), "shape"), (np.zeros((1, 4)), "shape"), ([0, 0, 0, np.nan], "NaN")]
)
def test_a_mean_that_does_not_fit_is_refused(mean, words):
    with pytest.raises(DataError, match=words):
        annealing_path(RBM(4, 2), mean)


def test_models_without_a_path_are_refused():
    with pytest.raises(SettingError, match="as_rbm"):
        annealing_path(torch.nn.Linear(2, 2))
    with pytest.raises(SettingError, match="condition"):
        annealing_path(ConditionalRBM(3, 2, 2))
    with pytest.raises(SettingError, match="exact"):
        annealing_path(RBM(Concatenated([Bernoulli(2), Rectified(2, sampler="noisy")]), 3))
