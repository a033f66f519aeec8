"""Persistent contrastive divergence (Tieleman 2008): the negative phase's chains go on from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.training.penalties import ActivityPenalty
from lamina.training.rules import Setting
from lamina.training.sampling_rule import Phases, SamplingRule
from lamina.training.sources import Batch


class PersistentContrastiveDivergence(SamplingRule):
    """PCD-k with ``n_chains`` chains that persist across batches and epochs (and are part of every checkpoint).

    With a small learning rate the chains stay close to the model's distribution and the gradient is nearly unbiased;
    with a large one they cannot follow, which shows as a reconstruction error that rises. A rate that falls to zero
    gains many nats at the end of training. For ``centred`` and ``penalty`` see `SamplingRule`.
    """

    def __init__(
        self,
        k: int = 1,
        n_chains: int = 100,
        *,
        centred: bool = False,
        penalty: ActivityPenalty | None = None,
    ) -> None:
        super().__init__(centred=centred, penalty=penalty)
        check_number("k", k, low=1, integer=True)
        check_number("n_chains", n_chains, low=1, integer=True)
        self.k, self.n_chains = int(k), int(n_chains)
        self.chains: Tensor | None = None

    def describe(self) -> dict:
        return {**super().describe(), "k": self.k, "n_chains": self.n_chains}

    @torch.no_grad()
    def start(self, model: nn.Module, setting: Setting) -> None:
        super().start(model, setting)
        rbm: Any = model
        self.rows = torch.arange(self.n_chains, device=setting.device)
        free = rbm.b.expand(self.n_chains, -1).clone()
        self.chains = rbm.visible.sample(free, setting.random.child("chains"))

    def state(self) -> dict[str, Tensor]:
        return super().state() | ({} if self.chains is None else {"chains": self._all_chains()})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_state(state)
        if "chains" in state:
            self.chains = state["chains"].to(self.setting.device)

    def _all_chains(self) -> Tensor:
        """The chains of all processes: each keeps its own slice up to date, so the slices are summed."""
        assert self.chains is not None
        whole = torch.zeros_like(self.chains)
        mine = self.setting.world.slice(self.n_chains)
        whole[mine] = self.chains[mine]
        self.setting.world.sum_([whole])
        return whole

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        rbm: RBM = model
        assert self.chains is not None
        mine = self.setting.world.slice(self.n_chains)
        v = batch.values[0]
        rows = self.phases(rbm, len(v), mine.stop - mine.start)
        rows.v[rows.positive].copy_(v)
        rbm.hidden.mean_(rbm.field_h(v, out=rows.h[rows.positive]))
        rows.v[rows.negative].copy_(self.chains[mine])
        random.at(step, self.rows[mine])
        self.advance(rbm, rows, random)
        self.chains[mine] = rows.v[rows.negative]
        measures = {"reconstruction error": _reconstruction_error(rbm, rows.v[rows.positive], rows.h[rows.positive])}
        self.write_gradients(rbm, rows, batch.total, self.n_chains)
        return measures

    def advance(self, rbm: RBM, rows: Phases, random: Random) -> None:
        """k Gibbs steps of the chains in ``rows``' negative half, whose hidden means are left beside them."""
        gibbs_(rbm, rows, self.k, random)
        rbm.hidden.mean_(rbm.field_h(rows.v[rows.negative], out=rows.h[rows.negative]))


def gibbs_(rbm: RBM, rows: Phases, steps: int, random: Random) -> None:
    """``steps`` of Gibbs sampling, over the visible rows of the negative half; its hidden half is scratch."""
    v, scratch = rows.v[rows.negative], rows.h[rows.negative]
    for _ in range(steps):
        _, h = rbm.hidden.mean_and_sample_(rbm.field_h(v, out=scratch), random, out=rows.drawn_h)
        rbm.visible.mean_and_sample_(rbm.field_v(h, out=v), random, out=v)


def _reconstruction_error(rbm: RBM, v: Tensor, mean_h: Tensor) -> Tensor:
    """Σ over rows of the mean squared error of one mean-field round trip, from the first 16 rows (a cheap monitor)."""
    few = min(16, len(v))
    error = (v[:few] - rbm.mean_v_from_h(mean_h[:few])).square().mean(-1).sum()
    return error * (len(v) / max(1, few))
