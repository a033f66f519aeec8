"""Bimodal reconstruction: give back both signals, from both or from either one (Ngiam et al. 2011).

For each row at each step it is drawn what the network gets to see: both signals, the first alone, or the second alone,
the missing one as zeros. It is always asked for both (docs/mathematics.md, eq. 172).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.energy import RBM
from lamina.models.stack import Stack
from lamina.training.greedy import encode_rows, pretrain
from lamina.training.history import History
from lamina.training.loss_rule import LossRule
from lamina.training.sources import Batch

SEEN = {"both": (True, True), "a": (True, False), "b": (False, True)}


class BimodalReconstruction(LossRule):
    """Trains a `BimodalAutoencoder` on rows [a, b], or on (rows, present) where signals are missing from the data.

    ``missing`` are the shares of rows shown with both signals, with a alone, with b alone; they sum to 1.
    ``present`` (n, 2) is 1 where a and where b is known: an unknown one is neither shown nor asked for (fill its
    columns with any finite numbers). The loss of a row is ``weights[0]`` · loss of a + ``weights[1]`` · loss of b, each
    summed over units: cross-entropy for "sigmoid" outputs, squared error for "identity" ones. Validation takes the
    expectation over what is shown, so nothing in it is random.
    """

    def __init__(
        self, missing: Sequence[float] = (1 / 3, 1 / 3, 1 / 3), *, weights: Sequence[float] = (1.0, 1.0)
    ) -> None:
        for name, values, n in (("missing", missing, 3), ("weights", weights, 2)):
            if len(values) != n:
                raise SettingError(f"{name} is {tuple(values)}; expected {n} numbers")
            for value in values:
                check_number(name, value, low=0.0)
        if abs(sum(missing) - 1) > 1e-6:
            raise SettingError(f"missing is {tuple(missing)}; expected shares (both, a alone, b alone) that sum to 1")
        self.missing, self.weights = tuple(map(float, missing)), tuple(map(float, weights))

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        parts = model.split(values[0])
        for name, output, part in zip("ab", model.outputs, parts, strict=True):
            low, high = float(part.min()), float(part.max())
            if output == "sigmoid" and (low < 0 or high > 1):
                raise DataError(
                    f"signal {name} lies in [{low:g}, {high:g}]; sigmoid outputs need [0, 1]: scale it, or use "
                    f"outputs='identity' for it"
                )
        if len(values) > 1 and values[1].shape != (len(values[0]), 2):
            raise DataError(f"present has shape {tuple(values[1].shape)}; expected (rows, 2): is a, is b there")

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        v, known = _known(batch.values)
        lost = bimodal_losses(model, v, self.shown(known, random), known)
        total = sum(w * part.sum() for w, part in zip(self.weights, lost, strict=True))
        assert isinstance(total, Tensor)
        return total, {"training loss": total, "loss a": lost[0].sum(), "loss b": lost[1].sum()}

    def shown(self, known: Tensor, random: Random) -> Tensor:
        """What each row's input holds, drawn: known (n, 2) bool → (n, 2) bool, never more than is known.

        A row of which the drawn signal is unknown shows what is known of it.
        """
        both, a, _ = self.missing
        u = random.uniform((len(known), 1), torch.float64, known.device)
        drawn = torch.cat([u < both + a, (u < both) | (u >= both + a)], 1)
        shown = drawn & known
        return torch.where(shown.any(1, keepdim=True), shown, known)

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        v, known = _known(values)
        measures = {}
        for name, pattern in SEEN.items():
            shown = torch.tensor(pattern, device=v.device) & known
            shown = torch.where(shown.any(1, keepdim=True), shown, known)
            lost = bimodal_losses(model, v, shown, known)
            value = sum(w * part.mean() for w, part in zip(self.weights, lost, strict=True))
            measures[f"validation loss from {name}"] = float(value)
        expected = sum(share * value for share, value in zip(self.missing, measures.values(), strict=True))
        return {"validation loss": expected, **measures}

    def describe(self) -> dict:
        return {"rule": "BimodalReconstruction", "missing": list(self.missing), "weights": list(self.weights)}


def _known(values: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    v = values[0]
    known = values[1].bool() if len(values) > 1 else torch.ones(len(v), 2, dtype=torch.bool, device=v.device)
    return v, known


def bimodal_losses(model: Any, v: Tensor, shown: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of a and of b, summed over units, 0 where unknown: rows (n, n_visible), (n, 2), (n, 2) → (n,), (n,)."""
    fields = model.fields_from_h(model.mean_h_from_v(v, shown))
    losses = []
    for k, (output, field, part) in enumerate(zip(model.outputs, fields, model.split(v), strict=True)):
        truth = torch.where(known[:, k : k + 1], part, torch.zeros_like(part))
        if output == "sigmoid":
            cost = functional.binary_cross_entropy_with_logits(field, truth, reduction="none")
        else:
            cost = (field - truth).square()
        losses.append(torch.where(known[:, k], cost.sum(1), torch.zeros_like(cost[:, 0])))
    return losses[0], losses[1]


def pretrain_bimodal(
    layer_a: nn.Module,
    layer_b: nn.Module,
    shared: RBM,
    a: Any,
    b: Any,
    *,
    random_state: int | Random | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[str], Sequence[Any]] = lambda name: (),
    **options: Any,
) -> dict[str, list[History]]:
    """Train machines for `lamina.models.autoencoders.bimodal` layer by layer: those of each signal, then the shared.

    ``a`` (n, n_a) and ``b`` (n, n_b) are arrays with both signals of every row. The shared machine learns the two
    hidden means side by side. ``options`` go to `pretrain` (``epochs``, ``learning_rate``, ``rule``, ...);
    ``callbacks(name)`` gives those of "a", "b" and "shared".
    """
    random = as_random(random_state)
    arms = {"a": (_stack(layer_a), a), "b": (_stack(layer_b), b)}
    found: dict[str, list[History]] = {}

    def learn(name: str, stack: Stack, X: Any) -> None:
        where = None if checkpoint is None else Path(checkpoint) / name
        follow = callbacks(name)
        stream = random.child(name)
        found[name] = pretrain(stack, X, random_state=stream, checkpoint=where, callbacks=lambda k: follow, **options)

    for name, (stack, X) in arms.items():
        learn(name, stack, X)
    codes = [
        encode_rows(lambda x, s=stack: s.encode(x.to(next(s.parameters()))), X, stack.n_hidden)  # type: ignore[misc]
        for stack, X in arms.values()
    ]
    learn("shared", _stack(shared), torch.cat([torch.as_tensor(code) for code in codes], 1))
    return found


def _stack(layer: nn.Module) -> Stack:
    return layer if isinstance(layer, Stack) else Stack([layer])
