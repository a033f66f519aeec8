"""Contrastive divergence for machines with a condition: conditional and temporal ones, with hand-written gradients.

The rule lowers the average of F(v⁺ | x) − F(v⁻ | x) over rows, the samples v⁻ held fixed; each chain keeps the
condition x of its own row. With t_v = −∂E_v/∂b, t_h = −∂E_h/∂c and hidden means for h (docs/mathematics.md, eq. 46),

    ∂/∂W = −⟨s_v s_hᵀ⟩⁺ + ⟨s_v s_hᵀ⟩⁻     ∂/∂b = −⟨t_v⟩⁺ + ⟨t_v⟩⁻     ∂/∂A = −⟨x t_vᵀ⟩⁺ + ⟨x t_vᵀ⟩⁻

and c, B as b, A. Persistent chains would need one per condition, so the rule has none: its bias is that of CD-k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference.forecasting import forecast
from lamina.models.energy import ConditionalRBM, TemporalRBM
from lamina.training.rules import GradientRule
from lamina.training.sources import Batch
from lamina.units import Gaussian


class ConditionalDivergence(GradientRule):
    """CD-k for a `ConditionalRBM` on (rows, conditions), or for a `TemporalRBM` on what its ``windows`` gives.

    ``sample_visible=False`` passes visible means in place of samples (the paper's choice for real-valued frames; with a
    learnt variance samples are needed, else it shrinks). Only the hidden side may not learn a variance.
    """

    watched = "validation forecast error"

    def __init__(self, k: int = 1, *, sample_visible: bool = True) -> None:
        check_number("k", k, low=1, integer=True)
        self.k, self.sample_visible = int(k), bool(sample_visible)

    def describe(self) -> dict:
        return {"rule": "ConditionalDivergence", "k": self.k, "sample_visible": self.sample_visible}

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        return [p for p in model.parameters() if p.requires_grad]

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, (ConditionalRBM, TemporalRBM)):
            raise SettingError(
                f"ConditionalDivergence trains a ConditionalRBM or TemporalRBM; {type(model).__name__} given"
            )
        machine = model.as_conditional()
        if getattr(machine.hidden, "learn_sigma", False):
            raise SettingError("ConditionalDivergence learns no variance of hidden units; expected learn_sigma=False")
        if getattr(machine.visible, "learn_sigma", False) and not self.sample_visible:
            raise SettingError("visible means have no variance to learn from: set sample_visible, or learn_sigma=False")
        if len(values) != 2:
            raise DataError(f"the data are {len(values)} array(s); expected two: rows and their conditions")
        widths = {"rows": machine.n_visible, "conditions": machine.n_condition}
        for rows, (name, width) in zip(values, widths.items(), strict=True):
            if rows.dim() != 2 or rows.shape[1] != width:
                raise DataError(f"the {name} to learn from have shape {tuple(rows.shape)}; expected (rows, {width})")
        machine.visible.check(values[0].cpu().numpy(), "the rows to learn from")

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        machine: ConditionalRBM = model.as_conditional()
        v, x = batch.values
        bias_v, bias_h = machine.bias_v(x), machine.bias_h(x)
        mean_h, v_minus, mean_h_minus = self._chains(machine, v, bias_v, bias_h, random.at(step, batch.rows))
        _write_means(machine, (v, mean_h), (v_minus, mean_h_minus), (x, bias_v, bias_h), batch.total)
        if isinstance(machine.visible, Gaussian) and machine.visible.learn_sigma:
            gradient = _log_variance(machine, v_minus, mean_h_minus, bias_v)
            gradient = gradient - _log_variance(machine, v, mean_h, bias_v)
            machine.visible.log_variance.grad.copy_(gradient / batch.total)
        return {"reconstruction error": (v - v_minus).square().mean(1).sum()}

    def _chains(
        self, machine: ConditionalRBM, v: Tensor, bias_v: Tensor, bias_h: Tensor, random: Random
    ) -> tuple[Tensor, Tensor, Tensor]:
        """E[h | v, x], samples v⁻ after ``k`` steps from ``v`` at fixed biases, and E[h | v⁻, x]."""
        visible, hidden = machine.visible, machine.hidden
        mean_h, h = hidden.mean_and_sample_(bias_h + visible.interaction(v) @ machine.W, random)
        for left in reversed(range(self.k)):
            v_minus, drawn = visible.mean_and_sample_(bias_v + hidden.interaction(h) @ machine.W.T, random)
            v_minus = drawn if self.sample_visible else v_minus
            field = bias_h + visible.interaction(v_minus) @ machine.W
            if left:
                _, h = hidden.mean_and_sample_(field, random)
        return mean_h, v_minus, hidden.mean_(field)

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Mean squared errors of mean-field forecasts, of the visible biases, and of one mean-field round trip."""
        v, x = values
        machine = model.as_conditional()
        again = machine.mean_v_from_h(machine.mean_h_from_v(v, x), x)
        return {
            "validation forecast error": float((v - forecast(model, x)).square().mean()),
            "error of the visible biases": float((v - machine.visible.mean(machine.bias_v(x))).square().mean()),
            "validation reconstruction error": float((v - again).square().mean()),
        }


def _write_means(
    machine: ConditionalRBM,
    positive: tuple[Tensor, Tensor],
    negative: tuple[Tensor, Tensor],
    given: tuple[Tensor, Tensor, Tensor],
    total: int,
) -> None:
    """Gradients of W, b, c, A, B from rows and hidden means of both phases; ``given``: x and both dynamic biases."""
    (v, h), (v_minus, h_minus), (x, bias_v, bias_h) = positive, negative, given
    visible, hidden = machine.visible, machine.hidden
    change_v = visible.bias_statistic(v_minus, bias_v) - visible.bias_statistic(v, bias_v)
    change_h = hidden.bias_statistic(h_minus, bias_h) - hidden.bias_statistic(h, bias_h)
    s_v = visible.interaction(torch.cat([v, v_minus]))
    s_h = hidden.interaction(torch.cat([-h, h_minus]))
    machine.W.grad.addmm_(s_v.T, s_h, beta=0, alpha=1.0 / total)
    for bias, weights, change in ((machine.b, machine.A, change_v), (machine.c, machine.B, change_h)):
        torch.sum(change, 0, out=bias.grad).mul_(1.0 / total)
        weights.grad.addmm_(x.T, change, beta=0, alpha=1.0 / total)


def _log_variance(machine: ConditionalRBM, v: Tensor, mean_h: Tensor, bias_v: Tensor) -> Tensor:
    """Σ over rows of −∂E/∂log σ², (n_visible,)."""
    inputs = machine.hidden.interaction(mean_h) @ machine.W.T
    return machine.visible.log_variance_statistic(v, bias_v, inputs).sum(0)
