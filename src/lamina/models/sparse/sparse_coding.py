"""Sparse coding: a row is a sum of few columns of a dictionary, of which there may be more than visible units.

    h(v) = argmin_h ½ ‖v − b − h Dᵀ‖² + cost Σ_j s(h_j),    v̂ = b + h Dᵀ                  (docs/mathematics.md, eq. 135)

with D (n_visible, n_hidden), columns of length at most 1, and s(h) = |h| ("l1") or log(1 + h²) ("log"). The code is
found by search, not by a product and a squashing function, so that atoms compete to explain a row. The searches are in
`lamina.models.sparse.solvers`; dictionaries are learnt by `lamina.training.LagrangeDual` and `OnlineDictionary`.

Sources: Olshausen and Field 1996; Lee, Battle, Raina and Ng 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.core.random import Random, as_random
from lamina.models.sparse.solvers import (
    Codes,
    alternating_directions,
    code_objective,
    conjugate_gradient_codes,
    coordinate_descent,
    feature_sign,
    fista,
)
from lamina.models.sparse.solvers.problem import check_penalty
from lamina.models.sparse.width import check_width

L1_SOLVERS: dict[str, Callable[..., Codes]] = {
    "alternating": alternating_directions,
    "coordinate": coordinate_descent,
    "feature-sign": feature_sign,
    "fista": fista,
}
SOLVERS = ("auto", *L1_SOLVERS, "conjugate-gradients")
DEFAULT = "alternating"  # what "auto" means for the L1 penalty: the fastest at every tolerance tried


class SparseCoding(nn.Module):
    """A dictionary of ``n_hidden`` atoms for rows of ``n_visible`` values.

    ``penalty`` "l1" takes the solvers "alternating" (directions), "fista", "feature-sign" and "coordinate" (descent),
    and with ``positive`` has codes of at least 0; "log" takes "conjugate-gradients" alone; "auto" is the first of each.
    A code is done when no optimality condition is violated by more than ``tolerance`` · ``cost`` (or rounding), or
    after ``iterations`` of the solver.
    Parameters: ``D`` (n_visible, n_hidden), random atoms of length 1 at first, and the offset ``b`` (n_visible,), 0
    unless set, which no rule learns. Raises `SettingError`.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        penalty: str = "l1",
        cost: float = 1.0,
        positive: bool = False,
        solver: str = "auto",
        iterations: int = 1000,
        tolerance: float = 1e-4,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        for name, value in (("n_visible", n_visible), ("n_hidden", n_hidden), ("iterations", iterations)):
            check_number(name, value, low=1, integer=True)
        check_number("cost", cost, low=1e-30)
        check_number("tolerance", tolerance, low=0.0)
        check_penalty(penalty, positive)
        _check_solver(solver, penalty)
        self.penalty, self.cost, self.positive = penalty, float(cost), bool(positive)
        self.solver, self.iterations, self.tolerance = solver, int(iterations), float(tolerance)
        self.D = nn.Parameter(torch.empty(int(n_visible), int(n_hidden), dtype=dtype))
        self.b = nn.Parameter(torch.zeros(int(n_visible), dtype=dtype), requires_grad=False)
        self.initialise(random_state)

    @property
    def n_visible(self) -> int:
        return self.D.shape[0]

    @property
    def n_hidden(self) -> int:
        return self.D.shape[1]

    def extra_repr(self) -> str:
        return f"{self.n_visible}, {self.n_hidden}, penalty={self.penalty!r}, cost={self.cost:g}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> SparseCoding:
        """Draw atoms from N(0, 1), brought to length 1; set b to the data's mean (0 where it is not given)."""
        random = as_random(random_state).child("weights")
        atoms = random.normal(self.D.shape, self.D.dtype, self.D.device)
        self.D.copy_(atoms / torch.linalg.vector_norm(atoms, dim=0).clamp(min=1e-30))
        if data_mean is None:
            self.b.zero_()
        else:
            self.b.copy_(data_mean)
        return self

    # the functions of a layer ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def codes(self, v: Tensor, start: Tensor | None = None, **limits: Any) -> Codes:
        """The codes of rows ``v`` (n, n_visible), from first codes ``start``; ``iterations`` and ``tolerance`` are this
        coder's unless given. `DataError` for NaN, infinity or another width."""
        check_width(v, self.n_visible, "visible")
        limits = {"iterations": self.iterations, "tolerance": self.tolerance, "start": start, **limits}
        rows = v - self.b
        if self.penalty == "log":
            return conjugate_gradient_codes(rows, self.D, self.cost, **limits)
        solve = L1_SOLVERS[DEFAULT if self.solver == "auto" else self.solver]
        return solve(rows, self.D, self.cost, positive=self.positive, **limits)

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """The code of least energy, without a slope: (..., n_visible) → (..., n_hidden)."""
        check_width(v, self.n_visible, "visible")
        rows = v.detach().reshape(-1, self.n_visible)
        return self.codes(rows).h.reshape(*v.shape[:-1], self.n_hidden)

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """b + h Dᵀ: (..., n_hidden) → (..., n_visible)."""
        check_width(h, self.n_hidden, "hidden")
        return self.b + h @ self.D.T

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """½ ‖v − b − h Dᵀ‖² + cost Σ s(h): (..., n_visible), (..., n_hidden) → (...). Differentiable in D."""
        check_width(v, self.n_visible, "visible")
        check_width(h, self.n_hidden, "hidden")
        return code_objective(v - self.b, self.D, h, self.cost, self.penalty)

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this coder again; the arrays are the state dict."""
        return {
            "class": "SparseCoding",
            "n_visible": self.n_visible,
            "n_hidden": self.n_hidden,
            "penalty": self.penalty,
            "cost": self.cost,
            "positive": self.positive,
            "solver": self.solver,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> SparseCoding:
        """The coder that `spec` describes."""
        settings = {name: value for name, value in spec.items() if name not in ("class", "n_visible", "n_hidden")}
        return cls(spec["n_visible"], spec["n_hidden"], **settings)


def _check_solver(solver: str, penalty: str) -> None:
    if solver not in SOLVERS:
        raise SettingError(f"solver is {solver!r}; {nearest_names(str(solver), list(SOLVERS))}")
    fitting = ("auto", *L1_SOLVERS) if penalty == "l1" else ("auto", "conjugate-gradients")
    if solver not in fitting:
        raise SettingError(f"solver is {solver!r} with penalty={penalty!r}; expected one of {', '.join(fitting)}")
