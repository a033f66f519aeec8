"""The gradient of one autoencoder layer by hand: the matrix products written out, what is elementwise by autograd.

With d = ∂L/∂(output field) and δ = ∂L/∂(code field), both (n, ...), the gradients are

    ∂L/∂W = ṽᵀ δ + dᵀ h  (tied; else ∂L/∂W = ṽᵀ δ, ∂L/∂V = dᵀ h),   ∂L/∂b = Σ d,   ∂L/∂c = Σ δ          (eq. 114, 115)

d is r − v for cross-entropy of sigmoids and 2 (r − v) ρ′ for squared error. The two terms of tied weights are one
product over the stacked rows [ṽ; d], [δ; h]: autograd would make two, add them, and copy the sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lamina.models.activations import ACTIVATIONS
from lamina.models.autoencoders import Autoencoder
from lamina.models.autoencoders.slopes import SLOPES
from lamina.training.code_penalties import Code, CodePenalty
from lamina.training.distributed import World


def write_layer_gradients(
    model: Autoencoder,
    v: Tensor,
    target: Tensor,
    loss: str,
    penalties: Sequence[CodePenalty],
    total: int,
    world: World,
) -> tuple[Tensor, Tensor]:
    """Write the layer's part of the gradient for rows ``v`` (n, n_visible) into ``.grad``, a batch having ``total``.

    Returns loss with penalties and squared error, both 0-d and summed over these rows.
    """
    with torch.no_grad():
        field = model.field_h(v)
    code, terms, value = _code(model, field, penalties, total, world)
    with torch.no_grad():
        h = code.h.detach()
        losses, square, d = _output_slopes(model, h, target, loss)
        d.div_(total)
        leaves = [field] if code.squares is None else [field, code.squares]
        ends, slopes = [code.h], [d @ model.decoder]
        if terms.requires_grad:
            ends, slopes = [code.h, terms], [*slopes, terms.new_tensor(1 / total)]
        found = torch.autograd.grad(ends, leaves, slopes)
        _write(model, v, d, found[0], h)
        if code.squares is not None:
            model.W.grad.addcmul_(model.W, found[1], value=2)  # type: ignore[union-attr]  # ∂(Σ_i W_ij²) = 2 W_ij
    return losses + value, square


@torch.enable_grad()
def _code(
    model: Autoencoder, field: Tensor, penalties: Sequence[CodePenalty], total: int, world: World
) -> tuple[Code, Tensor, Tensor]:
    """The code above ``field`` as a leaf, the penalties' terms to descend, and their value."""
    field.requires_grad_()
    squares = None
    if any(penalty.needs_squares for penalty in penalties):
        squares = model.W.detach().square().sum(0).requires_grad_()
    code = Code(ACTIVATIONS[model.activation](field), total, world, model.activation, field, squares)
    terms = value = field.new_zeros(())
    for penalty in penalties:
        term, amount = penalty.terms(code)
        terms, value = terms + term, value + amount
    return code, terms, value.detach()


def _output_slopes(model: Autoencoder, h: Tensor, target: Tensor, loss: str) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and squared error summed over rows, and the slope of the loss at the output fields (n, n_visible)."""
    field = model.field_v(h)
    r = ACTIVATIONS[model.output](field)
    error = r - target
    flat = error.view(-1)
    square = torch.dot(flat, flat)
    if loss == "cross-entropy":
        return functional.softplus(field).sum() - torch.dot(target.reshape(-1), field.view(-1)), square, error
    if model.output == "identity":
        return square, square, error.mul_(2)
    return square, square, error.mul_(SLOPES[model.output](field, r)).mul_(2)


def _write(model: Autoencoder, v: Tensor, d: Tensor, delta: Tensor, h: Tensor) -> None:
    W, b, c = model.W.grad, model.b.grad, model.c.grad
    assert W is not None  # the loop made them
    assert b is not None
    assert c is not None
    if model.tied:
        torch.mm(torch.cat([v, d]).T, torch.cat([delta, h]), out=W)
    else:
        torch.mm(v.T, delta, out=W)
        torch.mm(d.T, h, out=model.V.grad)
    torch.sum(d, 0, out=b)
    torch.sum(delta, 0, out=c)
