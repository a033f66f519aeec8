"""Contrastive divergence (Hinton 2002) for restricted Boltzmann machines, with hand-written gradients.

Both rules of this family lower the average of F(v) over data minus the average of F(v) over samples of the model,
holding the samples fixed. For W the descent direction is

    ∂/∂W = −⟨s_v(v) E[h|v]ᵀ⟩_data + ⟨s_v(v) E[h|v]ᵀ⟩_samples                       (docs/mathematics.md, eq. 6)

`negative_phase_gradients` computes both averages as one matrix product over the stacked rows [v⁺; v⁻], [h⁺; −h⁻].
CD-k starts its k Gibbs steps at the data: its bias is that of a chain too short, and vanishes as k grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.training.rules import GradientRule, Setting
from lamina.training.sources import Batch
from lamina.units import Gaussian


class _Buffers:
    """Rows of both phases, one above the other, so that a step allocates nothing."""

    def __init__(self, rbm: RBM, positive: int, negative: int) -> None:
        self.shape = (positive, negative)
        self.v = rbm.W.new_empty(positive + negative, rbm.n_visible)
        self.h = rbm.W.new_empty(positive + negative, rbm.n_hidden)
        self.drawn_h = rbm.W.new_empty(negative, rbm.n_hidden)
        self.difference = rbm.W.new_empty(positive, rbm.n_visible)
        self.positive, self.negative = slice(0, positive), slice(positive, positive + negative)


class SamplingRule(GradientRule):
    """What contrastive divergence and its persistent form share: the gradient once both phases' rows are known."""

    watched = "validation reconstruction error"

    def __init__(self, *, sparsity_target: float | None = None, sparsity_cost: float = 0.0) -> None:
        if sparsity_target is not None:
            check_number("sparsity_target", sparsity_target, low=0.0, high=1.0)
        check_number("sparsity_cost", sparsity_cost, low=0.0)
        self.sparsity_target, self.sparsity_cost = sparsity_target, sparsity_cost
        self._buffers: dict[tuple[int, int], _Buffers] = {}

    def start(self, model: nn.Module, setting: Setting) -> None:
        self._buffers = {}
        self.setting = setting

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, RBM):
            raise SettingError(f"{type(self).__name__} trains an RBM; {type(model).__name__} given")
        if getattr(model.hidden, "learn_sigma", False):
            raise SettingError(
                f"{type(self).__name__} learns no variance of hidden units; expected learn_sigma=False there: the "
                f"weights can take up its scale"
            )
        rows = values[0].cpu().numpy()
        if rows.ndim != 2 or rows.shape[1] != model.visible.n:
            raise DataError(
                f"the rows to learn from have shape {rows.shape}; expected (rows, {model.visible.n}): this machine has "
                f"{model.visible.n} visible units"
            )
        model.visible.check(rows, "the rows to learn from")

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        return [p for p in model.parameters() if p.requires_grad]

    def buffers(self, rbm: RBM, positive: int, negative: int) -> _Buffers:
        found = self._buffers.get((positive, negative))
        if found is None:
            found = self._buffers[positive, negative] = _Buffers(rbm, positive, negative)
        return found

    @torch.no_grad()
    def validate(self, model: RBM, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Reconstruction error and free-energy gap on validation rows.

        The gap, mean F(validation) − mean F(training), grows as the machine overfits (Hinton 2010, section 6); unlike
        a likelihood it needs no partition function.
        """
        v = values[0]
        error = (v - model.mean_v_from_h(model.mean_h_from_v(v))).square().mean()
        gap = model.free_energy(v).mean() - model.free_energy(train[0]).mean()
        return {"validation reconstruction error": float(error), "free-energy gap": float(gap)}

    def describe(self) -> dict:
        return {
            "rule": type(self).__name__,
            "sparsity_target": self.sparsity_target,
            "sparsity_cost": self.sparsity_cost,
        }

    def write_gradients(self, rbm: RBM, rows: _Buffers, total: int, chains: int) -> dict[str, Tensor]:
        """Gradients from the two phases' rows: v in ``rows.v``, E[h | v] in ``rows.h`` (overwritten).

        The data's part is divided by ``total`` rows and the samples' part by ``chains``, both counted over all
        processes.
        """
        h_plus, h_minus = rows.h[rows.positive], rows.h[rows.negative]
        v_plus, v_minus = rows.v[rows.positive], rows.v[rows.negative]
        measures = {}
        if self.sparsity_cost and self.sparsity_target is not None:
            excess = (h_plus.sum(0) / total - self.sparsity_target * len(h_plus) / total) * self.sparsity_cost
        else:
            excess = None
        if isinstance(rbm.visible, Gaussian) and rbm.visible.learn_sigma:
            _log_variance_gradient(rbm, rows, total, chains)
        h_minus.mul_(-total / chains)
        s_v, s_h = rbm.visible.interaction(rows.v), rbm.hidden.interaction(rows.h)
        rbm.W.grad.addmm_(s_v.T, s_h, beta=0, alpha=-1.0 / total)
        torch.sum(s_h, 0, out=rbm.c.grad).mul_(-1.0 / total)
        if len(v_plus) == len(v_minus) and total == chains:
            torch.sub(v_plus, v_minus, out=rows.difference)
            torch.sum(rows.difference, 0, out=rbm.b.grad).mul_(-1.0 / total)
            flat = rows.difference.view(-1)
            measures["reconstruction error"] = torch.dot(flat, flat) / rbm.n_visible
        else:
            torch.sum(v_plus, 0, out=rbm.b.grad).mul_(-1.0 / total).add_(v_minus.sum(0), alpha=1.0 / chains)
        if isinstance(rbm.visible, Gaussian):
            rbm.b.grad.mul_(torch.exp(-rbm.visible.log_variance))
        if excess is not None:
            rbm.c.grad.add_(excess)
        return measures


def _log_variance_gradient(rbm: RBM, rows: _Buffers, total: int, chains: int) -> None:
    """∂/∂log σ²: minus the statistic's mean over data, plus its mean over samples; hidden means stand for h."""
    inputs = rbm.hidden.interaction(rows.h) @ rbm.W.T
    statistic = rbm.visible.log_variance_statistic(rows.v, rbm.b, inputs)
    rbm.visible.log_variance.grad.copy_(
        statistic[rows.negative].sum(0) / chains - statistic[rows.positive].sum(0) / total
    )


class ContrastiveDivergence(SamplingRule):
    """CD-k: the negative phase is ``k`` steps of Gibbs sampling begun at the batch itself.

    ``sample_visible=False`` passes the visible means instead of samples (Hinton 2010, section 3.2: less noise, fine for
    features); keep it True where the likelihood matters. ``sparsity_target`` and ``sparsity_cost`` add
    cost · (mean activity − target) to the hidden biases' gradient (Lee, Ekanadham, Ng 2008, biases only).
    """

    def __init__(
        self,
        k: int = 1,
        *,
        sample_visible: bool = True,
        sparsity_target: float | None = None,
        sparsity_cost: float = 0.0,
    ) -> None:
        super().__init__(sparsity_target=sparsity_target, sparsity_cost=sparsity_cost)
        check_number("k", k, low=1, integer=True)
        self.k, self.sample_visible = int(k), bool(sample_visible)

    def describe(self) -> dict:
        return {**super().describe(), "k": self.k, "sample_visible": self.sample_visible}

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        rbm: RBM = model
        v = batch.values[0]
        n = len(v)
        rows = self.buffers(rbm, n, n)
        random.at(step, batch.rows)
        rows.v[rows.positive].copy_(v)
        h_plus, h_minus = rows.h[rows.positive], rows.h[rows.negative]
        v_minus = rows.v[rows.negative]
        rbm.hidden.mean_(rbm.field_h(v, out=h_plus))
        mean_h = h_plus
        for _ in range(self.k):
            h = rbm.hidden.sample_from_mean(mean_h, random, out=rows.drawn_h)
            rbm.visible.mean_(rbm.field_v(h, out=v_minus))
            if self.sample_visible:
                rbm.visible.sample_from_mean(v_minus, random, out=v_minus)
            mean_h = rbm.hidden.mean_(rbm.field_h(v_minus, out=h_minus))
        return self.write_gradients(rbm, rows, batch.total, batch.total)
