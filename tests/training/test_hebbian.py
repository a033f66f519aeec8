"""Storage rules against their formulas, loop by loop, and what they promise about the stored patterns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.models.energy import RBM, BidirectionalAssociativeMemory, Hopfield
from lamina.training import HebbianStorage, fit, hebbian, pseudo_inverse, store, store_pairs, storkey
from lamina.training.hebbian import hebbian_field


def signs(n: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], (n, columns)))


def test_hebbian_by_its_sum():
    X = signs(5, 8).numpy()
    expected = sum(np.outer(x, x) for x in X) / 8 - 5 / 8 * np.eye(8)
    np.testing.assert_allclose(hebbian(torch.from_numpy(X)), expected, atol=1e-15)


def test_the_field_without_weights_is_that_of_the_weights():
    patterns, states = signs(7, 30), signs(4, 30, 1)
    torch.testing.assert_close(hebbian_field(patterns, states), states @ hebbian(patterns) * 30)
    whole = hebbian_field(patterns.float(), states.float())
    assert torch.equal(whole, whole.round())


def test_storkey_by_its_published_sums():
    """W_ij += (ξ_i ξ_j − ξ_i h_ji − h_ij ξ_j) / n with h_ij = Σ_{k ≠ i, j} W_ik ξ_k, unit by unit."""
    X = signs(4, 7).numpy()
    n, W = 7, np.zeros((7, 7))
    for x in X:
        new = W.copy()
        for i in range(n):
            for j in range(n):
                if i != j:
                    h_ij = sum(W[i, k] * x[k] for k in range(n) if k not in (i, j))
                    h_ji = sum(W[j, k] * x[k] for k in range(n) if k not in (i, j))
                    new[i, j] += (x[i] * x[j] - x[i] * h_ji - h_ij * x[j]) / n
        W = new
    np.testing.assert_allclose(storkey(torch.from_numpy(X)), W, atol=1e-14)
    halves = storkey(torch.from_numpy(X[2:]), storkey(torch.from_numpy(X[:2])))
    np.testing.assert_allclose(halves, W, atol=1e-14)


@pytest.mark.parametrize("n_patterns", [1, 20, 55])
def test_pseudo_inverse_keeps_every_independent_pattern(n_patterns):
    X = signs(n_patterns, 60, seed=3)
    W = pseudo_inverse(X)
    projection = torch.linalg.pinv(X) @ X
    torch.testing.assert_close(W, projection - projection.diagonal().diag())
    network = store(Hopfield(60, dtype=torch.float64), X, "pseudo-inverse")
    assert network.is_stable(X).all()


def test_pseudo_inverse_of_repeated_patterns_is_that_of_one_copy():
    X = signs(3, 20)
    torch.testing.assert_close(pseudo_inverse(torch.cat([X, X, -X])), pseudo_inverse(X))


def test_storkey_holds_more_than_hebbian_and_less_than_the_pseudo_inverse():
    X = signs(30, 150, seed=4)
    stable = {}
    for rule in ("hebbian", "storkey", "pseudo-inverse"):
        stable[rule] = float(store(Hopfield(150, dtype=torch.float64), X, rule).is_stable(X).double().mean())
    assert stable["hebbian"] < 0.5 < 0.7 < stable["storkey"]
    assert stable["pseudo-inverse"] == 1.0


def test_the_loop_stores_the_same_in_batches_and_twice():
    X = signs(25, 12)
    for epochs in (1, 2):
        network = Hopfield(12, dtype=torch.float64)
        fit(network, X.numpy(), HebbianStorage(), epochs=epochs, batch_size=7, random_state=0)
        torch.testing.assert_close(network.W.data, hebbian(X), atol=1e-14, rtol=0)


def test_pairs():
    left, right = signs(3, 6), signs(3, 4, 1)
    memory = store_pairs(BidirectionalAssociativeMemory(6, 4, dtype=torch.float64), left, right)
    expected = sum(np.outer(x, y) for x, y in zip(left.numpy(), right.numpy(), strict=True))
    np.testing.assert_array_equal(memory.W.numpy(), expected)


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(DataError, match="2·x − 1"):
        hebbian(torch.tensor([[0.0, 1.0]]))
    with pytest.raises(DataError, match="at least one row"):
        storkey(torch.ones(0, 3))
    with pytest.raises(DataError, match=r"\(\.\.\., 4\)"):
        store(Hopfield(4), torch.ones(2, 3))
    with pytest.raises(SettingError, match="storage rule"):
        store(Hopfield(4), torch.ones(2, 4), "delta")
    with pytest.raises(DataError, match="pairs"):
        store_pairs(BidirectionalAssociativeMemory(2, 2), torch.ones(2, 2), torch.ones(1, 2))
    with pytest.raises(DataError, match="sizes of this memory"):
        store_pairs(BidirectionalAssociativeMemory(2, 2), torch.ones(1, 2), torch.ones(1, 3))
    with pytest.raises(DataError, match="expected −1 and"):
        fit(Hopfield(4), np.zeros((3, 4)), HebbianStorage(), epochs=1)
    with pytest.raises(SettingError, match="RBM given"):
        fit(RBM(4, 2), np.ones((3, 4)), HebbianStorage(), epochs=1)
