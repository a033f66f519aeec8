"""Dictionaries: best for given sums, learnt from data that have one, the same after a break and over processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from lamina.core.errors import DataError, SettingError
from lamina.models.energy import RBM
from lamina.models.sparse import SparseCoding
from lamina.models.stack import Stack
from lamina.training import LagrangeDual, OnlineDictionary, StatisticsRule, atoms_from_rows, fit, loop, pretrain
from lamina.training.column_descent import column_pass
from lamina.training.distributed import World
from lamina.training.lagrange_dual import best_dictionary
from lamina.training.rules import Setting
from lamina.training.sources import Batch

GENERATOR = np.random.default_rng(7)
TRUE = np.linalg.qr(GENERATOR.normal(size=(8, 8)))[0]
CODES = GENERATOR.laplace(size=(300, 8)) * (GENERATOR.random((300, 8)) < 0.25)
X = 3 * CODES @ TRUE.T + 0.01 * GENERATOR.normal(size=(300, 8))


def sums(n: int = 40, n_visible: int = 5, n_hidden: int = 7, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    H = generator.normal(size=(n, n_hidden)) * (generator.random((n, n_hidden)) < 0.4)
    V = generator.normal(size=(n, n_visible)) + 2 * H @ generator.normal(size=(n_hidden, n_visible))
    V[:, 0] *= 0.1  # atoms that stay shorter than 1, and others that reach it
    H[:, 0] *= 20
    return torch.from_numpy(H.T @ H), torch.from_numpy(V.T @ H)


def loss(D: torch.Tensor, A: torch.Tensor, B: torch.Tensor) -> float:
    return float((D @ A * D).sum() / 2 - (B * D).sum())


class TestBestDictionary:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_constrained_optimiser_finds_the_same(self, seed):
        A, B = sums(seed=seed)
        D, multipliers = best_dictionary(A, B)

        def objective(d: np.ndarray) -> tuple[float, np.ndarray]:
            at = torch.from_numpy(d.reshape(5, 7))
            return loss(at, A, B), (at @ A - B).numpy().ravel()

        limits = {
            "type": "ineq",
            "fun": lambda d: 1 - (d.reshape(5, 7) ** 2).sum(0),
            "jac": lambda d: np.stack([-2 * (d.reshape(5, 7) * (np.arange(7) == j)).ravel() for j in range(7)]),
        }
        start = 0.1 * np.random.default_rng(1).normal(size=35)
        options = {"maxiter": 500, "ftol": 1e-14}
        found = minimize(objective, start, jac=True, constraints=limits, method="SLSQP", options=options)
        assert loss(D, A, B) == pytest.approx(found.fun, rel=1e-7)  # SLSQP's atoms are a little too long
        np.testing.assert_allclose(D, found.x.reshape(5, 7), atol=1e-4)
        lengths = D.norm(dim=0)
        assert 0 < int((lengths < 0.999).sum()) < 7  # both kinds of atoms occur
        assert float((multipliers * (1 - lengths)).abs().max()) < 1e-6 * float(A.diagonal().mean())

    def test_the_optimality_conditions(self):
        A, B = sums(seed=5)
        D, multipliers = best_dictionary(A, B)
        assert float(D.norm(dim=0).max()) <= 1 + 1e-12
        scale = float(B.abs().max())
        assert float((D @ A - B + D * multipliers).abs().max()) < 1e-8 * scale
        assert bool((multipliers >= 0).all())

    def test_multipliers_of_before_give_the_same(self):
        A, B = sums()
        D, multipliers = best_dictionary(A, B)
        again, _ = best_dictionary(1.1 * A, B, multipliers)
        fresh, _ = best_dictionary(1.1 * A, B)
        torch.testing.assert_close(again, fresh, rtol=0, atol=1e-8)
        assert not torch.allclose(again, D, atol=1e-3)

    def test_fewer_rows_than_atoms(self):
        A, B = sums(n=3)
        D, _ = best_dictionary(A, B)
        assert bool(torch.isfinite(D).all())
        assert float(D.norm(dim=0).max()) <= 1 + 1e-12
        many = D
        for _ in range(300):
            many = column_pass(many, A, B)
        assert loss(D, A, B) <= loss(many, A, B) + 1e-6 * abs(loss(many, A, B))


class TestColumnPass:
    def test_each_atom_is_the_best_for_the_others(self):
        A, B = sums()
        D = column_pass(torch.zeros(5, 7, dtype=torch.float64), A, B)
        last = D[:, -1].clone()  # nothing moved after it
        generator = torch.Generator().manual_seed(0)
        for _ in range(50):
            other = last + 0.1 * torch.randn(5, generator=generator, dtype=torch.float64)
            moved = D.clone()
            moved[:, -1] = other / max(1.0, float(other.norm()))
            assert loss(moved, A, B) >= loss(D, A, B) - 1e-12

    def test_passes_end_where_the_dual_does(self):
        A, B = sums()
        D = torch.zeros(5, 7, dtype=torch.float64)
        values = []
        for _ in range(60):
            D = column_pass(D, A, B, passes=10)
            values.append(loss(D, A, B))
        assert bool((np.diff(values) <= 1e-10).all())
        torch.testing.assert_close(D, best_dictionary(A, B)[0], rtol=0, atol=1e-6)

    def test_an_unused_atom_stays(self):
        A, B = sums()
        A[2], A[:, 2], B[:, 2] = 0, 0, 0
        D = torch.rand(5, 7, dtype=torch.float64)
        assert torch.equal(column_pass(D, A, B)[:, 2], D[:, 2])


def coder(n_hidden: int = 8, seed: int = 1, **options) -> SparseCoding:
    options = {"cost": 0.2, "dtype": torch.float64, **options}
    return SparseCoding(8, n_hidden, random_state=seed, **options)


def found_atoms(model: SparseCoding) -> np.ndarray:
    """For every true atom, |cos| of the angle to the nearest atom learnt."""
    D = model.D.detach().numpy()
    return np.abs(TRUE.T @ (D / np.linalg.norm(D, axis=0))).max(1)


RULES = {"dual": lambda: LagrangeDual(), "online": lambda: OnlineDictionary(forgetting=2.0, tolerance=1e-3)}


@pytest.mark.parametrize("name", RULES)
class TestRules:
    def test_finds_the_atoms_that_made_the_data(self, name):
        model = atoms_from_rows(coder(12), X, 0)
        history = fit(model, X, RULES[name](), epochs=12, batch_size=50, random_state=0)
        assert found_atoms(model).min() > 0.95
        assert history["objective"][-1] < 0.8 * history["objective"][0]
        assert float(model.D.norm(dim=0).detach().max()) <= 1 + 1e-9
        assert not bool(model.b.any())

    def test_measures_are_those_of_the_data(self, name):
        model = coder(tolerance=1e-10)
        rule = LagrangeDual() if name == "dual" else OnlineDictionary(every=100, tolerance=None)
        before = model.D.detach().clone()
        history = fit(model, X, rule, epochs=1, batch_size=64, random_state=0, validation=X[:50])
        start = coder(tolerance=1e-10)
        assert torch.equal(start.D, before)
        h = start.mean_h_from_v(torch.from_numpy(X))
        mean = float(start.energy(torch.from_numpy(X), h).mean().detach())
        assert history["objective"][0] == pytest.approx(mean, rel=1e-8)
        assert history["sparsity"][0] == pytest.approx(float((h == 0).double().mean()), abs=1e-9)
        assert history["dead atoms"][0] == 0
        v = torch.from_numpy(X[:50])
        expected = float(model.energy(v, model.mean_h_from_v(v)).mean().detach())
        assert history["validation objective"][0] == pytest.approx(expected, rel=1e-9)

    def test_dead_atoms_become_the_worst_explained_rows(self, name):
        model = coder(cost=1.0)
        with torch.no_grad():
            model.D[:, :3] = 1e-9 * model.D[:, :3]  # too short to be used
        v = torch.from_numpy(X)
        errors = ((v - model.mean_v_from_h(model.mean_h_from_v(v))) ** 2).sum(1).detach()
        worst = v[errors.topk(3).indices]
        rule = LagrangeDual() if name == "dual" else OnlineDictionary(every=100, tolerance=None)
        history = fit(model, X, rule, epochs=1, batch_size=64, random_state=0)
        assert history["dead atoms"] == [3.0]
        expected = (worst / worst.norm(dim=1, keepdim=True)).T
        torch.testing.assert_close(model.D.detach()[:, :3], expected, rtol=0, atol=1e-9)

    def test_positive_codes_and_the_log_penalty_learn_too(self, name):
        for options in ({"positive": True}, {"penalty": "log", "cost": 0.5}):
            model = atoms_from_rows(coder(12, tolerance=1e-2, **options), X, 0)
            history = fit(model, X, RULES[name](), epochs=3, batch_size=50, random_state=0)
            assert history["objective"][-1] < history["objective"][0]

    def test_two_processes_sum_to_one(self, name):
        """Each process takes half of a batch; a world that adds up both stands for the network between them."""
        alone, pair = coder(cost=1.0), [coder(cost=1.0), coder(cost=1.0)]
        with torch.no_grad():
            for model in (alone, *pair):
                model.D[:, :2] = 0  # dead, so that rows must be agreed on
        rules = [RULES[name]() for _ in range(3)]
        one, worlds = World(), [TwoWorlds(0), TwoWorlds(1)]
        for rule, model, place in zip(rules, (alone, *pair), (one, *worlds), strict=True):
            rule.start(model, Setting(None, place, torch.device("cpu"), torch.float64, 40))
        for step in range(3):
            rows = torch.arange(40 * step, 40 * step + 40)
            totals = [rule.zero() for rule in rules]
            parts = (rows, rows[:13], rows[13:])
            for rule, model, part in zip(rules, (alone, *pair), parts, strict=True):
                rule.accumulate(model, Batch((torch.from_numpy(X)[part],), part, 40), step, None)
            for a, b in zip(totals[1], totals[2], strict=True):
                total = a + b
                a.copy_(total)
                b.copy_(total)
            for place, other in zip(worlds, rules[:0:-1], strict=True):
                place.other = other.worst.table.clone()
            for rule, model in zip(rules, (alone, *pair), strict=True):
                rule.maximise(model)
            for model in pair:
                torch.testing.assert_close(model.D, alone.D, rtol=0, atol=1e-9)

    def test_a_broken_run_goes_on_bit_for_bit(self, name, tmp_path, monkeypatch):
        monkeypatch.setattr(loop, "WATCH_EVERY", 1)
        options = {"epochs": 4, "batch_size": 60, "random_state": 3}  # five batches
        make = {"dual": LagrangeDual, "online": OnlineDictionary}[name]
        unbroken = coder(12, tolerance=1e-2)
        whole = fit(unbroken, X, make(), **options)

        class Broken(make):
            def maximise(self, model):
                self.done = getattr(self, "done", 0) + 1
                if self.done == stop:
                    raise RuntimeError("power cut")
                return super().maximise(model)

            def describe(self):
                return {**super().describe(), "rule": make.__name__}

        for stop in (2, 3) if name == "dual" else (4, 11):
            folder = tmp_path / str(stop)
            saved = {"checkpoint": folder, "checkpoint_seconds": -1.0}
            with pytest.raises(RuntimeError, match="power cut"):
                fit(coder(12, tolerance=1e-2), X, Broken(), **options, **saved)
            resumed = coder(12, tolerance=1e-2)
            history = fit(resumed, X, make(), **options, **saved)
            assert torch.equal(resumed.D, unbroken.D)
            for measure in whole.names:
                assert history[measure] == whole[measure]

    def test_refuses_what_it_cannot_learn(self, name):
        with pytest.raises(SettingError, match="RBM given"):
            fit(RBM(8, 4), np.abs(X[:5]) % 1, RULES[name](), epochs=1)
        with pytest.raises(DataError, match=r"expected \(rows, 8\)"):
            fit(coder(), X[:, :5], RULES[name](), epochs=1)
        bad = X.copy()
        bad[3, 1] = np.nan
        with pytest.raises(DataError, match="NaN"):
            fit(coder(), bad, RULES[name](), epochs=1)
        with pytest.raises(DataError, match="NaN"):
            fit(coder(), [bad[:100]], RULES[name](), epochs=1)

    def test_a_cost_at_which_nothing_is_coded(self, name):
        model = coder(cost=1e3)
        before = model.D.detach().clone()
        history = fit(model, X, RULES[name](), epochs=1, batch_size=300, random_state=0)
        assert history["sparsity"] == [1.0]
        assert history["dead atoms"] == [8.0]
        assert not torch.equal(model.D, before)  # the worst rows took their places
        assert bool(torch.isfinite(model.D).all())


class TwoWorlds(World):
    """One of two processes; what the other would add in `sum_` lies in ``other``."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank, 2)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)

    def sum_(self, tensors):
        tensors[0][1 - self.rank] += self.other


