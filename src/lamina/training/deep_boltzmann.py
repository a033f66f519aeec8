"""Learning in deep Boltzmann machines: mean-field inference for the data, persistent chains for the model.

The rule of Salakhutdinov and Hinton (2009) raises the mean-field bound on log p(v) by stochastic approximation,

    ∂/∂W_k = −⟨s(μ_k) μ_{k+1}ᵀ⟩_data + ⟨s(x_k) x_{k+1}ᵀ⟩_chains                         (docs/mathematics.md, eq. 84)

with μ the mean-field means of a batch (μ_0 the row itself) and x the states of chains that go on from step to step.
Both averages are one product over the stacked rows of both phases. In the chains, the odd layers are samples and the
even ones, v among them, conditional means given these: the same expectation with less noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference.deep_gibbs import deep_gibbs, free_state
from lamina.inference.deep_mean_field import deep_mean_field, mean_field_, mean_field_bound
from lamina.models.energy.dbm import DBM
from lamina.training.centring import SLIDING
from lamina.training.distributed import World
from lamina.training.penalties import SparsityTarget
from lamina.training.rules import GradientRule, Setting
from lamina.training.sources import Batch


class DeepCentring:
    """Offsets λ_k that follow the means of every layer over data, and the gradient in parameters centred at them.

        ∇W_k ← ΔW_k − Δb_k λ_{k+1}ᵀ − λ_k Δb_{k+1}ᵀ,     ∇b_k ← Δb_k − ∇W_k λ_{k+1} − ∇W_{k−1}ᵀ λ_{k−1}

    (Montavon and Müller 2012; docs/mathematics.md, eq. 86). The ordinary parameters are the ones kept, so that moving
    an offset never moves the model.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.offsets: list[Tensor] = []

    def follow(self, layers: Sequence[Tensor], total: int) -> None:
        """Move the offsets towards the batch's means of ``layers`` (s(v), μ_1, …); they begin at the first batch's."""
        means = [x.sum(0).div_(total) for x in layers]
        self.world.sum_(means)
        if self.offsets:
            torch._foreach_lerp_(self.offsets, means, SLIDING)
        else:
            self.offsets = means

    def transform_(self, W: Sequence[Tensor], b: Sequence[Tensor]) -> None:
        """Gradients of all W_k and b_k, transformed in place."""
        for k, gradient in enumerate(W):
            gradient.addr_(b[k], self.offsets[k + 1], alpha=-1.0).addr_(self.offsets[k], b[k + 1], alpha=-1.0)
        for k, gradient in enumerate(W):
            b[k].addmv_(gradient, self.offsets[k + 1], alpha=-1.0)
            b[k + 1].addmv_(gradient.T, self.offsets[k], alpha=-1.0)


class _Phases:
    """Rows of both phases, one above the other, for every layer, so that a step allocates little."""

    def __init__(self, dbm: DBM, positive: int, negative: int) -> None:
        self.layers = [dbm.b[0].new_empty(positive + negative, n) for n in dbm.sizes]
        self.data = [x[:positive] for x in self.layers]
        self.model = [x[positive:] for x in self.layers]


