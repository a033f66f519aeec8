"""The rule for deep Boltzmann machines: hand gradients against autograd and enumeration, chains, resume, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from deep_oracles import enumerate_dbm, random_dbm
from lamina import Gaussian
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import deep_boltzmann_bound, deep_mean_field, mean_field_bound
from lamina.models.energy import DBM, RBM
from lamina.training import MeanFieldPCD, Schedule, SparsityTarget
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch

SIZES = [(5, 4, 3), (4, 3, 3, 2), (6, 4)]


def started(dbm, rule, batch_size=7):
    for parameter in dbm.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rule.start(dbm, Setting(Random(3), World(), torch.device("cpu"), dbm.b[0].dtype, batch_size))
    return rule


def batch_of(dbm, n=7, seed=0):
    v = torch.from_numpy((np.random.default_rng(seed).random((n, dbm.n_visible)) < 0.4).astype(np.float64))
    return Batch((v,), torch.arange(n), n)


def negative_free_energy_of_odd_layers(dbm, odd):
    """log Σ over the even layers of exp(−E), for samples of the odd ones: differentiable."""
    layers = [None] * (dbm.depth + 1)
    for k, x in odd.items():
        layers[k] = x
    total = sum(x @ dbm.b[k] for k, x in odd.items())
    for k in range(0, dbm.depth + 1, 2):
        total = total + dbm.units[k].cumulant(dbm.field(k, layers), dbm.b[k])
    return total


def by_autograd(dbm, v, rule):
    """Descent direction of mean bound(data, μ held) − mean log-weight of the chains (held)."""
    means = deep_mean_field(dbm, v, tolerance=rule.tolerance, max_iterations=rule.max_iterations).means
    loss = -mean_field_bound(dbm, v, means).mean() + negative_free_energy_of_odd_layers(dbm, rule.chains).mean()
    return torch.autograd.grad(loss, list(dbm.parameters()))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_hand_gradients_are_those_of_autograd(sizes):
    dbm = random_dbm(*sizes, scale=0.8)
    rule = started(dbm, MeanFieldPCD(2, n_chains=11, tolerance=1e-6, max_iterations=100))
    batch = batch_of(dbm)
    rule.gradients(dbm, batch, 0, Random(4))
    for parameter, expected in zip(dbm.parameters(), by_autograd(dbm, batch.values[0], rule), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-11)


def test_hand_gradients_of_a_gaussian_visible_side():
    dbm = DBM(Gaussian(3, sigma=0.6), 4, 2, dtype=torch.float64, random_state=1)
    with torch.no_grad():
        for parameter in dbm.parameters():
            parameter.copy_(torch.from_numpy(np.random.default_rng(2).normal(0, 0.4, tuple(parameter.shape))))
    rule = started(dbm, MeanFieldPCD(1, n_chains=5, tolerance=1e-6, max_iterations=100))
    v = torch.from_numpy(np.random.default_rng(3).normal(size=(6, 3)))
    rule.gradients(dbm, Batch((v,), torch.arange(6), 6), 0, Random(4))
    means = deep_mean_field(dbm, v, tolerance=rule.tolerance, max_iterations=100).means
    h1 = rule.chains[1]
    cumulants = sum(dbm.units[k].cumulant(dbm.field(k, [None, h1, None]), dbm.b[k]) for k in (0, 2))
    loss = -mean_field_bound(dbm, v, means).mean() + (h1 @ dbm.b[1] + cumulants).mean()
    for parameter, expected in zip(dbm.parameters(), torch.autograd.grad(loss, list(dbm.parameters())), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-8, atol=1e-10)


def test_chains_estimate_the_models_part_of_the_gradient():
    """With many chains the samples' term is E[x_k x_{k+1}ᵀ] under the model, by enumeration."""
    dbm = random_dbm(4, 3, 2, scale=0.7, seed=1)
    exact = enumerate_dbm(dbm)
    n = 40_000
    rule = started(dbm, MeanFieldPCD(3, n_chains=n, burn_in=40, tolerance=1e-9, max_iterations=500))
    batch = batch_of(dbm)
    rule.gradients(dbm, batch, 0, Random(4))
    layers = [batch.values[0], *deep_mean_field(dbm, batch.values[0], tolerance=1e-9, max_iterations=500).means]
    for k, pair in enumerate(exact.pairs()):
        model = dbm.W[k].grad + layers[k].T @ layers[k + 1] / len(layers[0])
        assert (np.abs(model.numpy() - pair) < 5 * np.sqrt(pair * (1 - pair) / n)).all()
    for k, mean in enumerate(exact.means()):
        model = dbm.b[k].grad + layers[k].mean(0)
        assert (np.abs(model.numpy() - mean) < 5 * np.sqrt(mean * (1 - mean) / n)).all()


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_centred_gradient_is_the_gradient_in_centred_parameters(sizes):
    """Reparametrise by hand: with β_k = b_k + Σ_neighbours W λ, take a step in (W, β), and come back to (W, b)."""
    dbm = random_dbm(*sizes, scale=0.8)
    rule = started(dbm, MeanFieldPCD(2, n_chains=11, tolerance=1e-6, max_iterations=100, centred=True))
    batch = batch_of(dbm)
    rule.gradients(dbm, batch, 0, Random(4))
    offsets = rule.centring.offsets
    layers = [batch.values[0], *deep_mean_field(dbm, batch.values[0], tolerance=1e-6, max_iterations=100).means]
    for offset, x in zip(offsets, layers, strict=True):
        torch.testing.assert_close(offset, x.mean(0))  # they begin at the first batch's means
    W = [w.detach().clone().requires_grad_() for w in dbm.W]
    centred = [b.detach().clone() for b in dbm.b]
    for k, w in enumerate(W):
        centred[k] += w.detach() @ offsets[k + 1]
        centred[k + 1] += offsets[k] @ w.detach()
    centred = [b.requires_grad_() for b in centred]
    ordinary = list(centred)
    for k, w in enumerate(W):
        ordinary[k] = ordinary[k] - w @ offsets[k + 1]
        ordinary[k + 1] = ordinary[k + 1] - offsets[k] @ w
    plain = by_autograd(dbm, batch.values[0], rule)
    held = sum((g * p).sum() for g, p in zip(plain, [*W, *ordinary], strict=True))
    in_centred = torch.autograd.grad(held, [*W, *centred])
    for w, expected in zip(dbm.W, in_centred[: len(W)], strict=True):
        torch.testing.assert_close(w.grad, expected, rtol=1e-9, atol=1e-11)
    for k, b in enumerate(dbm.b):
        expected = in_centred[len(W) + k]
        expected = expected - (dbm.W[k].grad @ offsets[k + 1] if k < dbm.depth else 0)
        expected = expected - (offsets[k - 1] @ dbm.W[k - 1].grad if k > 0 else 0)
        torch.testing.assert_close(b.grad, expected, rtol=1e-9, atol=1e-11)


