"""Greedy pre-training (Hinton, Osindero, Teh 2006): each layer learns from the layer below, which stays as it is.

The means of the layers below are computed once per layer, in memory while they fit and in a memory map on disk
otherwise, instead of being encoded again for every batch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.checks import check_device
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.stack import Stack
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.distributed import world
from lamina.training.history import History
from lamina.training.loop import fit
from lamina.training.penalties import WeightPenalty
from lamina.training.rules import GradientRule, Rule, Setting
from lamina.training.schedules import Schedule
from lamina.training.sources import IN_MEMORY, Batch, as_source
from lamina.units import Family, Gaussian

CHUNK = 4096  # rows encoded together
MEAN_ROWS = 20_000  # rows whose mean sets the visible biases


@torch.no_grad()
def encode_rows(encode: Callable[[Tensor], Tensor], X: Any, width: int, *, folder: str | Path | None = None) -> Any:
    """``encode`` applied to all rows of ``X``: a tensor, or a memory map in ``folder`` where 2 GiB would not hold it.

    ``encode`` maps a tensor (n, features) to (n, ``width``) on any device.
    """
    big = len(X) * width * 4 > IN_MEMORY
    out: Any = None
    for start in range(0, len(X), CHUNK):
        chunk = X[start : start + CHUNK]
        tensor = chunk if isinstance(chunk, Tensor) else torch.from_numpy(np.require(chunk, requirements=["C", "W"]))
        code = encode(tensor)
        if out is None and big:
            handle, path = tempfile.mkstemp(suffix=".npy", dir=folder)
            os.close(handle)
            out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(X), width))
            if folder is None and os.name == "posix":
                os.unlink(path)  # the map outlives the name, and nothing is left behind
        elif out is None:
            out = code.new_empty(len(X), width)
        out[start : start + len(code)] = code.cpu().numpy() if big else code
    return out


def _encoder(layer: Any) -> Callable[[Tensor], Tensor]:
    like = next(layer.parameters())
    return lambda x: layer.mean_h_from_v(x.to(like))


class RedrawnInput(GradientRule):
    """Hands ``rule`` samples of the rows, taken as means of units of ``family`` and drawn anew for each batch."""

    def __init__(self, rule: GradientRule, family: Family) -> None:
        self.rule, self.family = rule, family
        self.watched = rule.watched

    def start(self, model: nn.Module, setting: Setting) -> None:
        self.rule.start(model, setting)
        self.random = setting.random.child("redrawn input")

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        return self.rule.parameters(model)

    def gradients(self, model: nn.Module, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        drawn = self.family.sample_from_mean(batch.values[0], self.random.at(step, batch.rows))
        return self.rule.gradients(model, replace(batch, values=(drawn, *batch.values[1:])), step, random)

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        self.rule.check(model, values)

    def validate(self, model: nn.Module, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        return self.rule.validate(model, values, train)

    def state(self) -> dict[str, Tensor]:
        return self.rule.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.rule.load_state(state)

    def describe(self) -> dict:
        return {**self.rule.describe(), "redrawn_input": True}


def _per_layer(value: Any, k: int, n: int, name: str) -> Any:
    if not isinstance(value, Sequence):
        return value
    if len(value) != n:
        raise SettingError(f"{name} has {len(value)} entries for {n} layers; expected one number or one per layer")
    return value[k]


def default_learning_rate(layer: Any) -> float:
    """0.002 where the visible units are Gaussian (their gradients have no bound), else 0.05."""
    return 0.002 if isinstance(getattr(layer, "visible", None), Gaussian) else 0.05


def initialise_from(layer: Any, data: Any, random: Random) -> None:
    """Small random weights, and visible biases from the mean of ``data``'s first rows, where the layer has them."""
    if hasattr(layer, "initialise"):
        device = next(layer.parameters()).device
        source = as_source(data, 1, random, device, next(layer.parameters()).dtype)
        layer.initialise(random, source.spread(MEAN_ROWS)[0].mean(0))


