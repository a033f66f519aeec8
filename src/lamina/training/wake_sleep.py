"""The up-down algorithm: contrastive wake-sleep for deep belief networks (Hinton, Osindero, Teh 2006, appendix B).

One step, for a batch of rows v with labels y:

- *wake*: draw h¹ ~ q(h¹ | v), h² ~ q(h² | h¹), ... Each directed layer's generative weights learn to give back the
  layer below it, by the delta rule, which is the gradient of log p(h^{k−1} | h^k):

      ∂/∂W = −⟨(s(x) − s(E_p[x | y])) s(y)ᵀ⟩,   ∂/∂b = −⟨s(x) − s(E_p[x | y])⟩          (docs/mathematics.md, eq. 75)

- *memory*: the top machine learns from [h^{L−1}, y] by contrastive divergence, whose k Gibbs steps start at the
  up-pass, or by a persistent form of it.
- *sleep*: from where those Gibbs steps end, one draw downward. Each layer's recognition weights learn to give back the
  layer above, the gradient of log q(h^k | h^{k−1}) on these dreams:

      ∂/∂R = −⟨s(x) (s(y) − s(E_q[y | x]))ᵀ⟩,   ∂/∂c = −⟨s(y) − s(E_q[y | x])⟩          (docs/mathematics.md, eq. 76)

The wake phase raises a lower bound on log p(v) for fixed q. The sleep phase minimises KL(p ‖ q), not the KL(q ‖ p) of
the bound, and its dreams come from chains too short; so no step is guaranteed to raise the bound, and large rates undo
what greedy training has learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_matrix
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.energy import DBN
from lamina.models.energy.directed import DirectedLayer
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.rules import GradientRule, Setting
from lamina.training.sampling_rule import SamplingRule
from lamina.training.sources import Batch


class UpDown(GradientRule):
    """Trains a `DBN` on rows (n, n_visible), or on (rows, class codes (n,)) where it has label units.

    ``memory`` is the rule of the top machine: centred CD-3 by default (the paper goes from k = 3 over 6 to 10), or a
    persistent one. ``sample_visible=False`` dreams visible means, as the paper does, instead of draws.
    Variances stay as greedy training left them.
    """

    watched = "validation reconstruction error"

    def __init__(self, memory: SamplingRule | None = None, *, sample_visible: bool = False) -> None:
        self.memory = ContrastiveDivergence(3, centred=True) if memory is None else memory
        if not isinstance(self.memory, SamplingRule):
            raise SettingError(
                f"memory is {memory!r}; expected a rule for the top machine such as ContrastiveDivergence(3)"
            )
        if not getattr(self.memory, "sample_visible", True) or getattr(self.memory, "mean_last", False):
            raise SettingError(
                "the memory's rule passes visible means; expected samples, which the dreams start from: leave "
                "sample_visible=True and mean_last=False"
            )
        self.sample_visible = bool(sample_visible)

    def describe(self) -> dict:
        return {"rule": "UpDown", "memory": self.memory.describe(), "sample_visible": self.sample_visible}

    def start(self, model: nn.Module, setting: Setting) -> None:
        dbn: Any = model
        self.setting = setting
        self.wake, self.sleep = setting.random.child("wake"), setting.random.child("sleep")
        self.recall = setting.random.child("memory")
        self.memory.start(dbn.top, setting)

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        dbn: Any = model
        directed = [p for layer in dbn.directed for p in (layer.W, layer.R, layer.b, layer.c)]
        return [*directed, *self.memory.parameters(dbn.top)]

    def state(self) -> dict[str, Tensor]:
        return self.memory.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.memory.load_state(state)

    @torch.no_grad()
    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, DBN):
            raise SettingError(f"UpDown trains a DBN; {type(model).__name__} given")
        expected = 2 if model.n_classes else 1
        if len(values) != expected:
            raise DataError(
                f"{len(values)} value(s) per row were given; this DBN has {model.n_classes} label units: expected "
                f"{'(rows, class codes)' if model.n_classes else 'rows alone'}"
            )
        v = values[0].cpu().numpy()
        check_matrix(v, name="the rows to learn from", n_features=model.n_visible)
        bottom: Any = model.directed[0] if len(model.directed) else model
        family = bottom.visible if len(model.directed) else model.penultimate
        family.check(v, "the rows to learn from")
        h = model.encode(values[0], len(model.directed))
        self.memory.check(model.top, (model.with_labels(h, values[1]) if model.n_classes else h,))

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        dbn: DBN = model
        states = dbn.sample_up(batch.values[0], self.wake.at(step, batch.rows))
        error = batch.values[0].new_zeros(())
        for k, layer in enumerate(dbn.directed):
            misfit = write_generative_gradients(layer, states[k], states[k + 1], batch.total)  # type: ignore[arg-type]
            if k == 0:
                error = misfit.square().sum() / dbn.n_visible
        joined = states[-1]
        if dbn.n_classes:
            joined = dbn.with_labels(joined, batch.values[1])
        self.memory.gradients(dbn.top, Batch((joined,), batch.rows, batch.total), step, self.recall)
        self._dream(dbn, batch, step)
        return {"reconstruction error": error} if len(dbn.directed) else {}

    def _dream(self, dbn: DBN, batch: Batch, step: int) -> None:
        """One pass downward from the memory's samples; the recognition weights learn on the way."""
        rows, total = self._dream_rows(batch)
        phases = self.memory.phases(dbn.top, len(batch.rows), len(rows))
        y = phases.v[phases.negative][:, : dbn.n_penultimate]
        random = self.sleep.at(step, rows)
        for k in reversed(range(len(dbn.directed))):
            layer: Any = dbn.directed[k]
            means = k == 0 and not self.sample_visible
            field = layer.field_v(y)
            x = layer.visible.mean_(field) if means else layer.visible.sample(field, random)
            write_recognition_gradients(layer, x, y, total)
            y = x

    def _dream_rows(self, batch: Batch) -> tuple[Tensor, int]:
        """This process's row numbers among the dreams, and how many dreams all processes have."""
        n_chains = getattr(self.memory, "n_chains", None)
        if n_chains is None:  # one dream per row of the batch
            return batch.rows, batch.total
        mine = self.setting.world.slice(n_chains)
        return torch.arange(mine.start, mine.stop, device=batch.rows.device), n_chains

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Error of one deterministic round trip and, with labels, the share of wrong labels by free energy."""
        v = values[0]
        error = (v - model.mean_down(model.encode(v, len(model.directed)))).square().mean()
        measures = {"validation reconstruction error": float(error)}
        if model.n_classes:
            found = torch.cat([model.classify(chunk) for chunk in v.split(1000)])
            measures["validation error"] = float((found != values[1]).double().mean())
        return measures


def write_generative_gradients(layer: DirectedLayer, x: Tensor, y: Tensor, total: int) -> Tensor:
    """−∂/∂(W, b) Σ_rows log p(x | y) / ``total`` into ``.grad`` (eq. 75); returns s(x) − s(E_p[x | y])."""
    visible = layer.visible
    predicted = visible.interaction(visible.mean_(layer.field_v(y)))
    misfit = torch.sub(visible.interaction(x), predicted, out=predicted)
    layer.W.grad.addmm_(misfit.T, layer.hidden.interaction(y), beta=0, alpha=-1.0 / total)  # type: ignore[union-attr]
    torch.sum(misfit, 0, out=layer.b.grad).mul_(-1.0 / total)
    return misfit


def write_recognition_gradients(layer: DirectedLayer, x: Tensor, y: Tensor, total: int) -> None:
    """−∂/∂(R, c) Σ_rows log q(y | x) / ``total`` into ``.grad`` (eq. 76)."""
    hidden = layer.hidden
    predicted = hidden.interaction(hidden.mean_(layer.field_h(x)))
    misfit = torch.sub(hidden.interaction(y), predicted, out=predicted)
    layer.R.grad.addmm_(layer.visible.interaction(x).T, misfit, beta=0, alpha=-1.0 / total)  # type: ignore[union-attr]
    torch.sum(misfit, 0, out=layer.c.grad).mul_(-1.0 / total)
