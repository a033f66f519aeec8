"""Greedy pre-training of convolutional deep belief networks: each machine learns from the pooled means below it.

The visible biases of the upper machines stay at the log-odds of the pooled units' means. How often a pooled unit is on
is said by its own machine, and inference with all layers (eq. 56) leaves these biases out. Were they learnt, they would
sink and the field from above would make up for it everywhere, and that field, alone, turn on what nothing calls for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.energy.conv_dbn import ConvolutionalDBN
from lamina.models.energy.conv_rbm import ConvolutionalRBM
from lamina.training.convolutional_divergence import ConvolutionalDivergence
from lamina.training.distributed import world
from lamina.training.history import History
from lamina.training.loop import fit
from lamina.training.rules import GradientRule
from lamina.training.schedules import Schedule
from lamina.units import Gaussian

CHUNK = 500  # maps encoded together
MEAN_ROWS = 20_000  # maps whose channel means set the visible biases


def pretrain_convolutional(
    dbn: ConvolutionalDBN,
    data: Any,
    rule: Callable[[int], GradientRule] | None = None,
    *,
    epochs: int | Sequence[int] = 10,
    batch_size: int = 100,
    learning_rate: float | Schedule | Sequence[float | Schedule] | None = None,
    momentum: float | Schedule = 0.5,
    weight_decay: float = 0.0,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[int], Sequence[Any]] = lambda k: (),
) -> list[History]:
    """Train the machines of ``dbn`` one after another on maps ``data`` (n, channels, *size); one `History` per layer.

    ``rule(k)`` gives the rule of layer k (from 0; CD-1 with visible means by default). ``epochs`` and ``learning_rate``
    may be given per layer; without a learning rate, layers with Gaussian visible units take 0.05 and others 0.3. Each
    machine starts with small random weights, visible biases from the mean of its own input, and hidden biases at the
    activity that its rule asks for. The pooled means of a layer are held in memory: n · filters · blocks numbers.
    """
    place = check_device(device) if device is not None else next(dbn.parameters()).device
    dbn.to(place)
    random = world().random(random_state, place)
    histories = []
    for k, layer in enumerate(dbn.layers):
        stream = random.child("layer", k)
        chosen = ConvolutionalDivergence(sample_visible=False) if rule is None else rule(k)
        layer.initialise(stream, channel_means(data, layer), activity=getattr(chosen, "target", None))
        rate = _per_layer("learning_rate", learning_rate, k, len(dbn))
        layer.b.requires_grad_(k == 0)
        history = fit(
            layer,
            data,
            chosen,
            epochs=_per_layer("epochs", epochs, k, len(dbn)),
            batch_size=batch_size,
            learning_rate=default_rate(layer) if rate is None else rate,
            momentum=momentum,
            weight_decay=weight_decay,
            random_state=stream,
            checkpoint=None if checkpoint is None else Path(checkpoint) / f"layer-{k + 1}",
            callbacks=callbacks(k),
        )
        layer.b.requires_grad_(True)
        histories.append(history)
        if k + 1 < len(dbn):
            data = encode_maps(layer.mean_p_from_v, data, layer.W)
    return histories


def default_rate(layer: ConvolutionalRBM) -> float:
    """0.05 where the visible units are Gaussian (their gradients have no bound), else 0.3."""
    return 0.05 if isinstance(layer.visible, Gaussian) else 0.3


@torch.no_grad()
def encode_maps(encode: Callable[[Tensor], Tensor], data: Any, like: Tensor) -> Tensor:
    """``encode`` applied to all maps ``data`` (n, channels, *size), some hundred at a time, in the type of ``like``."""
    parts = [encode(_tensor(data[start : start + CHUNK], like)) for start in range(0, len(data), CHUNK)]
    return torch.cat(parts)


def channel_means(data: Any, layer: ConvolutionalRBM) -> Tensor:
    """Mean of each channel over evenly spaced maps and all places: (channels,)."""
    step = max(1, len(data) // MEAN_ROWS)
    few = _tensor(data[::step], layer.W)
    layer.check_maps(few)
    return few.movedim(1, -1).reshape(-1, layer.n_channels).mean(0)


def _tensor(maps: Any, like: Tensor) -> Tensor:
    tensor = maps if isinstance(maps, Tensor) else torch.from_numpy(np.require(maps, requirements=["C", "W"]))
    return tensor.to(like)


def _per_layer(name: str, value: Any, k: int, n: int) -> Any:
    if not isinstance(value, Sequence):
        return value
    if len(value) != n:
        raise SettingError(f"{name} has {len(value)} entries for {n} layers; expected one number or one per layer")
    return value[k]
