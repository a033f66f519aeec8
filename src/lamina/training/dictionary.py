"""Learning a dictionary: codes of a batch, sums over rows, and the best dictionary for the sums, in turn.

    A = Σ hᵀh,   B = Σ (v − b)ᵀh,   D ← argmin_D ½ tr(D A Dᵀ) − tr(BᵀD)  subject to ‖d_j‖ ≤ 1         (eq. 141, 144)

`LagrangeDual` takes the sums over a whole pass and solves for the dictionary exactly (Lee, Battle, Raina and Ng 2007);
`OnlineDictionary` goes on after every batch, with sums that forget early batches, whose codes belong to dictionaries
long gone (Mairal, Bach, Ponce and Sapiro 2010), and so learns most of what there is to learn in its first pass.
The offset b stays as it is.

An atom that no row uses would stay as it is for ever. Both rules replace such dead atoms by the worst-explained of the
rows seen since the last maximisation, brought to length 1.

Measures: "objective" per row (codes as found, before the step), "sparsity" (share of zeros in the codes), "dead atoms"
(at the latest maximisation).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.sparse import SparseCoding
from lamina.training.column_descent import UNUSED, column_pass
from lamina.training.lagrange_dual import best_dictionary
from lamina.training.rules import Setting, StatisticsRule
from lamina.training.sources import Batch

CANDIDATES = 64  # rows at most that may replace dead atoms at one maximisation


class DictionaryRule(StatisticsRule):
    """What both rules share: codes, sums, measures, and the rescue of dead atoms.

    ``tolerance`` is how exactly codes are found while learning (see `SparseCoding`); None is the model's own.
    """

    watched = "validation objective"

    def __init__(self, tolerance: float | None = None) -> None:
        if tolerance is not None:
            check_number("tolerance", tolerance, low=0.0)
        self.tolerance = tolerance

    def start(self, model: Any, setting: Setting) -> None:
        D = model.D
        self.A = D.new_zeros(D.shape[1], D.shape[1], requires_grad=False)
        self.B = torch.zeros_like(D, requires_grad=False)
        self.worst = _Worst(min(CANDIDATES, D.shape[1]), D, setting)
        self.learns_log = getattr(model, "penalty", "l1") == "log"

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [model.D]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, SparseCoding):
            raise SettingError(f"{type(self).__name__} learns SparseCoding's dictionary; {type(model).__name__} given")
        if values[0].dim() != 2 or values[0].shape[1] != model.n_visible:
            raise DataError(
                f"the data have shape {tuple(values[0].shape)}; expected (rows, {model.n_visible}), the visible units"
            )

    def zero(self) -> list[Tensor]:
        self.worst.forget()
        return [self.A.zero_(), self.B.zero_()]

    def accumulate(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        v = batch.values[0]
        if not len(v):
            return {}
        limits = {} if self.tolerance is None else {"tolerance": self.tolerance}
        h = model.codes(v, **limits).h
        rows = v - model.b
        self.A.addmm_(h.T, h)
        self.B.addmm_(rows.T, h)
        errors = torch.addmm(rows, h, model.D.T, alpha=-1).square_().sum(1)
        self.worst.add(rows, errors)
        penalty = torch.log1p(h * h) if self.learns_log else h.abs()
        zeros = (h == 0).sum() / h.shape[1]
        return {"objective": errors.sum() / 2 + model.cost * penalty.sum(), "sparsity": zeros}

    @torch.no_grad()
    def maximise(self, model: Any) -> Mapping[str, float]:
        D, used = self.improved(model.D)
        dead = (~used).nonzero()[:, 0]
        if len(dead):
            rows = self.worst.rows()[: len(dead)]
            D[:, dead[: len(rows)]] = rows.T
        model.D.copy_(D)
        return {"dead atoms": float(len(dead))}

    @abstractmethod
    def improved(self, D: Tensor) -> tuple[Tensor, Tensor]:
        """A better dictionary, and which atoms (n_hidden,) bool are in use."""

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """The objective per row, of codes as exact as the model makes them."""
        means = [float(model.energy(v[0], model.mean_h_from_v(v[0])).mean()) for v in (values, train)]
        return {"validation objective": means[0], "training objective": means[1]}

    def describe(self) -> dict:
        return {"rule": type(self).__name__, "tolerance": self.tolerance}


class LagrangeDual(DictionaryRule):
    """Codes of all rows, then the best dictionary for them by its Lagrange dual: one step per pass.

    Cost: a few Cholesky decompositions of size n_hidden per pass.
    """

    def start(self, model: Any, setting: Setting) -> None:
        super().start(model, setting)
        self.multipliers = torch.zeros(model.n_hidden, dtype=torch.float64, device=model.D.device)

    def improved(self, D: Tensor) -> tuple[Tensor, Tensor]:
        used = _used(self.A)
        if not bool(used.any()):
            return D.clone(), used
        at = used.nonzero()[:, 0]
        before = self.multipliers[at] if bool((self.multipliers > 0).any()) else None
        found, multipliers = best_dictionary(self.A[at][:, at], self.B[:, at], before)
        better = D.clone()
        better[:, at] = found.to(D)
        self.multipliers.zero_()
        self.multipliers[at] = multipliers
        return better, used

    def state(self) -> dict[str, Tensor]:
        return {"multipliers": self.multipliers}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.multipliers.copy_(state["multipliers"])


class OnlineDictionary(DictionaryRule):
    """A step after every ``every`` batches, on sums in which batch s of t weighs (s/t)^``forgetting``.

    Before batch t is added, the sums shrink by (1 − 1/t)^``forgetting``: 0 keeps all batches alike, larger numbers
    forget faster. ``passes`` over the atoms follow (`column_pass`). Codes are found to ``tolerance`` only: dictionaries
    that differ as little as early ones do from late ones do not need better.
    """

    def __init__(
        self, *, forgetting: float = 5.0, passes: int = 1, every: int = 1, tolerance: float | None = 0.5
    ) -> None:
        super().__init__(tolerance)
        check_number("forgetting", forgetting, low=0.0)
        check_number("passes", passes, low=1, integer=True)
        check_number("every", every, low=1, integer=True)
        self.forgetting, self.passes, self.every = float(forgetting), int(passes), int(every)

    def start(self, model: Any, setting: Setting) -> None:
        super().start(model, setting)
        self.past_A, self.past_B = torch.zeros_like(self.A), torch.zeros_like(self.B)
        self.count = torch.zeros((), dtype=torch.float64)

    def improved(self, D: Tensor) -> tuple[Tensor, Tensor]:
        self.count += 1
        keep = float(1 - 1 / self.count) ** self.forgetting
        self.past_A.mul_(keep).add_(self.A)
        self.past_B.mul_(keep).add_(self.B)
        return column_pass(D, self.past_A, self.past_B, self.passes), _used(self.past_A)

    def state(self) -> dict[str, Tensor]:
        return {"A": self.past_A, "B": self.past_B, "count": self.count}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.past_A.copy_(state["A"])
        self.past_B.copy_(state["B"])
        self.count.copy_(state["count"])

    def describe(self) -> dict:
        mine = {"forgetting": self.forgetting, "passes": self.passes, "every": self.every}
        return {**super().describe(), **mine}


def _used(A: Tensor) -> Tensor:
    """Which atoms (n_hidden,) have been used by more than a trace of a row."""
    scale = A.diagonal()
    return (scale > UNUSED * scale.max()) & (scale > 0)


class _Worst:
    """The ``n`` rows with the largest errors since `forget`, over all processes."""

    def __init__(self, n: int, D: Tensor, setting: Setting) -> None:
        self.n, self.world = n, setting.world
        self.table = D.new_zeros(n, D.shape[0] + 1, requires_grad=False)  # rows, their errors in the last column

    def forget(self) -> None:
        self.table.zero_()

    def add(self, rows: Tensor, errors: Tensor) -> None:
        top, at = errors.topk(min(self.n, len(errors)))
        self._keep(torch.cat([self.table, torch.cat([rows[at], top.unsqueeze(1)], 1)]))

    def _keep(self, table: Tensor) -> None:
        order = table[:, -1].argsort(descending=True, stable=True)[: self.n]
        self.table = table[order]

    def rows(self) -> Tensor:
        """The rows (at most n, n_visible), worst first, at length 1; rows without an error are left out."""
        tables = self.table.new_zeros(self.world.size, *self.table.shape)
        tables[self.world.rank] = self.table
        self.world.sum_([tables])
        self._keep(tables.flatten(0, 1))
        found = self.table[self.table[:, -1] > 0][:, :-1]
        lengths = torch.linalg.vector_norm(found, dim=1, keepdim=True)
        return found[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]


@torch.no_grad()
def atoms_from_rows(model: Any, X: Any, random_state: int | Random | None = None) -> Any:
    """Set the atoms of ``model`` to rows of ``X`` (n, n_visible) drawn without repetition, less b, at length 1.

    A far better start than random atoms where rows are signals. Rows of length 0 are passed over; atoms for which no
    row is left stay as they are. Returns ``model``.
    """
    n = len(X)
    order = torch.from_numpy(as_random(random_state).child("atoms").permutation(n))[: 4 * model.n_hidden]
    chosen = X[order] if isinstance(X, Tensor) else torch.as_tensor(X[order.numpy()])
    rows = chosen.to(model.D) - model.b
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    rows = (rows / lengths)[lengths[:, 0] > 1e-6 * lengths.max()][: model.n_hidden]
    model.D[:, : len(rows)] = rows.T
    return model
