"""The log-likelihood of binary values from their logits, as fast as a decoder asks for it.

The problem: Σ v f − log(1 + e^f) over the pixels of an image is taken for every draw of the latent units, tens of
billions of pixels in one evaluation of an importance-weighted bound, and ``softplus`` costs more than the matrix
products. The convention: log(1 + e^f) = max(f, 0) + log(1 + e^−|f|), and the logarithms of the second terms are one
logarithm of their product: pairs of 1 + e^−|f| ∈ [1, 2] are multiplied up to `FOLDS` times, at most 2^16 then. What
that loses in float32 is about 10⁻⁷ a pixel. The slope, v − σ(f), is written by hand and exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FOLDS = 4  # halvings of the row: 16 factors make one logarithm


def bernoulli_log_likelihood(v: Tensor, field: Tensor) -> Tensor:
    """Σ v f − log(1 + e^f) over the last dimension: (..., n) and (..., n) that broadcast → (...), in nats.

    Differentiable once in both.
    """
    if torch.is_grad_enabled() and (v.requires_grad or field.requires_grad):
        return _Likelihood.apply(v, field)  # type: ignore[no-any-return, no-untyped-call]
    return _value(v, field)


def _value(v: Tensor, field: Tensor) -> Tensor:
    certain = _inner(v, field) - field.clamp(min=0).sum(-1)
    return certain - _log_of_product(field.abs().neg_().exp_().add_(1))


def _inner(v: Tensor, field: Tensor) -> Tensor:
    """Σ v f over the last dimension; many fields of one row as a product of matrices."""
    if v.dim() == field.dim() == 3 and v.shape[1] == 1:
        return (field @ v.transpose(1, 2)).squeeze(2)
    return (v * field).sum(-1)


def _log_of_product(factors: Tensor) -> Tensor:
    """Σ log over the last dimension of ``factors`` in [1, 2]."""
    for _ in range(FOLDS):
        half, odd = divmod(factors.shape[-1], 2)
        if odd or half == 0:
            break
        factors = factors[..., :half] * factors[..., half:]
    return factors.log().sum(-1)


class _Likelihood(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, field: Tensor) -> Tensor:
        ctx.save_for_backward(v, field)
        return _value(v, field)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        v, field = ctx.saved_tensors
        by_v = by_field = None
        if ctx.needs_input_grad[0]:
            by_v = (slope.unsqueeze(-1) * field).sum_to_size(v.shape)
        if ctx.needs_input_grad[1]:
            by_field = ((v - torch.sigmoid(field)) * slope.unsqueeze(-1)).sum_to_size(field.shape)
        return by_v, by_field
