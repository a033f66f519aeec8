"""Training of deep belief networks: greedily from the bottom up, then by the up-down algorithm.

`pretrain_dbn` learns the directed layers as machines (`lamina.pretrain`), ties them, and learns the memory on what
comes out above them, joined with the labels. `up_down` then refines all weights together in stages of growing k.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lamina.core.checks import check_device
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.energy import DBN, RBM
from lamina.models.stack import Stack
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.distributed import world
from lamina.training.greedy import MEAN_ROWS, RedrawnInput, encode_rows, pretrain
from lamina.training.history import History
from lamina.training.loop import fit
from lamina.training.rules import GradientRule, Setting
from lamina.training.sampling_rule import SamplingRule
from lamina.training.schedules import Schedule
from lamina.training.sources import Batch
from lamina.training.wake_sleep import UpDown

STARTS = ("random", "transposed")


class JoinedLabels(GradientRule):
    """Hands ``rule`` rows (n, d) with the one-of-K code of their class beside them, (n, d + n_classes)."""

    def __init__(self, rule: GradientRule, n_classes: int) -> None:
        self.rule, self.n_classes = rule, n_classes
        self.watched = rule.watched

    def _join(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rows, y = values
        return (torch.cat([rows, one_hot(y, self.n_classes).to(rows)], -1),)

    def gradients(self, model: nn.Module, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        return self.rule.gradients(model, replace(batch, values=self._join(batch.values)), step, random)

    def start(self, model: nn.Module, setting: Setting) -> None:
        self.rule.start(model, setting)

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        return self.rule.parameters(model)

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        self.rule.check(model, self._join(values))

    def validate(self, model: nn.Module, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        return self.rule.validate(model, self._join(values), self._join(train))

    def state(self) -> dict[str, Tensor]:
        return self.rule.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.rule.load_state(state)

    def describe(self) -> dict:
        return {**self.rule.describe(), "joined_labels": self.n_classes}


def pretrain_dbn(
    dbn: DBN,
    X: Any,
    y: Any = None,
    rule: Callable[[int], GradientRule] | None = None,
    *,
    epochs: int | Sequence[int] = 10,
    batch_size: int = 100,
    learning_rate: float | Schedule | Sequence[float | Schedule] | None = None,
    momentum: float | Schedule = 0.5,
    weight_decay: float = 2e-4,
    pass_up: str = "sample",
    memory_start: str = "random",
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[int], Sequence[Any]] = lambda k: (),
) -> list[History]:
    """Greedy training of ``dbn`` on rows X (n, n_visible), with class codes y (n,) where it has labels.

    Returns one `History` per layer, the memory's last. ``epochs`` and ``learning_rate`` may be given per layer, the
    memory's last. ``rule(k)`` gives the rule of layer k (from 0); by default CD-1, with visible means below the memory
    and centred gradients in it, without which wide memories need a rate several times smaller. ``pass_up="sample"``
    teaches each layer draws of the units below, redrawn for each batch, which is what the likelihood bound speaks of;
    ``"mean"`` gives smoother features.

    ``memory_start="transposed"`` starts the memory at the machine below turned upside down: hidden units as many as
    that machine has visible ones get its weights, the others small random ones. The bound on log p(v) then starts where
    that machine's log-likelihood stands (exactly so without classes and without such extra units), and what the memory
    gains in likelihood of its input the bound gains too (Hinton, Osindero, Teh 2006, section 4; docs/mathematics.md,
    eq. 78).
    """
    _check_data(dbn, X, y, memory_start)
    random = world().random(random_state, next(dbn.parameters()).device)
    place = check_device(device) if device is not None else next(dbn.parameters()).device
    dbn.to(place)
    n = len(dbn.directed) + 1
    own, top_epochs = _last_apart(epochs, n, "epochs")
    rates, top_rate = _last_apart(learning_rate, n, "learning_rate")
    folder = None if checkpoint is None else Path(checkpoint)
    shared: dict[str, Any] = {"batch_size": batch_size, "momentum": momentum, "weight_decay": weight_decay}
    below = {"epochs": own, "learning_rate": rates, "checkpoint": folder, "callbacks": callbacks, **shared}
    histories = _learn_directed(dbn, X, rule, pass_up, random, below)
    top = random.child("layer", n - 1)
    codes = X if n == 1 else encode_rows(lambda x: dbn.encode(x.to(dbn.top.W), n - 1), X, dbn.n_penultimate)
    start_memory(dbn, codes, y, memory_start, top)
    history = fit(
        dbn.top,
        (codes, y) if dbn.n_classes else codes,
        _memory_rule(dbn, rule, pass_up),
        epochs=top_epochs,
        learning_rate=0.05 if top_rate is None else top_rate,
        random_state=top,
        checkpoint=None if folder is None else folder / f"layer-{n}",
        callbacks=callbacks(n - 1),
        **shared,
    )
    return [*histories, history]


def _learn_directed(
    dbn: DBN, X: Any, rule: Callable[[int], GradientRule] | None, pass_up: str, random: Random, options: dict[str, Any]
) -> list[History]:
    """Learn the directed layers as machines of a stack, and tie both directions to what was learnt."""
    if not len(dbn.directed):
        return []
    stack = Stack([_machine(layer) for layer in dbn.directed])
    histories = pretrain(stack, X, rule, pass_up=pass_up, random_state=random, **options)
    for layer, machine in zip(dbn.directed, stack.layers, strict=True):
        layer.tie_to(machine)  # type: ignore[operator]
    return histories


def _memory_rule(dbn: DBN, rule: Callable[[int], GradientRule] | None, pass_up: str) -> GradientRule:
    """The rule of the memory, handed draws of the codes where asked for, and the labels beside them."""
    k = len(dbn.directed)
    chosen: GradientRule = ContrastiveDivergence(1, centred=True) if rule is None else rule(k)
    if pass_up == "sample" and k > 0:
        chosen = RedrawnInput(chosen, dbn.top.visible)
    return JoinedLabels(chosen, dbn.n_classes) if dbn.n_classes else chosen


def up_down(
    dbn: DBN,
    X: Any,
    y: Any = None,
    *,
    k: Sequence[int] = (3, 6, 10),
    epochs: int | Sequence[int] = 100,
    learning_rate: float | Schedule | Sequence[float | Schedule] = 0.01,
    memory: Callable[[int], SamplingRule] = lambda k: ContrastiveDivergence(k, centred=True),
    batch_size: int = 100,
    momentum: float | Schedule = 0.5,
    weight_decay: float = 2e-4,
    validation: Any = None,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[int], Sequence[Any]] = lambda stage: (),
) -> list[History]:
    """The up-down algorithm in stages, one per entry of ``k``: the memory's Gibbs steps per update. One `History` each.

    ``epochs`` and ``learning_rate`` may be given per stage; a `Schedule` counts epochs from the stage's own start.
    ``memory(k)`` gives the memory's rule, centred CD-k by default. The paper spends 100 epochs each on k = 3, 6 and 10.
    """
    n = len(k)
    random = world().random(random_state, next(dbn.parameters()).device)
    histories = []
    for stage, steps in enumerate(k):
        history = fit(
            dbn,
            (X, y) if dbn.n_classes else X,
            UpDown(memory(steps)),
            epochs=_of_stage(epochs, stage, n, "epochs"),
            batch_size=batch_size,
            learning_rate=_of_stage(learning_rate, stage, n, "learning_rate"),
            momentum=momentum,
            weight_decay=weight_decay,
            validation=validation,
            random_state=random.child("up-down", stage),
            device=device,
            checkpoint=None if checkpoint is None else Path(checkpoint) / f"stage-{stage + 1}",
            callbacks=callbacks(stage),
        )
        histories.append(history)
    return histories


@torch.no_grad()
def start_memory(dbn: DBN, codes: Any, y: Any, start: str, random: Random) -> None:
    """Initial weights of the memory: small random ones with biases from the data, or the layer below transposed."""
    if start not in STARTS:
        raise SettingError(f"memory_start is {start!r}; expected one of {', '.join(map(repr, STARTS))}")
    mean = torch.as_tensor(np.asarray(codes[:MEAN_ROWS])).double().mean(0)
    if dbn.n_classes:
        share = np.bincount(np.asarray(y), minlength=dbn.n_classes) / len(y)
        mean = torch.cat([mean, torch.from_numpy(share)])
    dbn.top.initialise(random, mean)
    if start == "random":
        return
    if len(dbn.directed) and type(dbn.directed[-1].visible) is not type(dbn.top.hidden):
        raise SettingError(
            f"a transposed start turns the machine below upside down, whose visible units are "
            f"{type(dbn.directed[-1].visible).__name__}; expected the memory's hidden units to be of that family, not "
            f"{type(dbn.top.hidden).__name__}: start the memory at random"
        )
    if not len(dbn.directed) or dbn.directed[-1].n_visible > dbn.n_hidden:  # type: ignore[operator]
        raise SettingError(
            f"a transposed start needs a directed layer with at most {dbn.n_hidden} visible units, the memory's hidden "
            f"ones; widen the memory or start it at random"
        )
    below: Any = dbn.directed[-1]
    dbn.top.W[: below.n_hidden, : below.n_visible] = below.W.T
    dbn.top.b[: below.n_hidden] = below.c
    dbn.top.c[: below.n_visible] = below.b


def _machine(layer: Any) -> RBM:
    return RBM(layer.visible, layer.hidden, dtype=layer.W.dtype).to(layer.W.device)


def _last_apart(value: Any, n: int, name: str) -> tuple[Any, Any]:
    """One value for all ``n`` layers, or one each: (those of the directed layers, the memory's)."""
    if not isinstance(value, Sequence):
        return value, value
    if len(value) != n:
        raise SettingError(f"{name} has {len(value)} entries for {n} layers; expected one number or one per layer")
    return list(value[:-1]), value[-1]


def _of_stage(value: Any, stage: int, n: int, name: str) -> Any:
    if not isinstance(value, Sequence):
        return value
    if len(value) != n:
        raise SettingError(f"{name} has {len(value)} entries for {n} stages; expected one number or one per stage")
    return value[stage]


def _check_data(dbn: DBN, X: Any, y: Any, memory_start: str) -> None:
    if not isinstance(dbn, DBN):
        raise SettingError(f"pretrain_dbn trains a DBN; {type(dbn).__name__} given: a Stack is for lamina.pretrain")
    if memory_start not in STARTS:
        raise SettingError(f"memory_start is {memory_start!r}; expected one of {', '.join(map(repr, STARTS))}")
    if not hasattr(X, "shape"):
        raise DataError(f"the rows are a {type(X).__name__}; expected an array (rows, features)")
    if (y is None) == bool(dbn.n_classes):
        given = "no labels were given" if y is None else "labels were given"
        expected = "pass class codes y" if dbn.n_classes else "build it with n_classes, or leave y out"
        raise LabelError(f"{given}, and this DBN has {dbn.n_classes} label units: {expected}")
    if y is None:
        return
    codes = np.asarray(y)
    if codes.ndim != 1 or len(codes) != len(X) or codes.dtype.kind not in "iu":
        raise LabelError(
            f"labels have shape {codes.shape} and type {codes.dtype}; expected {len(X)} whole numbers, one per row"
        )
    if codes.min() < 0 or codes.max() >= dbn.n_classes:
        raise LabelError(
            f"class codes lie in {codes.min()} .. {codes.max()}; expected 0 .. {dbn.n_classes - 1}: leave unlabelled "
            f"rows out, or number the classes from 0"
        )
