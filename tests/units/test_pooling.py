"""Probabilistic max-pooling: blocks sum to one, draws follow the means, borders are smaller blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.random import Random
from lamina.units import pooling

CASES = [((6,), (3,)), ((7,), (3,)), ((4, 6), (2, 3)), ((5, 7), (2, 3)), ((3, 2), (1, 1)), ((2, 3), (4, 5))]


def fields(size, n=3, k=2, scale=2.0):
    return torch.from_numpy(np.random.default_rng(1).normal(0, scale, (n, k, *size)))


def by_hand(field: np.ndarray, p: tuple[int, ...]):
    """Means and log partition sums, block by block."""
    size = field.shape[2:]
    counts = [-(-a // b) for a, b in zip(size, p, strict=True)]
    mean, log_sum = np.zeros(field.shape), np.zeros((*field.shape[:2], *counts))
    pooled = log_sum.copy()
    for index in np.ndindex(*counts):
        where = (..., *(slice(i * a, (i + 1) * a) for i, a in zip(index, p, strict=True)))
        block = np.exp(field[where])
        axes = tuple(range(2, block.ndim))
        total = 1 + block.sum(axes, keepdims=True)
        mean[where] = block / total
        log_sum[(..., *index)] = np.log(total.squeeze(axes))
        pooled[(..., *index)] = 1 - 1 / total.squeeze(axes)
    return mean, log_sum, pooled


@pytest.mark.parametrize(("size", "p"), CASES)
def test_means_and_log_partition_block_by_block(size, p):
    field = fields(size)
    mean, log_sum, pooled = by_hand(field.numpy(), p)
    ours, ours_pooled = pooling.means(field, p)
    np.testing.assert_allclose(ours.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(ours_pooled.numpy(), pooled, rtol=1e-12)
    np.testing.assert_allclose(pooling.log_partition(field, p).numpy(), log_sum, rtol=1e-12)


@pytest.mark.parametrize(("size", "p"), CASES)
def test_blocks_and_off_sum_to_one(size, p):
    mean, pooled = pooling.means(fields(size), p)
    off = torch.exp(-pooling.log_partition(fields(size), p))
    torch.testing.assert_close(pooling.pool(mean, p) + off, torch.ones_like(off), rtol=0, atol=1e-14)
    torch.testing.assert_close(pooled, 1 - off, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("size", "p"), CASES)
def test_to_blocks_and_back(size, p):
    x = fields(size)
    assert torch.equal(pooling.from_blocks(pooling.to_blocks(x, p, 0.0), p, size), x)
    counts = pooling.count_blocks(size, p)
    pooled = fields(counts)
    torch.testing.assert_close(pooling.pool(pooling.spread(pooled, p, size), p), pooled)
    at_places = pooling.repeat(pooled, p, size)
    for place in np.ndindex(*size):
        block = tuple(a // b for a, b in zip(place, p, strict=True))
        assert torch.equal(at_places[(..., *place)], pooled[(..., *block)])


def test_the_slope_of_the_log_partition_is_the_mean():
    field = fields((5, 7)).requires_grad_()
    pooling.log_partition(field, (2, 3)).sum().backward()
    torch.testing.assert_close(field.grad, pooling.means(field.detach(), (2, 3))[0])


@pytest.mark.parametrize("height", [800.0, -800.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_fields_stay_finite(height, dtype):
    field = torch.full((1, 1, 5, 5), height, dtype=dtype)
    mean, pooled = pooling.means(field, (2, 2))
    expected = 1.0 if height > 0 else 0.0
    torch.testing.assert_close(pooled, torch.full_like(pooled, expected))
    assert mean[0, 0, 0, 0] == pytest.approx(expected / 4)
    assert torch.isfinite(pooling.log_partition(field, (2, 2))).all()
    mean.requires_grad_()
    steep = field.clone().requires_grad_()
    pooling.log_partition(steep, (2, 2)).sum().backward()
    assert torch.isfinite(steep.grad).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_follow_the_means(dtype):
    """Frequencies within five standard errors; never two units of a block."""
    n, size, p = 20_000, (3, 5), (2, 2)
    mean, _ = pooling.means(fields(size, n=1, scale=1.0).to(dtype), p)
    h, pooled = pooling.draw(mean.expand(n, -1, -1, -1), p, Random(3))
    assert h.dtype == pooled.dtype == dtype
    assert torch.equal(pooling.pool(h, p), pooled)
    assert set(pooled.unique().tolist()) <= {0.0, 1.0}
    error = torch.sqrt(mean[0] * (1 - mean[0]) / n)
    assert ((h.mean(0) - mean[0]).abs() < 5 * error).all()
    assert h[:, :, 0, 0].mul(h[:, :, 2, 2]).mean() > 0  # other blocks are independent, not exclusive


def test_certain_units():
    mean = torch.zeros(50, 1, 2, 2)
    mean[:, 0, 1, 0] = 1.0
    h, pooled = pooling.draw(mean, (2, 2), Random(0))
    assert torch.equal(h, mean)
    assert (pooled == 1).all()
    h, pooled = pooling.draw(torch.zeros(50, 1, 2, 2), (2, 2), Random(0))
    assert not h.any()
    assert not pooled.any()
