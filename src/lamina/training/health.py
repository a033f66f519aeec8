"""What goes on inside a network, on a few training rows: the numbers that `lamina.diagnose` reads.

Everything is looked at with dropout off and normalisation by its running averages, so that looking changes nothing:
no stream of random numbers is drawn from, no weight, running average or ``.grad`` is written.

A *layer* is an entry of ``network.layer_parameters()`` (the head last), its *units* those of
``network.hidden_means(x)``: measures of parameters have one value per layer, measures of units one per hidden layer,
measures of the rows and of the whole network a single one.

=================== ============================================================================ =====================
measure             what                                                                         of
=================== ============================================================================ =====================
loss                mean loss of the rows                                                        network
input rms           √mean x²                                                                     rows
input spread        largest standard deviation of a column / the median one                      rows
gradient norm       ‖∂L/∂θ‖, L the mean loss                                                     layers
relative gradient   ‖∂L/∂W‖ / ‖W‖, over weights, not biases                                      layers
gradient agreement  cosine between the gradients of two halves of the rows                       layers
pull                cosine between −∂L/∂W and W: near 1 where only a penalty holds W down        layers
weight norm         ‖W‖                                                                          layers
weight gain         √(inputs of a unit) · rms W: 1 to 1.4 in weights drawn by Glorot or He       layers
activation rms      √mean a²                                                                     hidden layers
variation           rms over units of (standard deviation over rows) / activation rms            hidden layers
slope               mean of φ′/max φ′ over units and rows                                        hidden layers
saturated           share of units and rows with φ′ < 5 % of max φ′ (sigmoid, tanh kinds)        hidden layers
dead                share of units that answer the same to every row and pass no gradient down   hidden layers
effective units     (Σ λ)²/Σ λ², λ the variances along principal directions                      hidden layers
=================== ============================================================================ =====================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

ROWS = 256  # at most: enough for shares of units, little beside an epoch
FLAT = 0.05  # a slope below this share of the steepest counts as saturated
CONSTANT = 1e-3  # a unit is dead where its deviation over rows is below this share of its layer's rms
Loss = Callable[[Tensor, Tensor], Tensor]


def layer_health(model: Any, values: Sequence[Tensor], loss: Loss) -> dict[str, list[float]]:
    """Measures of the table above for ``model`` on ``values`` = (inputs, targets, ...), at most `ROWS` rows of them.

    ``loss(outputs, targets)`` is summed over rows. ``model`` offers ``forward``, ``hidden_means`` and
    ``layer_parameters`` as all networks of `lamina.models.networks` do, and takes a tuple of arrays where its
    ``n_inputs`` says so; empty where it offers none, or there are fewer than two rows. Cost: two backward passes over
    half the rows each, one forward pass.
    """
    n = getattr(model, "n_inputs", 1)
    if len(values) <= n or len(values[0]) < 2 or not hasattr(model, "layer_parameters"):
        return {}
    rows = [value[:ROWS] for value in values[: n + 1]]
    layers = [[p for p in layer if p.is_floating_point()] for layer in model.layer_parameters()]
    first = in_first_half(len(rows[0])).to(rows[0].device)
    halves = [_gradients(model, [value[half] for value in rows], loss, layers) for half in (first, ~first)]
    found = {"loss": [sum(total for _, total in halves) / len(rows[0])], **_of_rows(rows[0])}
    found |= _of_layers(layers, halves[0][0], halves[1][0], len(rows[0]))
    return {**found, **_of_units(model, _inputs(rows[:-1]))}


def in_first_half(n: int) -> Tensor:
    """Which of ``n`` rows are in the first of two halves, (n,) bool: scattered, so that rows in the order of their
    classes fall on both sides, and the same at every look."""
    order = (torch.arange(n) * 0x9E3779B1).remainder(1 << 32).argsort(stable=True)
    found = torch.zeros(n, dtype=torch.bool)
    found[order[: n // 2]] = True
    return found


def _inputs(arrays: Sequence[Tensor]) -> Any:
    """What a network is called with: one array, or a tuple of them."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _gradients(
    model: Any, values: Sequence[Tensor], loss: Loss, layers: list[list[Any]]
) -> tuple[list[list[Tensor]], float]:
    """∂(sum of losses)/∂θ of every layer's tensors, and the sum itself."""
    learnt = [p for layer in layers for p in layer if p.requires_grad]
    with torch.enable_grad():
        total = loss(model(_inputs(values[:-1])), values[-1])
        slopes = torch.autograd.grad(total, learnt, allow_unused=True)
    found = {id(p): slope for p, slope in zip(learnt, slopes, strict=True) if slope is not None}
    return [[found.get(id(p), torch.zeros_like(p)).detach() for p in layer] for layer in layers], float(total.detach())


def _of_rows(x: Tensor) -> dict[str, list[float]]:
    flat = x.detach().reshape(-1, x.shape[-1]).double()
    deviations = flat.std(0, correction=0)
    moving = deviations[deviations > 0]
    spread = float(moving.max() / moving.median()) if len(moving) else 1.0
    return {"input rms": [float(flat.square().mean().sqrt())], "input spread": [spread]}