def test_the_penalty_pulls_the_biases_of_its_layers():
    dbm = random_dbm(5, 4, 3)
    batch = batch_of(dbm)
    target = SparsityTarget(0.1, 2.0, biases_only=True)
    rules = [MeanFieldPCD(1, 5), MeanFieldPCD(1, 5, penalty=[None, target])]
    plain, pulled = [], []
    for rule, kept in zip(rules, (plain, pulled), strict=True):
        started(dbm, rule).gradients(dbm, batch, 0, Random(4))
        kept += [p.grad.clone() for p in dbm.parameters()]
    top = deep_mean_field(dbm, batch.values[0], tolerance=1e-3, max_iterations=30).means[1]
    torch.testing.assert_close(pulled[-1] - plain[-1], 2.0 * (top.mean(0) - 0.1))
    assert all(torch.equal(x, y) for x, y in zip(plain[:-1], pulled[:-1], strict=True))


def test_learning_raises_the_exact_likelihood():
    generator = np.random.default_rng(0)
    prototypes = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    X = (generator.random((200, 6)) < np.where(prototypes[generator.integers(2, size=200)], 0.9, 0.1)).astype(float)
    dbm = DBM(6, 4, 2, dtype=torch.float64, random_state=1)
    rule = MeanFieldPCD(2, 50, centred=True)
    before = deep_boltzmann_bound(dbm, X, enumerate_dbm(dbm).log_z).mean()
    history = lamina.fit(dbm, X, rule, epochs=40, batch_size=20, learning_rate=0.1, random_state=0)
    after = deep_boltzmann_bound(dbm, X, enumerate_dbm(dbm).log_z).mean()
    independent = -6 * np.log(2)
    assert before == pytest.approx(independent, abs=0.1)
    assert after > independent + 0.8  # two prototypes with flips of 1/10 have −log 2 − 6 · 0.325 = −2.64 at best
    assert history.records[-1].measures["mean-field iterations"] >= 1


