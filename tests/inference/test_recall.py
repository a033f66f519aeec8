"""Recall: energies that never rise, fixed points and cycles that are what they are said to be, patterns that return."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.inference import recall, recall_pairs, retrieve, winner_take_all
from lamina.models.energy import BidirectionalAssociativeMemory, Hopfield, ModernHopfield
from lamina.models.maps import HammingNetwork
from lamina.training import store, store_pairs


def signs(n: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], (n, columns)))


def noisy(patterns: torch.Tensor, share: float, seed: int = 1) -> torch.Tensor:
    flips = np.random.default_rng(seed).random(tuple(patterns.shape)) < share
    return torch.where(torch.from_numpy(flips), -patterns, patterns)


def glass(n: int, seed: int = 0) -> Hopfield:
    """A network of random weights and biases: far from any memory, with many local minima."""
    network = Hopfield(n, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    W = np.triu(generator.normal(size=(n, n)), 1)
    network.W.copy_(torch.from_numpy(W + W.T))
    network.b.copy_(torch.from_numpy(generator.normal(size=n)))
    return network


@pytest.mark.parametrize("order", ["random", "fixed"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_asynchronous_energy_never_rises_and_ends_in_a_minimum(order, seed):
    network = glass(100, seed)
    end = recall(network, signs(40, 100, seed), order=order, random_state=seed)
    assert end.settled.all()
    assert (end.energies.diff(dim=0) <= 1e-9).all()
    assert (end.energies[-1] < end.energies[0]).all()
    assert network.is_stable(end.states).all()
    torch.testing.assert_close(network.energy(end.states), end.energies[-1])
    assert (end.passes >= 1).all()
    assert len(end.energies) == int(end.passes.max()) + 2  # the start, each pass, and the one in which all is still


def test_one_pass_in_fixed_order_is_the_loop_over_units():
    network = glass(20)
    probes = signs(5, 20)
    W, b = network.W.numpy(), network.b.numpy()
    expected = probes.numpy().copy()
    for i in range(20):
        expected[:, i] = np.sign(expected @ W[i] + b[i])
    np.testing.assert_array_equal(recall(network, probes, order="fixed", passes=1).states, expected)


def test_synchronous_updates_may_cycle_which_is_detected():
    network = Hopfield(2, dtype=torch.float64)
    network.W.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    end = recall(network, torch.tensor([[1.0, -1.0], [1.0, 1.0]]), update="synchronous")
    assert end.period.tolist() == [2, 1]
    assert end.passes.tolist() == [2, 0]


def test_synchronous_updates_end_in_fixed_points_or_two_cycles():
    network = glass(60, seed=5)
    end = recall(network, signs(200, 60, 6), update="synchronous", passes=500)
    assert set(end.period.tolist()) == {1, 2}  # symmetric weights allow nothing else
    after = torch.sign(network.field(end.states))
    again = torch.sign(network.field(after))
    assert torch.equal(again, end.states)
    assert torch.equal((after == end.states).all(1), end.period == 1)


def test_a_synchronous_pass_is_the_sign_of_the_field():
    network = glass(30)
    probes = signs(6, 30)
    once = recall(network, probes, update="synchronous", passes=1)
    assert torch.equal(once.states, torch.sign(network.field(probes)))
    assert not once.period.all()


def test_a_unit_without_a_field_keeps_its_value():
    probes = signs(4, 6)
    for update in ("synchronous", "asynchronous"):
        end = recall(Hopfield(6, dtype=torch.float64), probes, update=update)
        assert torch.equal(end.states, probes)
        assert end.settled.all()


@pytest.mark.parametrize("update", ["synchronous", "asynchronous"])
@pytest.mark.parametrize("rule", ["hebbian", "storkey", "pseudo-inverse"])
def test_patterns_return_from_noise(rule, update):
    patterns = signs(8, 200, 3)
    network = store(Hopfield(200, dtype=torch.float64), patterns, rule)
    end = recall(network, noisy(patterns, 0.15), update=update, random_state=0)
    assert torch.equal(end.states, patterns)
    assert network.overlap(end.states, patterns).diagonal().eq(1).all()


def test_a_bias_breaks_the_symmetry_of_a_pattern_and_its_negative():
    pattern = signs(1, 50)
    network = store(Hopfield(50, dtype=torch.float64), pattern)
    assert torch.equal(recall(network, -pattern).states, -pattern)
    network.b.copy_(2 * pattern[0])
    assert torch.equal(recall(network, -pattern).states, pattern)


def test_without_a_trace_the_states_are_the_same():
    network, probes = glass(40), signs(10, 40)
    with_trace, without = recall(network, probes, random_state=3), recall(network, probes, random_state=3, trace=False)
    assert torch.equal(with_trace.states, without.states)
    assert without.energies.shape == (0, 10)


def test_pairs_recall_each_other_and_their_energy_never_rises():
    left, right = signs(4, 60), signs(4, 40, 1)
    memory = store_pairs(BidirectionalAssociativeMemory(60, 40, dtype=torch.float64), left, right)
    for start in ({"left": noisy(left, 0.1)}, {"right": noisy(right, 0.1)}, {"left": left, "right": noisy(right, 0.2)}):
        end = recall_pairs(memory, **start)
        assert end.settled.all()
        assert torch.equal(end.left, left)
        assert torch.equal(end.right, right)
    generator = np.random.default_rng(2)
    for p in memory.parameters():
        p.copy_(torch.from_numpy(generator.normal(size=tuple(p.shape))))
    end = recall_pairs(memory, signs(30, 60, 4), signs(30, 40, 5))
    assert end.settled.all()
    assert memory.is_stable(end.left, end.right).all()
    assert (end.energies.diff(dim=0) <= 1e-9).all()
    assert len(end.energies) > 2


def test_the_modern_network_falls_to_fixed_points_and_holds_more_patterns_than_units():
    generator = np.random.default_rng(0)
    patterns = torch.from_numpy(generator.choice([-1.0, 1.0], (2000, 40)))
    network = ModernHopfield(40, 2000, beta=2.0, dtype=torch.float64).store(patterns)
    end = retrieve(network, noisy(patterns[:100], 0.1))
    assert end.settled.all()
    assert (end.energies.diff(dim=0) <= 1e-9).all()
    assert (end.energies >= -1e-9).all()
    assert torch.sign(end.states).eq(patterns[:100]).all(1).double().mean() > 0.95
    classic = store(Hopfield(40, dtype=torch.float64), patterns)
    assert not classic.is_stable(patterns[:100]).any()


def test_a_cold_modern_network_averages_its_rows():
    patterns = signs(6, 10)
    network = ModernHopfield(10, 6, beta=1e-6, dtype=torch.float64).store(patterns)
    end = retrieve(network, signs(3, 10, 2))
    torch.testing.assert_close(end.states, patterns.mean(0).expand(3, -1), atol=1e-4, rtol=0)


def test_the_nearest_pattern_wins_and_ties_are_said_to_be_undecided():
    patterns = signs(50, 30)
    network = HammingNetwork(30, 50, dtype=torch.float64).store(patterns)
    probes = signs(200, 30, 7)
    end = winner_take_all(network, probes)
    matches = network.matches(probes)
    best = matches.max(1).values
    unique = (matches == best[:, None]).sum(1) == 1
    assert torch.equal(end.decided, unique)
    assert 0 < int(unique.sum()) < 200
    assert (matches.gather(1, end.index[:, None])[:, 0] == best).all()
    assert torch.equal(end.patterns, patterns[end.index])
    assert winner_take_all(network, patterns).decided.all()


def test_bad_probes_and_settings():
    network = Hopfield(4)
    with pytest.raises(DataError, match="expected −1 and"):
        recall(network, torch.zeros(2, 4))
    with pytest.raises(DataError, match=r"\(\.\.\., 4\)"):
        recall(network, torch.ones(2, 3))
    with pytest.raises(DataError, match="at least one row"):
        recall(network, torch.ones(0, 4))
    with pytest.raises(DataError, match="expected −1 and"):
        recall(network, torch.full((1, 4), float("nan")))
    with pytest.raises(SettingError, match="update"):
        recall(network, torch.ones(2, 4), update="parallel")
    with pytest.raises(SettingError, match="order"):
        recall(network, torch.ones(2, 4), order="sorted")
    memory = BidirectionalAssociativeMemory(4, 3)
    with pytest.raises(SettingError, match="neither"):
        recall_pairs(memory)
    with pytest.raises(DataError, match="pairs"):
        recall_pairs(memory, torch.ones(2, 4), torch.ones(1, 3))
    with pytest.raises(DataError, match="left states"):
        recall_pairs(memory, torch.ones(2, 5))
    with pytest.raises(DataError, match="one value per unit"):
        winner_take_all(HammingNetwork(4, 2), torch.ones(2, 3))
    with pytest.raises(SettingError, match="tolerance"):
        retrieve(ModernHopfield(4, 2), torch.ones(2, 4), tolerance=-1.0)