class MeanFieldPCD(GradientRule):
    """Persistent contrastive divergence whose positive phase is mean-field inference: the rule for a `DBM`.

    Mean-field iterations of a batch stop at a mean absolute change per unit below ``tolerance``, or after
    ``max_iterations``; their mean count is a measure of every epoch. ``n_chains`` chains take ``k`` Gibbs steps at each
    step of learning; before the first they take ``burn_in`` steps from the free units, which matters where the weights
    come from pre-training. ``centred`` takes the gradient in centred parameters (`DeepCentring`), with which a machine
    learns from scratch. ``penalty``, for all hidden layers or one for each, pulls their biases towards a sparse
    activity (`SparsityTarget` with ``biases_only``).

    The learning rate should fall towards 0, as stochastic approximation asks: the chains must keep up with the weights.
    In several processes each one's mean-field iterations stop by its own rows, so that results agree with those of one
    process to about ``tolerance``.
    """

    watched = "validation reconstruction error"

    def __init__(
        self,
        k: int = 5,
        n_chains: int = 100,
        *,
        tolerance: float = 1e-3,
        max_iterations: int = 30,
        burn_in: int = 100,
        centred: bool = False,
        penalty: SparsityTarget | Sequence[SparsityTarget | None] | None = None,
    ) -> None:
        check_number("k", k, low=1, integer=True)
        check_number("n_chains", n_chains, low=1, integer=True)
        check_number("tolerance", tolerance, low=0.0)
        check_number("max_iterations", max_iterations, low=1, integer=True)
        check_number("burn_in", burn_in, low=0, integer=True)
        self.k, self.n_chains = int(k), int(n_chains)
        self.tolerance, self.max_iterations = float(tolerance), int(max_iterations)
        self.burn_in, self.centred, self.penalty = int(burn_in), bool(centred), penalty
        for entry in penalty if isinstance(penalty, Sequence) else [penalty]:
            if entry is not None and not (isinstance(entry, SparsityTarget) and entry.biases_only):
                raise SettingError(f"penalty is {entry!r}; expected SparsityTarget(target, cost, biases_only=True)")
        self.chains: dict[int, Tensor] = {}

    # the loop asks ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def start(self, model: nn.Module, setting: Setting) -> None:
        dbm: Any = model
        self.setting = setting
        self.rows = torch.arange(self.n_chains, device=setting.device)
        self.penalties = self._penalty_per_layer(dbm)
        self.centring = DeepCentring(setting.world) if self.centred else None
        self._phases: dict[tuple[int, int], _Phases] = {}
        random = setting.random.child("chains")
        state = deep_gibbs(dbm, free_state(dbm, self.n_chains, random), self.burn_in, random)
        self.chains = {k: state[k] for k in dbm.sides()[1]}

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, DBM):
            raise SettingError(f"{type(self).__name__} trains a DBM; {type(model).__name__} given")
        if list(model.visible.parameters()):
            raise SettingError(
                f"{type(self).__name__} learns no parameter of the visible units; expected a fixed variance "
                f"(learn_sigma=False)"
            )
        rows = values[0].cpu().numpy()
        if rows.ndim != 2 or rows.shape[1] != model.n_visible:
            raise DataError(
                f"the rows to learn from have shape {rows.shape}; expected (rows, {model.n_visible}): this machine has "
                f"{model.n_visible} visible units"
            )
        model.visible.check(rows, "the rows to learn from")

    def describe(self) -> dict:
        given = self.penalty if isinstance(self.penalty, Sequence) else [self.penalty]
        return {
            "rule": type(self).__name__,
            "k": self.k,
            "n_chains": self.n_chains,
            "tolerance": self.tolerance,
            "max_iterations": self.max_iterations,
            "burn_in": self.burn_in,
            "centred": self.centred,
            "penalty": [None if entry is None else entry.describe() for entry in given],
        }

    def state(self) -> dict[str, Tensor]:
        if not self.chains:
            return {}
        offsets = [] if self.centring is None else self.centring.offsets
        chains = {f"chains of layer {k}": self._all_chains(x) for k, x in self.chains.items()}
        return chains | {f"offset of layer {k}": x for k, x in enumerate(offsets)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        for k in self.chains:
            if f"chains of layer {k}" in state:
                self.chains[k] = state[f"chains of layer {k}"].to(self.setting.device)
        if self.centring is not None:
            names = sorted(name for name in state if name.startswith("offset of layer "))
            names.sort(key=lambda name: int(name.split()[-1]))
            self.centring.offsets = [state[name].to(self.setting.device).clone() for name in names]

    @torch.no_grad()
    def validate(self, model: DBM, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Reconstruction error E‖v − E[v | μ_1]‖² per pixel, and the bound's gap between training and validation rows.

        The gap, mean bound(training) − mean bound(validation), needs no partition function; it grows with overfitting.
        """
        (error, bound), (_, fitted) = (self._error_and_bound(model, rows[0]) for rows in (values, train))
        return {"validation reconstruction error": error, "bound gap": fitted - bound}

    def _error_and_bound(self, dbm: DBM, v: Tensor) -> tuple[float, float]:
        found = deep_mean_field(dbm, v, tolerance=self.tolerance, max_iterations=self.max_iterations)
        expected = dbm.visible.mean(dbm.field(0, [v, *found.means]))
        return float((v - expected).square().mean()), float(mean_field_bound(dbm, v, found.means).mean())

    # one step ---------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        dbm: DBM = model
        v = batch.values[0]
        mine = self.setting.world.slice(self.n_chains)
        rows = self._rows(dbm, len(v), mine.stop - mine.start)
        iterations = self._infer(dbm, v, rows.data)
        self._run_chains(dbm, rows.model, mine, random.at(step, self.rows[mine]))
        measures = {
            "mean-field iterations": v.new_full((), iterations * len(v)),
            "reconstruction error": _reconstruction_error(dbm, rows.data),
        }
        self._write_gradients(dbm, rows, batch.total)
        return measures

    def _rows(self, dbm: DBM, positive: int, negative: int) -> _Phases:
        found = self._phases.get((positive, negative))
        if found is None:
            found = self._phases[positive, negative] = _Phases(dbm, positive, negative)
        return found

    def _infer(self, dbm: DBM, v: Tensor, layers: list[Tensor]) -> int:
        """Rows and their mean-field means, written into ``layers``: the number of iterations."""
        if not len(v):
            return 0
        for x, mean in zip(layers, dbm.bottom_up(v), strict=True):
            x.copy_(mean)
        return mean_field_(dbm, layers, self.tolerance, self.max_iterations)[0]

    def _run_chains(self, dbm: DBM, layers: list[Tensor], mine: slice, random: Random) -> None:
        """``k`` Gibbs steps from the chains' odd layers; samples of these and means of the even ones in ``layers``."""
        even, odd = dbm.sides()
        for j in odd:
            layers[j].copy_(self.chains[j][mine])
        for _ in range(self.k):
            for side in (even, odd):
                for j in side:
                    field = dbm.field(j, layers, out=layers[j])
                    dbm.units[j].mean_and_sample_(field, random, out=field)  # type: ignore[operator]
        for j in odd:
            self.chains[j][mine] = layers[j]
        for j in even:
            dbm.units[j].mean_(dbm.field(j, layers, out=layers[j]))  # type: ignore[operator]

    def _write_gradients(self, dbm: DBM, rows: _Phases, total: int) -> None:
        """Gradients from both phases' rows (overwritten): data divided by ``total``, chains by their number.

        Every weight joins an even and an odd layer, so that the chains' minus sign is put on the odd layers alone.
        """
        layers = [dbm.interaction(0, rows.layers[0]), *rows.layers[1:]]
        n = len(rows.data[0])
        pulls = self._pulls(dbm, rows.data, total)
        if self.centring is not None:
            self.centring.follow([x[:n] for x in layers], total)
        even, odd = dbm.sides()
        for j in odd:
            layers[j][n:].mul_(-total / self.n_chains)
            torch.sum(layers[j], 0, out=dbm.b[j].grad).mul_(-1.0 / total)
        for j in even:
            torch.sum(layers[j][:n], 0, out=dbm.b[j].grad).mul_(-1.0 / total)
            dbm.b[j].grad.add_(layers[j][n:].sum(0), alpha=1.0 / self.n_chains)
        for W, (below, above) in zip(dbm.W, pairwise(layers), strict=True):
            W.grad.addmm_(below.T, above, beta=0, alpha=-1.0 / total)
        if self.centring is not None:
            self.centring.transform_([W.grad for W in dbm.W], [b.grad for b in dbm.b])  # type: ignore[misc]
        for j, pull in pulls.items():
            dbm.b[j].grad.add_(pull)

    def _pulls(self, dbm: DBM, data: list[Tensor], total: int) -> dict[int, Tensor]:
        found = {}
        for j, penalty in enumerate(self.penalties, start=1):
            if penalty is not None:
                found[j] = penalty.slopes(data[j], dbm.units[j], total, self.setting.world)[1]  # type: ignore[arg-type]
        return found  # type: ignore[return-value]

    def _penalty_per_layer(self, dbm: DBM) -> list[SparsityTarget | None]:
        if not isinstance(self.penalty, Sequence):
            return [self.penalty] * dbm.depth
        if len(self.penalty) != dbm.depth:
            raise SettingError(f"penalty has {len(self.penalty)} entries; expected one per hidden layer ({dbm.depth})")
        return list(self.penalty)

    def _all_chains(self, chains: Tensor) -> Tensor:
        """The chains of all processes: each keeps its own slice up to date, so the slices are summed."""
        whole = torch.zeros_like(chains)
        mine = self.setting.world.slice(self.n_chains)
        whole[mine] = chains[mine]
        self.setting.world.sum_([whole])
        return whole


def _reconstruction_error(dbm: DBM, layers: list[Tensor]) -> Tensor:
    """Σ over rows of the mean squared error of E[v | μ_1], from the first 16 rows (a cheap monitor)."""
    few = min(16, len(layers[0]))
    expected = dbm.visible.mean(dbm.field(0, [x[:few] for x in layers[:2]]))
    return (layers[0][:few] - expected).square().mean(-1).sum() * (len(layers[0]) / max(1, few))
