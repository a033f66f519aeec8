"""Learning with parallel tempering (Desjardins et al. 2010; Cho, Raiko, Ilin 2010): persistent chains that cross modes.

The negative phase is that of persistent contrastive divergence, with chains at several temperatures that trade places
(`lamina.inference.tempering`); the gradient sees those at the machine's own temperature. A step costs about as many
times that of PCD as there are temperatures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.random import Random
from lamina.inference.tempering import Tempering, even_betas
from lamina.models.energy import RBM
from lamina.training.penalties import ActivityPenalty
from lamina.training.persistent import PersistentContrastiveDivergence
from lamina.training.rules import Setting
from lamina.training.sampling_rule import Phases
from lamina.training.sources import Batch


class ParallelTempering(PersistentContrastiveDivergence):
    """``n_chains`` chains at each of ``n_temperatures``, ``k`` sweeps per step; all are part of every checkpoint.

    Temperatures are evenly spaced in β unless ``betas``, a sequence from 0 to 1, says otherwise. The hottest machine
    has free units with the visible biases with which training begins: base rates, where the machine was initialised
    from the data's mean. The measure "swap rate" is the mean probability of exchange over all pairs of neighbours;
    where it falls towards 0 the temperatures stand too far apart. For ``centred`` and ``penalty`` see `SamplingRule`.
    """

    def __init__(
        self,
        k: int = 1,
        n_chains: int = 100,
        n_temperatures: int = 10,
        *,
        betas: Sequence[float] | None = None,
        centred: bool = False,
        penalty: ActivityPenalty | None = None,
    ) -> None:
        super().__init__(k, n_chains, centred=centred, penalty=penalty)
        check_number("n_temperatures", n_temperatures, low=2, integer=True)
        self.betas = even_betas(n_temperatures if betas is None else betas)

    def describe(self) -> dict:
        return {**super().describe(), "betas": list(self.betas)}

    @torch.no_grad()
    def start(self, model: nn.Module, setting: Setting) -> None:
        super().start(model, setting)
        self.sampler = Tempering(model, self.betas)  # type: ignore[arg-type]  # `check` has seen that it is an RBM
        self.hotter = self.sampler.start(self.n_chains, setting.random.child("hotter")).v[:, :-1]
        self.swap_rate = self.sampler.base.new_zeros(())

    def state(self) -> dict[str, Tensor]:
        hotter = torch.zeros_like(self.hotter)
        mine = self.setting.world.slice(self.n_chains)
        hotter[mine] = self.hotter[mine]
        self.setting.world.sum_([hotter])
        return super().state() | {"hotter chains": hotter, "base": self.sampler.base}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_state(state)
        if "base" in state:
            self.hotter = state["hotter chains"].to(self.setting.device)
            self.sampler.base.copy_(state["base"])

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        measures = super().gradients(model, batch, step, random)
        return {**measures, "swap rate": self.swap_rate * len(batch.values[0])}

    def advance(self, rbm: RBM, rows: Phases, random: Random) -> None:
        """k sweeps of all temperatures; the chains in ``rows``' negative half are those of the machine itself."""
        mine = self.setting.world.slice(self.n_chains)
        v = rows.v[rows.negative]
        replicas = self.sampler.from_rows(torch.cat([self.hotter[mine], v[:, None]], 1))
        rates = [self.sampler.sweep(replicas, random) for _ in range(self.k)]
        self.swap_rate = torch.stack(rates).mean()
        self.hotter[mine] = replicas.v[:, :-1]
        v.copy_(replicas.v[:, -1])
        rbm.hidden.mean_(rows.h[rows.negative].copy_(replicas.fields[:, -1]))