SETTINGS = {"batch_size": 10, "learning_rate": Schedule(((0.0, 0.1), (6.0, 0.01)), linear=True), "momentum": 0.5}


def run(epochs=4, **options):
    X = (np.random.default_rng(1).random((41, 6)) < 0.3).astype(np.float64)
    dbm = DBM(6, 4, 3, dtype=torch.float64, random_state=2)
    rule = MeanFieldPCD(2, 7, centred=True, penalty=SparsityTarget(0.2, 0.1, biases_only=True))
    history = lamina.fit(dbm, X, rule, epochs=epochs, random_state=5, **{**SETTINGS, **options})
    return dbm, rule, history


def test_a_broken_run_goes_on_exactly(tmp_path):
    class Crash:
        def on_epoch(self, record, epochs):
            if record.epoch == 2:
                raise RuntimeError("crash")

    unbroken, rule, _ = run()
    with pytest.raises(RuntimeError, match="crash"):
        run(checkpoint=tmp_path, checkpoint_seconds=-1.0, callbacks=[Crash()])
    resumed, again, _ = run(checkpoint=tmp_path, checkpoint_seconds=-1.0)
    for x, y in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(x, y)
    assert torch.equal(rule.chains[1], again.chains[1])
    for x, y in zip(rule.centring.offsets, again.centring.offsets, strict=True):
        assert torch.equal(x, y)
    X = (np.random.default_rng(1).random((41, 6)) < 0.3).astype(np.float64)
    other = DBM(6, 4, 3, dtype=torch.float64, random_state=2)
    with pytest.raises(SettingError, match="rule"):
        lamina.fit(other, X, MeanFieldPCD(3, 7), epochs=4, random_state=5, checkpoint=tmp_path, **SETTINGS)


def test_validation_measures():
    X = (np.random.default_rng(1).random((40, 6)) < 0.3).astype(np.float64)
    _, _, history = run(validation=X)
    measures = history.records[-1].measures
    assert set(measures) >= {"validation reconstruction error", "bound gap", "mean-field iterations"}
    assert 0 < measures["validation reconstruction error"] < 0.5


def test_a_process_without_rows_of_a_small_batch_runs_its_chains_all_the_same():
    dbm = random_dbm(5, 4, 3)
    rule = started(dbm, MeanFieldPCD(1, 5))
    before = rule.chains[1].clone()
    rule.gradients(dbm, Batch((torch.zeros(0, 5, dtype=torch.float64),), torch.arange(0), 1), 0, Random(4))
    assert not torch.equal(before, rule.chains[1])
    assert all(bool(torch.isfinite(p.grad).all()) for p in dbm.parameters())


def test_bad_settings_and_data():
    X = np.zeros((10, 6))
    with pytest.raises(SettingError, match="trains a DBM; RBM given"):
        lamina.fit(RBM(6, 4), X, MeanFieldPCD(), epochs=1)
    with pytest.raises(DataError, match=r"expected \(rows, 6\)"):
        lamina.fit(DBM(6, 4, 2), X[:, :5], MeanFieldPCD(), epochs=1)
    with pytest.raises(DataError, match="need \\[0, 1\\]"):
        lamina.fit(DBM(6, 4, 2), X + 7, MeanFieldPCD(), epochs=1)
    with pytest.raises(SettingError, match="learn_sigma=False"):
        lamina.fit(DBM(Gaussian(6, learn_sigma=True), 4, 2), X, MeanFieldPCD(), epochs=1)
    with pytest.raises(SettingError, match="biases_only=True"):
        MeanFieldPCD(penalty=SparsityTarget(0.1, 1.0))
    with pytest.raises(SettingError, match="penalty has 1 entries"):
        lamina.fit(DBM(6, 4, 2), X, MeanFieldPCD(penalty=[None]), epochs=1)
    for name, value in (("k", 0), ("n_chains", 0), ("tolerance", -1.0), ("max_iterations", 0), ("burn_in", -1)):
        with pytest.raises(SettingError, match=name):
            MeanFieldPCD(**{name: value})