def test_one_row_and_an_iterable():
    model = coder()
    fit(model, X[:1], OnlineDictionary(), epochs=2, random_state=0)
    assert bool(torch.isfinite(model.D).all())
    batches = [X[:100], X[100:100], X[100:230], X[230:]]
    one, two = coder(), coder()
    fit(one, batches, OnlineDictionary(), epochs=2, random_state=0)
    fit(two, lambda: iter(batches), OnlineDictionary(), epochs=2, random_state=0)
    assert torch.equal(one.D, two.D)


def test_forgetting_weighs_batches_by_their_age():
    rule, model = OnlineDictionary(forgetting=2.0, tolerance=1e-9), coder()
    rule.start(model, Setting(None, World(), torch.device("cpu"), torch.float64, 10))
    expected = torch.zeros(8, 8, dtype=torch.float64)
    parts = torch.from_numpy(X[:40]).split(10)
    for t, part in enumerate(parts, start=1):
        h = model.codes(part, tolerance=1e-9).h
        expected += (t / len(parts)) ** 2 * h.T @ h
        rule.zero()
        rule.accumulate(model, Batch((part,), torch.arange(10), 10), t, None)
        rule.maximise(model)
    torch.testing.assert_close(rule.state()["A"], expected, rtol=1e-6, atol=1e-6)


