"""The blocked pass over units gives what the plain loop over units gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core import sweep
from lamina.core.errors import SettingError
from lamina.core.random import Random


def plain(states, W, b, order, decide):
    """One unit after another, as written in the formula; states (n_units, n_states) float64."""
    s = states.copy()
    for i in order:
        field = W[i] @ s + b[i]
        s[i] = decide(field, s[i])
    return s


def spins(field, old):
    return np.where(field == 0, old, np.sign(field))


@pytest.mark.parametrize("n", [1, 5, sweep.BLOCK, 150])
@pytest.mark.parametrize("calm", [True, False], ids=["few move", "many move"])
def test_a_pass_is_the_plain_loop(n, calm):
    generator = np.random.default_rng(n)
    W = generator.integers(-4, 5, (n, n)).astype(float)  # whole numbers: ties happen, and sums are exact
    W = np.triu(W, 1) + np.triu(W, 1).T
    states = np.sign(generator.normal(size=(n, 7)))
    b = (60 * states[:, :1] if calm else 0 * states[:, :1]) + generator.integers(-1, 2, (n, 1))
    order = generator.permutation(n)
    moved_states = torch.from_numpy(states.copy())
    moved = sweep.sweep_(
        moved_states,
        torch.from_numpy(W),
        torch.from_numpy(b),
        torch.from_numpy(order),
        lambda field, old, units: torch.where(field == 0, old, torch.sign(field)),
    )
    expected = plain(states, W, b, order, spins)
    np.testing.assert_array_equal(moved_states.numpy(), expected)
    np.testing.assert_array_equal(moved.numpy(), (expected != states).any(0))
    if n == 150:
        assert moved.any()


def test_a_gibbs_pass_draws_each_unit_from_its_threshold():
    n, chains = 130, 6
    generator = np.random.default_rng(0)
    W = np.triu(generator.normal(0, 0.3, (n, n)), 1)
    W = W + W.T
    b = generator.normal(size=(n, chains))
    states = (generator.random((n, chains)) < 0.5).astype(float)
    order = generator.permutation(n)[:100]
    u = Random(4).child("x").uniform((chains, 100), torch.float64).numpy()
    thresholds = np.zeros((n, chains))
    thresholds[order] = np.log(u / (1 - u)).T
    expected = states.copy()
    for i in order:
        expected[i] = W[i] @ expected + b[i] > thresholds[i]
    tensors = [torch.from_numpy(x) for x in (states.copy(), W, b, order)]
    found = sweep.gibbs_sweep_(*tensors, Random(4).child("x"))
    np.testing.assert_array_equal(found.numpy(), expected)
    untouched = np.setdiff1d(np.arange(n), order)
    np.testing.assert_array_equal(found.numpy()[untouched], states[untouched])


def test_orders():
    units = torch.arange(3, 20)
    assert torch.equal(sweep.unit_order(units, "fixed", Random(0)), units)
    shuffled = sweep.unit_order(units, "random", Random(0))
    assert not torch.equal(shuffled, units)
    assert torch.equal(shuffled.sort().values, units)
    with pytest.raises(SettingError, match="order"):
        sweep.unit_order(units, "sorted", Random(0))
