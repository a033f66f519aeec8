"""The deep autoencoder: a stack unrolled into one network that goes up to a code and down to its input again.

With sizes (n_0, ..., n_L) and levels k = 0 (the input) ... L (the code)                 (docs/mathematics.md, 100-101)

    up:     a_0 = v,  a_k = φ_k(c_k + a_{k−1} W_k)        k = 1 ... L,   code h = a_L
    down:   r_L = h,  r_{k−1} = ψ_{k−1}(b_{k−1} + r_k V_kᵀ)  k = L ... 1,   reconstruction r_0

φ_L is ``code``, ψ_0 is ``output``, the others are ``activation``. W_k and V_k are (n_{k−1}, n_k). Tied weights mean
V_k = W_k; untied, the way down has weights of its own, which an unrolled stack starts as copies of those upward.

Source: Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks. Science 313, 504-507.
`lamina.models.convert.autoencoder` unrolls a stack, `lamina.training.Reconstruction` (gradient steps) and
`lamina.training.FullReconstruction` (conjugate gradients, L-BFGS) train.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.activations import ACTIVATIONS, check_activation
from lamina.models.autoencoders.autoencoder import _field_of_mean

#: Activations whose weights start by He et al. (2015); those of the others by Glorot & Bengio (2010).
_HALF_LINEAR = ("relu", "elu", "silu", "gelu")


class DeepAutoencoder(nn.Module):
    """An autoencoder of layer sizes ``sizes`` = (n_visible, ..., n_hidden), mirrored on the way down.

    ``activation`` is one name for all levels between input and code, or one name per level; ``down`` likewise for the
    way down (those of ``activation`` unless given); ``code`` and ``output`` name the activations at the two ends.
    Parameters: ``W`` and ``V`` (lists of (n_below, n_above)), ``c`` (n_above,) upward, ``b`` (n_below,) downward;
    ``tied=True`` has no ``V``. Weights start by He et al. (2015), N(0, 2/n_in), before relu, elu, silu and gelu, and by
    Glorot & Bengio (2010), U(±√(6/(n_in + n_out))), before the others; biases at 0.

    Raises `SettingError` for fewer than two sizes, an unknown activation, or a wrong number of names.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str | Sequence[str] = "sigmoid",
        down: str | Sequence[str] | None = None,
        code: str = "identity",
        output: str = "sigmoid",
        tied: bool = False,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        self.sizes = _checked_sizes(sizes)
        check_activation(code, "code")
        check_activation(output, "output")
        between = len(self.sizes) - 2
        self.activation = _names(activation, between, "activation")
        self.down = self.activation if down is None else _names(down, between, "down")
        self.code, self.output, self.tied = code, output, bool(tied)
        pairs = list(pairwise(self.sizes))
        self.W = _weights(pairs, dtype)
        self.c = _biases(self.sizes[1:], dtype)
        self.b = _biases(self.sizes[:-1], dtype)
        if not self.tied:
            self.V = _weights(pairs, dtype)
        self.initialise(random_state)

    @property
    def n_visible(self) -> int:
        return self.sizes[0]

    @property
    def n_hidden(self) -> int:
        return self.sizes[-1]

    @property
    def depth(self) -> int:
        """Number of layers from the input to the code."""
        return len(self.sizes) - 1

    def extra_repr(self) -> str:
        return (
            f"sizes={self.sizes}, activation={self.activation}, down={self.down}, code={self.code!r}, "
            f"output={self.output!r}, tied={self.tied}"
        )

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> DeepAutoencoder:
        """Draw the weights afresh; biases to 0, those of the output so that they alone give ``data_mean``."""
        random = as_random(random_state).child("weights")
        for k in range(self.depth):
            _draw(self.W[k], self._up(k), random.child("up", k), fan_in=self.sizes[k])
            if not self.tied:
                _draw(self.V[k], self._down(k), random.child("down", k), fan_in=self.sizes[k + 1])
        for bias in (*self.b, *self.c):
            bias.zero_()
        if data_mean is not None:
            self.b[0].copy_(_field_of_mean(self.output, data_mean.to(self.b[0])))
        return self

    # the way up and the way down --------------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """The code: (..., n_visible) → (..., n_hidden)."""
        _check_width(v, self.n_visible, "inputs")
        for k in range(self.depth):
            v = ACTIVATIONS[self._up(k)](functional.linear(v, self.W[k].T, self.c[k]))
        return v

    def field_v(self, h: Tensor) -> Tensor:
        """What the output units see, before their activation: (..., n_hidden) → (..., n_visible)."""
        _check_width(h, self.n_hidden, "codes")
        for k in reversed(range(self.depth)):
            h = functional.linear(h, self._weights_down(k), self.b[k])
            if k:
                h = ACTIVATIONS[self._down(k)](h)
        return h

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """The reconstruction from a code: (..., n_hidden) → (..., n_visible)."""
        return ACTIVATIONS[self.output](self.field_v(h))

    # Names that users of autoencoders look for.
    encode = mean_h_from_v
    decode = mean_v_from_h

    def reconstruct(self, v: Tensor) -> Tensor:
        """The input given back: (..., n_visible) → (..., n_visible)."""
        return self.mean_v_from_h(self.mean_h_from_v(v))

    def _up(self, k: int) -> str:
        return self.code if k + 1 == self.depth else self.activation[k]

    def _down(self, k: int) -> str:
        return self.output if k == 0 else self.down[k - 1]

    def _weights_down(self, k: int) -> Tensor:
        return self.W[k] if self.tied else self.V[k]

    # files ------------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this autoencoder again; the arrays are the state dict."""
        return {
            "class": "DeepAutoencoder",
            "sizes": list(self.sizes),
            "activation": list(self.activation),
            "down": list(self.down),
            "code": self.code,
            "output": self.output,
            "tied": self.tied,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> DeepAutoencoder:
        """The autoencoder that `spec` describes."""
        return cls(spec["sizes"], **{name: spec[name] for name in ("activation", "down", "code", "output", "tied")})


def _checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if isinstance(sizes, (str, int)) or len(sizes) < 2:
        raise SettingError(f"sizes are {sizes!r}; expected at least (n_visible, n_hidden), from the input to the code")
    for size in sizes:
        check_number("each of sizes", size, low=1, integer=True)
    return tuple(int(size) for size in sizes)


def _names(given: str | Sequence[str], n: int, name: str) -> tuple[str, ...]:
    """``n`` names of activations: one for all, or the ``n`` that were given."""
    names = (given,) * n if isinstance(given, str) else tuple(given)
    if isinstance(given, str):
        check_activation(given, name)
    for one in names:
        check_activation(one, name)
    if len(names) != n:
        raise SettingError(
            f"{name} has {len(names)} names for {n} level(s) between input and code; expected one name for all or one "
            f"for each (code= and output= name those of the two ends)"
        )
    return names


def _weights(pairs: Sequence[tuple[int, int]], dtype: torch.dtype) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(torch.empty(pair, dtype=dtype)) for pair in pairs)


def _biases(sizes: Sequence[int], dtype: torch.dtype) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(torch.zeros(n, dtype=dtype)) for n in sizes)


def _draw(W: Tensor, activation: str, random: Random, fan_in: int) -> None:
    if activation in _HALF_LINEAR:
        W.copy_(random.normal(W.shape, W.dtype, W.device).mul_(math.sqrt(2 / fan_in)))
    else:
        limit = math.sqrt(6 / sum(W.shape))
        W.copy_(random.uniform(W.shape, W.dtype, W.device).mul_(2).sub_(1).mul_(limit))


def _check_width(x: Tensor, expected: int, what: str) -> None:
    if x.shape[-1] != expected:
        raise DataError(
            f"{what} have shape {tuple(x.shape)}; expected (..., {expected}): pass the columns used in training"
        )
