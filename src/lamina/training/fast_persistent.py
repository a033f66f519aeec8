"""Fast persistent contrastive divergence (Tieleman and Hinton 2009): a second set of weights that mixes the chains.

The chains are sampled from a machine with parameters θ + φ. The fast parameters φ learn at their own, large rate and
decay at every step,

    φ ← decay · φ − fast_learning_rate · ∇θ                                          (docs/mathematics.md, eq. 95)

so that they raise the energy where the chains are and drive them on; θ itself may then learn slowly. The chains follow
θ + φ and not the model: the gradient is biased, and chains are no samples of the model. Use
`PersistentContrastiveDivergence` with a falling rate where the likelihood matters most.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.training.penalties import ActivityPenalty
from lamina.training.persistent import PersistentContrastiveDivergence, gibbs_
from lamina.training.rules import Setting
from lamina.training.sampling_rule import Phases
from lamina.training.sources import Batch

_NAMES = ("W", "b", "c")


class FastPersistentContrastiveDivergence(PersistentContrastiveDivergence):
    """FPCD-k: chains driven by fast parameters of rate ``fast_learning_rate`` that decay by ``decay`` per step."""

    def __init__(
        self,
        k: int = 1,
        n_chains: int = 100,
        *,
        fast_learning_rate: float = 0.05,
        decay: float = 0.95,
        centred: bool = False,
        penalty: ActivityPenalty | None = None,
    ) -> None:
        super().__init__(k, n_chains, centred=centred, penalty=penalty)
        check_number("fast_learning_rate", fast_learning_rate, low=0.0)
        check_number("decay", decay, low=0.0, high=1.0)
        self.fast_learning_rate, self.decay = float(fast_learning_rate), float(decay)

    def describe(self) -> dict:
        return {**super().describe(), "fast_learning_rate": self.fast_learning_rate, "decay": self.decay}

    def start(self, model: nn.Module, setting: Setting) -> None:
        super().start(model, setting)
        self.driven: Any = deepcopy(model)  # the machine with θ + φ
        self.fast = {name: torch.zeros_like(getattr(model, name)) for name in _NAMES}

    def state(self) -> dict[str, Tensor]:
        return super().state() | {f"fast {name}": fast for name, fast in self.fast.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_state(state)
        for name, fast in self.fast.items():
            if f"fast {name}" in state:
                fast.copy_(state[f"fast {name}"])

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        measures = super().gradients(model, batch, step, random)
        whole = [getattr(model, name).grad.clone() for name in _NAMES]
        self.setting.world.sum_(whole)  # every process drives its chains by the same fast parameters
        for name, gradient in zip(_NAMES, whole, strict=True):
            self.fast[name].mul_(self.decay).add_(gradient, alpha=-self.fast_learning_rate)
        return measures

    def advance(self, rbm: RBM, rows: Phases, random: Random) -> None:
        """k Gibbs steps under θ + φ; the hidden means beside the chains are θ's, as the gradient needs them."""
        for name in _NAMES:
            torch.add(getattr(rbm, name).detach(), self.fast[name], out=getattr(self.driven, name).data)
        if hasattr(rbm.visible, "log_variance"):
            self.driven.visible.log_variance.data.copy_(rbm.visible.log_variance)
        gibbs_(self.driven, rows, self.k, random)
        rbm.hidden.mean_(rbm.field_h(rows.v[rows.negative], out=rows.h[rows.negative]))
