"""A convolutional machine over maps of one size, with every weight written out: an ordinary `RBM`.

A block of m detection units and its off state is one softmax variable of m + 1 values, the first of which ("off") has
no weights and no bias. So whatever is known of RBMs (exact sums, annealed importance sampling, tempering) holds for
convolutional machines. The weight matrix has n_visible · n_hidden entries: for small maps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.models.energy.conv_rbm import ConvolutionalRBM
from lamina.models.energy.rbm import RBM
from lamina.units import Bernoulli, Concatenated, Family, Gaussian, Softmax, pooling
from lamina.units.pooling import Sizes

MOST_WEIGHTS = 1 << 28


@torch.no_grad()
def written_out(machine: ConvolutionalRBM, size: Sizes) -> RBM:
    """The RBM over flattened maps (channels · Π size) with one softmax group per block (Bernoulli units for blocks of
    one). F(v) is the same; hidden units come in another order, blocks of equal size together."""
    places = machine.places(size)
    n_visible, n_detection = machine.n_channels * math.prod(size), machine.n_filters * math.prod(places)
    if n_visible * n_detection > MOST_WEIGHTS:
        raise SettingError(
            f"{n_visible} x {n_detection} weights would have to be written out; expected at most {MOST_WEIGHTS}: take "
            f"smaller maps"
        )
    visible = _visible(machine, math.prod(size))
    every = torch.eye(n_detection, dtype=machine.W.dtype, device=machine.W.device)
    weights = machine.input_v(every.view(n_detection, machine.n_filters, *places)).flatten(1).T
    bias = machine.c.repeat_interleave(math.prod(places))
    hidden, W, c = _grouped(machine, places, weights, bias)
    rbm = RBM(visible, hidden, dtype=machine.W.dtype).to(machine.W.device)
    rbm.W.copy_(W)
    rbm.b.copy_(machine.b.repeat_interleave(math.prod(size)))
    rbm.c.copy_(c)
    return rbm


def _visible(machine: ConvolutionalRBM, n_places: int) -> Family:
    """The family of all visible units, channel after channel."""
    family = machine.visible
    if isinstance(family, Bernoulli):
        return Bernoulli(family.n * n_places)
    if isinstance(family, Gaussian):
        whole = Gaussian(family.n * n_places).to(family.log_variance.dtype)
        whole.log_variance.copy_(family.log_variance.repeat_interleave(n_places))
        return whole
    raise SettingError(f"the visible units are {type(family).__name__}; expected Bernoulli or Gaussian channels")


def _grouped(machine: ConvolutionalRBM, places: Sizes, weights: Tensor, bias: Tensor) -> tuple[Family, Tensor, Tensor]:
    """Hidden family, its weights (n_visible, n_hidden) and biases, from those of the detection units."""
    if math.prod(machine.pooling) == 1:
        return Bernoulli(len(bias)), weights, bias
    numbers = torch.arange(1.0, len(bias) + 1, dtype=torch.float64).view(1, machine.n_filters, *places)
    blocks = pooling.to_blocks(numbers, machine.pooling, 0.0).flatten(1).T.long()  # 0: a place that is not there
    units = (blocks > 0).sum(1)
    families, columns, biases = [], [], []
    for count in units.unique().tolist():
        chosen = blocks[units == count]
        members = chosen[chosen > 0].view(len(chosen), count) - 1
        families.append(Softmax(count + 1, len(members)))
        on = weights[:, members]  # (n_visible, blocks, count)
        columns.append(torch.cat([torch.zeros_like(on[..., :1]), on], -1).flatten(1))
        biases.append(torch.cat([torch.zeros_like(bias[members][:, :1]), bias[members]], -1).flatten())
    family = families[0] if len(families) == 1 else Concatenated(families)
    return family, torch.cat(columns, 1), torch.cat(biases)
