"""L-BFGS of SciPy as a minimiser of objectives: bounded counts of iterations and evaluations, stops by gradient.

`lamina.training.optimisers.LBFGS` is PyTorch's, which goes on for ever or for so many iterations. This one ends where
the largest slope is at most ``tolerance``, where the value falls by less than 2.2·10⁻⁹ of itself (SciPy's default), or
where iterations or evaluations run out, and says which (``result``). Weights travel to the CPU and back for every
evaluation. Source: Byrd, Lu, Nocedal, Zhu 1995, without bounds; Moré & Thuente 1994 for the line search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import nn

from lamina.core.checks import check_number
from lamina.training.optimisers import LBFGS


class ScipyLBFGS:
    """One `step` minimises the closure, which sets ``.grad`` and returns the value; ``result`` is SciPy's record."""

    def __init__(self, parameters: list[nn.Parameter], options: dict[str, Any]) -> None:
        self.parameters, self.options = parameters, options
        self.param_groups: list[dict] = [{"params": parameters}]
        self.result: OptimizeResult | None = None

    def step(self, closure: Callable[[], Any]) -> float:
        """Minimise ``closure`` from the parameters as they are; returns the value where it ended."""

        def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
            self._set(x)
            with torch.enable_grad():
                value = float(closure())
            return value, np.concatenate([_flat(p.grad) for p in self.parameters])

        start = np.concatenate([_flat(p) for p in self.parameters])
        self.result = minimize(evaluate, start, jac=True, method="L-BFGS-B", options=self.options)
        self._set(self.result.x)
        return float(self.result.fun)

    @torch.no_grad()
    def _set(self, x: np.ndarray) -> None:
        flat = torch.from_numpy(x)
        for parameter, part in zip(self.parameters, flat.split([p.numel() for p in self.parameters]), strict=True):
            parameter.copy_(part.view_as(parameter))

    def restart(self) -> None:
        """Nothing is remembered between steps."""

    def state_dict(self) -> dict[str, Any]:
        return {"state": {}, "param_groups": []}

    def load_state_dict(self, document: dict[str, Any]) -> None:
        """Nothing to take back."""


def _flat(tensor: Any) -> np.ndarray:
    return tensor.detach().reshape(-1).to("cpu", torch.float64).numpy()


@dataclass(frozen=True)
class QuasiNewton(LBFGS):
    """SciPy's L-BFGS: at most ``searches`` iterations and ``evaluations``, until no slope is beyond ``tolerance``.

    One epoch of `lamina.fit` is the whole minimisation; ``made[-1].result`` then says how it ended.
    """

    searches: int | None = 200
    memory: int = 10
    tolerance: float = 1e-4
    evaluations: int = 15_000
    made: list[ScipyLBFGS] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("evaluations", self.evaluations, low=1, integer=True)

    def minimiser(self, parameters: list[nn.Parameter], searches: int) -> ScipyLBFGS:  # type: ignore[override]
        """The minimiser of an objective; ``searches`` counts where the record leaves them open."""
        options = {
            "maxiter": self.searches or searches,
            "maxfun": self.evaluations,
            "maxcor": self.memory,
            "gtol": self.tolerance,
        }
        self.made.append(ScipyLBFGS(parameters, options))
        return self.made[-1]

    def describe(self) -> str | dict:
        options = ("searches", "memory", "tolerance", "evaluations")
        return {"optimiser": "QuasiNewton", **{name: getattr(self, name) for name in options}}
