"""What contrastive divergence and its relatives share: the gradient once the rows of both phases are known.

All of them lower the average of F(v) over data minus the average of F(v) over samples of the model, holding the samples
fixed. They differ in where the samples come from. For W the descent direction is

    ∂/∂W = −⟨s_v(v) s_h(E[h|v])ᵀ⟩_data + ⟨s_v(v) s_h(E[h|v])ᵀ⟩_samples                     (docs/mathematics.md, eq. 6)

and both averages are one matrix product over the stacked rows [v⁺; v⁻], [h⁺; −h⁻]. An activity penalty changes h⁺ in
that product (its slope is folded in, see `lamina.training.penalties`), and centring transforms the result (see
`lamina.training.centring`), so that neither costs a further product.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lamina.core.errors import DataError, SettingError
from lamina.models.energy import RBM
from lamina.training.centring import Centring
from lamina.training.penalties import ActivityPenalty
from lamina.training.rules import GradientRule, Setting
from lamina.units import Gaussian


class Phases:
    """Rows of both phases, one above the other, so that a step allocates nothing."""

    def __init__(self, rbm: RBM, positive: int, negative: int) -> None:
        self.v = rbm.W.new_empty(positive + negative, rbm.n_visible)
        self.h = rbm.W.new_empty(positive + negative, rbm.n_hidden)
        self.drawn_h = rbm.W.new_empty(negative, rbm.n_hidden)
        self.difference = rbm.W.new_empty(positive, rbm.n_visible)
        self.positive, self.negative = slice(0, positive), slice(positive, positive + negative)


class SamplingRule(GradientRule):
    """A rule for RBMs whose negative phase is a set of samples.

    ``centred`` takes the gradient in parameters centred at the units' means (`Centring`); ``penalty`` asks the hidden
    units for a kind of activity (`SparsityTarget`, `SparseGroup`).
    """

    watched = "validation reconstruction error"

    def __init__(self, *, centred: bool = False, penalty: ActivityPenalty | None = None) -> None:
        if penalty is not None and not isinstance(penalty, ActivityPenalty):
            raise SettingError(
                f"penalty is {penalty!r}; expected an activity penalty such as SparsityTarget(0.05, 1.0): penalties "
                f"of weights are handed to fit(..., penalties=...)"
            )
        self.centred, self.penalty = bool(centred), penalty
        self.centring: Centring | None = None
        self._phases: dict[tuple[int, int], Phases] = {}

    def start(self, model: nn.Module, setting: Setting) -> None:
        self._phases = {}
        self.setting = setting
        self.centring = Centring(setting.world) if self.centred else None

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, RBM):
            raise SettingError(f"{type(self).__name__} trains an RBM; {type(model).__name__} given")
        if getattr(model.hidden, "learn_sigma", False):
            raise SettingError(
                f"{type(self).__name__} learns no variance of hidden units; expected learn_sigma=False there: the "
                f"weights can take up its scale"
            )
        if getattr(model.visible, "learn_sigma", False) and not isinstance(model.visible, Gaussian):
            raise SettingError(
                f"{type(self).__name__} learns variances of a visible side that is Gaussian as a whole; expected "
                f"learn_sigma=False in the parts of a concatenated one"
            )
        if self.penalty is not None:
            self.penalty.check(model.hidden)
        rows = values[0].cpu().numpy()
        if rows.ndim != 2 or rows.shape[1] != model.visible.n:
            raise DataError(
                f"the rows to learn from have shape {rows.shape}; expected (rows, {model.visible.n}): this machine has "
                f"{model.visible.n} visible units"
            )
        model.visible.check(rows, "the rows to learn from")

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        return [p for p in model.parameters() if p.requires_grad]

    def phases(self, rbm: RBM, positive: int, negative: int) -> Phases:
        """Buffers for so many rows of data and of samples, made once."""
        found = self._phases.get((positive, negative))
        if found is None:
            found = self._phases[positive, negative] = Phases(rbm, positive, negative)
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

    def state(self) -> dict[str, Tensor]:
        return {} if self.centring is None else self.centring.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if self.centring is not None:
            self.centring.load_state(state, self.setting.device)

    def describe(self) -> dict:
        penalty = None if self.penalty is None else self.penalty.describe()
        return {"rule": type(self).__name__, "centred": self.centred, "penalty": penalty}

    def write_gradients(self, rbm: RBM, rows: Phases, total: int, chains: int) -> dict[str, Tensor]:
        """Gradients from the two phases' rows: v in ``rows.v``, E[h | v] in ``rows.h`` (overwritten).

        The data's part is divided by ``total`` rows and the samples' part by ``chains``, both counted over all
        processes.
        """
        measures = {}
        slope, pull = None, None
        if self.penalty is not None:
            slope, pull = self.penalty.slopes(rows.h[rows.positive], rbm.hidden, total, self.setting.world)
        if isinstance(rbm.visible, Gaussian) and rbm.visible.learn_sigma:
            _log_variance_gradient(rbm, rows, total, chains)
        s_v, s_h = rbm.visible.interaction(rows.v), rbm.hidden.interaction(rows.h)
        if self.centring is not None:
            self.centring.follow(s_v[rows.positive], s_h[rows.positive], total)
        s_h[rows.negative].mul_(-total / chains)
        if slope is not None:
            s_h[rows.positive].sub_(slope, alpha=total)
        rbm.W.grad.addmm_(s_v.T, s_h, beta=0, alpha=-1.0 / total)
        torch.sum(s_h, 0, out=rbm.c.grad).mul_(-1.0 / total)
        if rows.difference.shape == rows.v[rows.negative].shape and total == chains:
            torch.sub(rows.v[rows.positive], rows.v[rows.negative], out=rows.difference)
            torch.sum(rbm.visible.interaction(rows.difference), 0, out=rbm.b.grad).mul_(-1.0 / total)
            flat = rows.difference.view(-1)
            measures["reconstruction error"] = torch.dot(flat, flat) / rbm.n_visible
        else:
            torch.sum(s_v[rows.positive], 0, out=rbm.b.grad).mul_(-1.0 / total)
            rbm.b.grad.add_(s_v[rows.negative].sum(0), alpha=1.0 / chains)
        if self.centring is not None:
            self.centring.transform_(rbm.W.grad, rbm.b.grad, rbm.c.grad)  # type: ignore[arg-type]  # fit made them
        if pull is not None:
            rbm.c.grad.add_(pull)
        return measures


def _log_variance_gradient(rbm: RBM, rows: Phases, total: int, chains: int) -> None:
    """∂/∂log σ²: minus the statistic's mean over data, plus its mean over samples; hidden means stand for h."""
    inputs = rbm.hidden.interaction(rows.h) @ rbm.W.T
    statistic = rbm.visible.log_variance_statistic(rows.v, rbm.b, inputs)
    rbm.visible.log_variance.grad.copy_(
        statistic[rows.negative].sum(0) / chains - statistic[rows.positive].sum(0) / total
    )