def test_every_counts_batches():
    class Counting(StatisticsRule):
        every = 2

        def zero(self):
            self.batches = torch.zeros(())
            return [self.batches]

        def accumulate(self, model, batch, step, random):
            self.batches += 1
            return {"rows": torch.tensor(float(len(batch.values[0])))}

        def maximise(self, model):
            seen.append(float(self.batches))
            return {"latest": float(len(seen))}

    seen = []
    history = fit(coder(), X[:50], Counting(), epochs=2, batch_size=10, random_state=0)
    assert seen == [2.0, 2.0, 1.0] * 2
    assert history["latest"] == [3.0, 6.0]
    assert history["rows"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"forgetting": -1.0}, "forgetting"),
        ({"passes": 0}, "passes"),
        ({"every": 0}, "every"),
        ({"tolerance": -1}, "tol"),
    ],
)
def test_settings_outside_their_limits(settings, message):
    with pytest.raises(SettingError, match=message):
        OnlineDictionary(**settings)


def test_atoms_from_rows():
    model = atoms_from_rows(coder(12), np.concatenate([np.zeros((40, 8)), X[:10]]), 0)
    rows = X[:10] / np.linalg.norm(X[:10], axis=1, keepdims=True)
    first = model.D.detach().numpy().T
    nearest = np.abs(first @ rows.T - 1).min(1) < 1e-12
    assert nearest[:9].sum() >= 5  # rows of zeros were passed over
    assert np.allclose(np.linalg.norm(first, axis=1), 1)
    again = atoms_from_rows(coder(12), torch.from_numpy(X), 4)
    assert torch.equal(again.D, atoms_from_rows(coder(12), X, 4).D)


def test_layers_learn_greedily():
    stack = Stack([SparseCoding(8, 10, cost=0.1, positive=True), SparseCoding(10, 6, cost=0.05)])
    histories = pretrain(
        stack, X.astype(np.float32), lambda k: OnlineDictionary(), epochs=2, batch_size=50, random_state=0
    )
    assert [len(h) for h in histories] == [2, 2]
    assert stack.encode(torch.from_numpy(X[:4]).float()).shape == (4, 6)
    torch.testing.assert_close(stack[0].b, torch.from_numpy(X.mean(0)).float(), rtol=1e-4, atol=1e-5)
