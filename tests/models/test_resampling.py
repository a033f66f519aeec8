"""Correlation of equal size, its adjoint, and pooling with switches, against their definitions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from lamina.models.autoencoders import resampling

CASES = [
    # size, kernel, stride
    ((7,), (3,), (1,)),
    ((8,), (5,), (3,)),
    ((1,), (3,), (2,)),
    ((5, 6), (3, 1), (1, 1)),
    ((5, 6), (3, 5), (2, 3)),
    ((4, 7), (3, 3), (2, 2)),
]


def by_definition(x: np.ndarray, W: np.ndarray, stride: tuple[int, ...]) -> np.ndarray:
    """Σ_c Σ_s W_kc(s) x_c(stride · r + s − p), zeros beyond the borders."""
    size, kernel = x.shape[1:], W.shape[2:]
    places = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    y = np.zeros((len(W), *places))
    for r in product(*map(range, places)):
        for s in product(*map(range, kernel)):
            at = tuple(t * a + b - (k - 1) // 2 for t, a, b, k in zip(stride, r, s, kernel, strict=True))
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                y[(slice(None), *r)] += W[(slice(None), slice(None), *s)] @ x[(slice(None), *at)]
    return y


@pytest.mark.parametrize(("size", "kernel", "stride"), CASES)
def test_correlation_and_its_adjoint(size, kernel, stride):
    generator = np.random.default_rng(0)
    x, W = generator.normal(size=(2, 3, *size)), generator.normal(size=(4, 3, *kernel))
    found = resampling.correlate(torch.from_numpy(x), torch.from_numpy(W), stride)
    expected = np.stack([by_definition(row, W, stride) for row in x])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    y = generator.normal(size=expected.shape)
    back = resampling.adjoint(torch.from_numpy(y), torch.from_numpy(W), stride, size).numpy()
    assert back.shape == x.shape
    np.testing.assert_allclose((expected * y).sum(), (x * back).sum(), rtol=1e-12)


@pytest.mark.parametrize(("size", "blocks"), [((7,), (2,)), ((1,), (3,)), ((5, 6), (2, 4)), ((4, 4), (1, 1))])
def test_a_maximum_goes_back_to_its_place(size, blocks):
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, *size)))
    values, switches = resampling.max_pool(x, blocks)
    counts = tuple(-(-n // p) for n, p in zip(size, blocks, strict=True))
    assert values.shape == switches.shape == (2, 3, *counts)
    back = resampling.unpool(values, switches, blocks, size)
    for block in product(*map(range, counts)):
        cut = tuple(slice(b * p, (b + 1) * p) for b, p in zip(block, blocks, strict=True))
        for n, c in product(range(2), range(3)):
            inside = x[(n, c, *cut)]
            assert values[(n, c, *block)] == inside.max()
            expected = torch.where(inside == inside.max(), inside, 0.0)
            assert torch.equal(back[(n, c, *cut)], expected)


def test_unpooling_is_the_adjoint_of_picking():
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 3, 5, 5)))
    values, switches = resampling.max_pool(x, (2, 2))
    y = torch.randn(values.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    back = resampling.unpool(y, switches, (2, 2), (5, 5))
    torch.testing.assert_close((values * y).sum(), (x * back).sum())
