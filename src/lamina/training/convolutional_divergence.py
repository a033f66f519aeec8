"""Contrastive divergence for convolutional machines, with hand-written gradients.

The objective whose slope is followed, the samples v⁻ held fixed, is per row and per place of a detection map:

    ( ⟨F(v)⟩_data − ⟨F(v)⟩_samples ) / n_places                                          (docs/mathematics.md, eq. 53)

so that one learning rate suits images of any size: a shared filter's slope is a mean over the places where it is used,
as it is over rows. (Without the division the slope grows with the area of the image.) For the filters that is

    ∂/∂W_kc(s) = ( −⟨Σ_r E[h_k(r)|v] s_v(v_c(r + s))⟩_data + ⟨the same⟩_samples ) / n_places            (eq. 54)

one product over the stacked rows [v⁺; v⁻], [h⁺; −h⁻].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.energy.conv_rbm import ConvolutionalRBM
from lamina.models.energy.correlate import slope
from lamina.training.penalties import SparsityTarget
from lamina.training.rules import GradientRule, Setting
from lamina.training.sources import Batch
from lamina.units import Bernoulli, Gaussian


class ConvolutionalDivergence(GradientRule):
    """CD-k for a `ConvolutionalRBM`, or PCD-k with ``n_chains`` chains that persist (and are part of checkpoints).

    Data are maps (n_rows, channels, *size), all of one size. ``sample_visible=False`` passes visible means during the
    k steps instead of samples (less noise, fine for features). ``penalty`` is a `SparsityTarget` with ``biases_only``:
    cost · (mean detection activity of the filter − target), over rows and places, is added to the gradient of its bias.
    Overcomplete filters need it: without sparsity they learn copies of single pixels (Lee 2009, section 3.1). Note that
    with pooling the activity of detection units cannot exceed 1 / (places of a block).
    """

    watched = "validation reconstruction error"

    def __init__(
        self,
        k: int = 1,
        n_chains: int | None = None,
        *,
        sample_visible: bool = True,
        penalty: SparsityTarget | None = None,
    ) -> None:
        check_number("k", k, low=1, integer=True)
        if n_chains is not None:
            check_number("n_chains", n_chains, low=1, integer=True)
        if penalty is not None and not (isinstance(penalty, SparsityTarget) and penalty.biases_only):
            raise SettingError(
                f"penalty is {penalty!r}; expected SparsityTarget(target, cost, biases_only=True): units of one block "
                f"compete, so that the slopes of other activity penalties do not hold for them"
            )
        self.k, self.n_chains = int(k), n_chains
        self.sample_visible, self.penalty = bool(sample_visible), penalty
        self.chains: Tensor | None = None

    @property
    def target(self) -> float | None:
        """The mean activity of detection units that the rule asks for, if any."""
        return None if self.penalty is None else self.penalty.target

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, ConvolutionalRBM):
            raise SettingError(f"{type(self).__name__} trains a ConvolutionalRBM; {type(model).__name__} given")
        model.check_maps(values[0])
        by_channel = values[0].movedim(1, -1).reshape(-1, model.n_channels)
        model.visible.check(by_channel.cpu().numpy(), "the maps to learn from")

    @torch.no_grad()
    def start(self, model: nn.Module, setting: Setting) -> None:
        self.setting = setting
        self.chains = None

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        return [p for p in model.parameters() if p.requires_grad]

    def describe(self) -> dict:
        return {
            "rule": type(self).__name__,
            "k": self.k,
            "n_chains": self.n_chains,
            "sample_visible": self.sample_visible,
            "penalty": None if self.penalty is None else self.penalty.describe(),
        }

    # chains ---------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        if self.chains is None:
            return {}
        whole = torch.zeros_like(self.chains)  # each process keeps its own slice up to date: the slices are summed
        mine = self.setting.world.slice(len(whole))
        whole[mine] = self.chains[mine]
        self.setting.world.sum_([whole])
        return {"chains": whole}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if "chains" in state:
            self.chains = state["chains"].to(self.setting.device)

    def _begun_chains(self, model: ConvolutionalRBM, n: int, size: tuple[int, ...]) -> Tensor:
        """The chains, begun at free visible units (W = 0) when the first batch shows the maps' size."""
        if self.chains is None:
            free = model.b.view(-1, *(1 for _ in size)).expand(n, -1, *size).clone()
            mean = model.visible.mean(free.movedim(1, -1)).movedim(-1, 1)
            self.chains = model.sample_v_from_mean(mean, self.setting.random.child("chains"))
        return self.chains

    # a step ---------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        v = batch.values[0]
        h = model.mean_h_from_v(v)
        if self.n_chains is None:
            n_chains = batch.total
            v_minus, h_minus = self._gibbs(model, h, random.at(step, batch.rows))
        else:
            n_chains = self.n_chains
            mine = self.setting.world.slice(n_chains)
            chains = self._begun_chains(model, n_chains, tuple(v.shape[2:]))
            random.at(step, torch.arange(n_chains, device=v.device)[mine])
            v_minus, h_minus = self._gibbs(model, model.mean_h_from_v(chains[mine]), random)
            chains[mine] = v_minus
        self._write(model, (v, h, batch.total), (v_minus, h_minus, n_chains))
        return {"reconstruction error": self._error(model, v, h, v_minus)}

    def _gibbs(self, model: ConvolutionalRBM, mean_h: Tensor, random: Random) -> tuple[Tensor, Tensor]:
        """k steps h ~ p(h | v), v ~ p(v | h) begun at the hidden means: the last v and E[h | v]."""
        for _ in range(self.k):
            v = model.mean_v_from_h(model.sample_h_from_mean(mean_h, random))
            if self.sample_visible or self.n_chains is not None:
                v = model.sample_v_from_mean(v, random)
            mean_h = model.mean_h_from_v(v)
        return v, mean_h

    def _error(self, model: ConvolutionalRBM, v: Tensor, h: Tensor, v_minus: Tensor) -> Tensor:
        """Σ over rows of the mean squared error of the reconstruction (of a mean-field round trip where chains persist,
        from the first 16 rows: a cheap monitor)."""
        if self.n_chains is None:
            return (v - v_minus).square().flatten(1).mean(1).sum()
        few = min(16, len(v))
        error = (v[:few] - model.mean_v_from_h(h[:few])).square().flatten(1).mean(1).sum()
        return error * (len(v) / max(1, few))

    def _write(self, model: ConvolutionalRBM, plus: tuple, minus: tuple) -> None:
        """Gradients from (maps, hidden means, rows over all processes) of data and of samples."""
        (v_plus, h_plus, total), (v_minus, h_minus, n_chains) = plus, minus
        n_places = math.prod(h_plus.shape[2:])
        step = 1.0 / (total * n_places)
        v = torch.cat([v_plus, v_minus]).movedim(1, -1)
        h = torch.cat([h_plus, h_minus * (-total / n_chains)])
        model.W.grad.copy_(slope(model.visible.interaction(v).movedim(-1, 1), h, model.kernel)).mul_(-step)
        model.c.grad.copy_(_per_channel(h)).mul_(-step)
        weight = torch.ones_like(h[:, :1].flatten(1)[:, :1])  # (rows, 1): data count +1, samples −total/chains
        weight[len(v_plus) :] = -total / n_chains
        if model.b.requires_grad:  # held fixed in the upper layers of a deep network
            statistic = model.visible.bias_statistic(v, model.b).flatten(1, -2).sum(1)
            model.b.grad.copy_((statistic * weight).sum(0)).mul_(-step)
        if isinstance(model.visible, Gaussian) and model.visible.learn_sigma:
            hidden = torch.cat([h_plus, h_minus])
            inputs = model.input_v(hidden).movedim(1, -1)
            statistic = model.visible.log_variance_statistic(v, model.b, inputs).flatten(1, -2).sum(1)
            model.visible.log_variance.grad.copy_((statistic * weight).sum(0)).mul_(-step)
        if self.penalty is not None:
            activity = h_plus.movedim(1, -1).reshape(-1, model.n_filters)
            units = Bernoulli(model.n_filters)  # of one place
            _, pull = self.penalty.slopes(activity, units, total * n_places, self.setting.world)
            assert pull is not None  # the penalty is one of biases
            model.c.grad.add_(pull)

    @torch.no_grad()
    def validate(
        self, model: ConvolutionalRBM, values: tuple[Tensor, ...], train: tuple[Tensor, ...]
    ) -> dict[str, float]:
        """Reconstruction error and free-energy gap per place on validation maps, as `SamplingRule.validate`."""
        v = values[0]
        error = (v - model.mean_v_from_h(model.mean_h_from_v(v))).square().mean()
        gap = model.free_energy(v).mean() - model.free_energy(train[0]).mean()
        n_places = math.prod(model.places(tuple(v.shape[2:])))
        return {"validation reconstruction error": float(error), "free-energy gap": float(gap) / n_places}


def _per_channel(h: Tensor) -> Tensor:
    """Sum over rows and places: (n, filters, *places) → (filters,)."""
    return h.flatten(2).sum((0, 2))