def pretrain(
    stack: Stack,
    data: Any,
    rule: Callable[[int], Rule] | None = None,
    *,
    epochs: int | Sequence[int] = 10,
    batch_size: int = 100,
    learning_rate: float | Schedule | Sequence[float | Schedule] | None = None,
    momentum: float | Schedule = 0.5,
    weight_decay: float = 2e-4,
    optimiser: str = "sgd",
    penalties: Sequence[WeightPenalty] = (),
    pass_up: str = "mean",
    validation: Any = None,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[int], Sequence[Any]] = lambda k: (),
) -> list[History]:
    """Train the layers of ``stack`` one after another on ``data`` (rows, features); one `History` per layer.

    ``rule(k)`` gives the rule of layer k (from 0; CD-1 with visible means by default), of any of the three kinds;
    rates, ``optimiser`` ("sgd", "nesterov", "adam") and decay matter to gradient rules alone. ``epochs`` and
    ``learning_rate`` may be given per layer; without a learning rate, layers with Gaussian visible units take 0.002
    and others 0.05. ``pass_up="sample"`` hands up samples of the hidden units, redrawn for each batch, instead of their
    means. Each layer starts with small random weights and visible biases from the mean of its own input.
    ``callbacks(k)`` gives the loop's callbacks for layer k.
    """
    if pass_up not in ("mean", "sample"):
        raise SettingError(f"pass_up is {pass_up!r}; expected 'mean' or 'sample'")
    n = len(stack)
    place = check_device(device) if device is not None else next(stack.parameters()).device
    stack.to(place)
    random = world().random(random_state, place)
    histories = []
    with tempfile.TemporaryDirectory(prefix="lamina-codes-") as codes:
        below: Any = None
        for k, layer in enumerate(stack.layers):
            stream = random.child("layer", k)
            rate = _per_layer(learning_rate, k, n, "learning_rate")
            chosen: Rule = ContrastiveDivergence(sample_visible=False) if rule is None else rule(k)
            if pass_up == "sample" and k > 0:
                chosen = _redrawn(chosen, below)
            initialise_from(layer, data, stream)
            history = fit(
                layer,
                data,
                chosen,
                epochs=_per_layer(epochs, k, n, "epochs"),
                batch_size=batch_size,
                learning_rate=default_learning_rate(layer) if rate is None else rate,
                momentum=momentum,
                weight_decay=weight_decay,
                optimiser=optimiser,
                penalties=penalties,
                validation=validation,
                random_state=stream,
                checkpoint=None if checkpoint is None else Path(checkpoint) / f"layer-{k + 1}",
                callbacks=callbacks(k),
            )
            histories.append(history)
            below = layer
            if k + 1 < n:
                data = _pass_up(layer, data, codes)
                validation = None if validation is None else _pass_up(layer, validation, codes)
    return histories


def _redrawn(rule: Rule, below: Any) -> RedrawnInput:
    """``rule`` on samples of the hidden units ``below``; `SettingError` where they or the rule cannot have any."""
    if not isinstance(rule, GradientRule):
        raise SettingError(f"pass_up is 'sample', which {type(rule).__name__} cannot take; expected pass_up='mean'")
    if not isinstance(getattr(below, "hidden", None), Family):
        raise SettingError(
            f"pass_up is 'sample', but a {type(below).__name__} has no units to sample; expected pass_up='mean'"
        )
    return RedrawnInput(rule, below.hidden)


def _pass_up(layer: Any, data: Any, folder: str) -> Any:
    """The next layer's input: encoded once where the rows are known, else encoded as the batches come by."""
    if hasattr(data, "shape"):
        return encode_rows(_encoder(layer), data, layer.n_hidden, folder=folder)
    encode = _encoder(layer)

    @torch.no_grad()
    def batches() -> Any:
        for item in data() if callable(data) else data:
            rows = item[0] if isinstance(item, (tuple, list)) else item
            yield encode(
                rows if isinstance(rows, Tensor) else torch.from_numpy(np.require(rows, requirements=["C", "W"]))
            )

    return batches