def _of_layers(layers: list[list[Any]], even: list[list[Tensor]], odd: list[list[Tensor]], n: int) -> dict:
    names = ("gradient norm", "relative gradient", "gradient agreement", "pull", "weight norm", "weight gain")
    found: dict[str, list[float]] = {name: [] for name in names}
    for layer, first, second in zip(layers, even, odd, strict=True):
        whole = [(a + b) / n for a, b in zip(first, second, strict=True)]
        weights = [k for k, p in enumerate(layer) if p.dim() >= 2] or list(range(len(layer)))
        W, slope = _joined([layer[k].detach() for k in weights]), _joined([whole[k] for k in weights])
        norm = float(W.norm())
        values = (
            float(_joined(whole).norm()),
            float(slope.norm()) / norm if norm else 0.0,
            _cosine(_joined(first), _joined(second)),
            _cosine(-slope, W),
            norm,
            _gain(layer, weights),
        )
        for name, value in zip(names, values, strict=True):
            found[name].append(value)
    return found


def _gain(layer: list[Any], weights: list[int]) -> float:
    """√(inputs of a unit) · rms W: the deviation of a unit's field over inputs of size one."""
    n = sum(layer[k].numel() for k in weights)
    units = max([p.numel() for p in layer if p.dim() == 1], default=max(1, round(math.sqrt(n))))
    square = sum(float(layer[k].detach().double().square().sum()) for k in weights)
    return math.sqrt(square / n) * math.sqrt(n / units)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors]).double()


def _cosine(a: Tensor, b: Tensor) -> float:
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 0 else 0.0


@torch.no_grad()
def _of_units(model: Any, x: Any) -> dict[str, list[float]]:
    names = ("activation rms", "variation", "slope", "saturated", "dead", "effective units")
    found: dict[str, list[float]] = {name: [] for name in names}
    for k, a in enumerate(_by_unit(model, x)):
        rms = float(a.square().mean().sqrt())
        deviations = a.std(0, correction=0)
        slopes = relative_slopes(a, activation_of(model, k))
        bounded = slopes is not None and not bool((slopes == 0).logical_or(slopes == 1).all())
        values = (
            rms,
            float(deviations.square().mean().sqrt()) / rms if rms else 0.0,
            1.0 if slopes is None else float(slopes.mean()),
            float((slopes < FLAT).double().mean()) if bounded and slopes is not None else 0.0,
            float(_dead(deviations, rms, slopes).double().mean()),
            _effective(a),
        )
        for name, value in zip(names, values, strict=True):
            found[name].append(value)
    return found


def _dead(deviations: Tensor, rms: float, slopes: Tensor | None) -> Tensor:
    """Units that answer the same to every row, and through which no gradient passes where slopes are known."""
    constant = deviations <= CONSTANT * rms
    return constant if slopes is None else constant & (slopes.amax(0) < FLAT)


def _by_unit(model: Any, x: Any) -> list[Tensor]:
    """Every hidden layer as (rows, units), float64: places of a map and frames of a sequence count as rows.

    Of a convolutional layer a whole map is a unit: where all images are empty at the border, its places there answer
    the same to every row and are none the worse for it.
    """
    maps = getattr(model, "hidden_maps", None)
    layers = [h.movedim(1, -1) for h in maps(x)] if maps is not None else model.hidden_means(x)
    return [h.detach().reshape(-1, h.shape[-1]).double() for h in layers]


def activation_of(model: Any, layer: int) -> str:
    """Name of the activation of hidden layer ``layer``, "" where the network does not say."""
    names = getattr(model, "activations", None)
    if isinstance(names, (list, tuple)) and layer < len(names):
        return str(names[layer])
    name = getattr(model, "activation", "")
    return name if isinstance(name, str) else ""


def relative_slopes(a: Tensor, activation: str) -> Tensor | None:
    """φ′/max φ′ at activations ``a`` (rows, units), read off ``a`` itself: 4a(1 − a) of a sigmoid, 1 − a² of a tanh,
    [a > 0] of a rectified unit; None where the slope cannot be told or is constant.

    A network that does not name its activation is judged by the range of its units.
    """
    kind = activation or _guess(a)
    if kind == "sigmoid":
        return 4 * a * (1 - a)
    if kind == "tanh":
        return 1 - a.square()
    if kind == "scaled_tanh":
        return 1 - (a / 1.7159).square()
    if kind == "relu":
        return (a > 0).to(a.dtype)
    return None


def _guess(a: Tensor) -> str:
    low, high = float(a.min()), float(a.max())
    if low == 0.0 and high > 1.0:
        return "relu"
    if low >= 0.0 and high <= 1.0:
        return "sigmoid" if bool((a > 0).all()) else "relu"
    return "tanh" if low >= -1.0 and high <= 1.0 else ""


def _effective(a: Tensor) -> float:
    """(tr C)²/tr C² of the covariance C of the units, from the rows' Gram matrix where that is smaller."""
    centred = a - a.mean(0)
    centred = centred / centred.abs().max().clamp(min=1e-300)  # diverging units would overflow
    gram = centred @ centred.T if len(a) < a.shape[1] else centred.T @ centred
    square = float(gram.square().sum())
    return float(gram.diagonal().sum()) ** 2 / square if square > 0 else 0.0
