"""Competitive learning: the winner of a row moves towards it, all others stay.

    w_c ← w_c + η (x − w_c),    c = argmin_j ‖x − w_j‖²                                                     (eq. 225)

Row by row (``batch_size=1``) just that. In a batch every unit moves a share η of the way to the mean of the rows it
won. η must fall, or prototypes keep following the last rows.

A unit that never wins never learns. ``against_dead`` makes it win after all (eq. 226):

"conscience"   (DeSieno 1988) a unit that wins more than its share 1/K is held back: c = argmin_j ‖x − w_j‖² − γ s (1/K
               − p_j) K, with p_j the unit's share of wins so far and s the mean squared distance of rows to their
               winner, so that γ has no unit. A unit much farther off than s stays dead: begin with rows
"frequency"    (Ahalt, Krishnamurthy, Chen, Melton 1990) distances grow with wins: c = argmin_j p_j ‖x − w_j‖²

Both end with units that win about equally often, which is not the least quantisation error where rows lie unevenly: the
conscience weakens with the learning rate only if the caller ends with ``against_dead=None``.

Measures: "quantisation error" (mean distance of a row to its nearest prototype), "dead units" (that won none of the
last K·`MEMORY` rows or so).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.maps.prototypes import Prototypes
from lamina.training.rules import GradientRule, Setting
from lamina.training.self_organising import pulled_apart
from lamina.training.sources import Batch

AGAINST_DEAD = (None, "conscience", "frequency")
MEMORY = 30  # wins per unit that shares of wins are averages over


class CompetitiveLearning(GradientRule):
    """Winner-take-all on a `CompetitiveLayer` (or any prototypes); ``conscience`` is γ.

    State beside the weights: shares of wins and the scale of distances.
    """

    watched = "validation quantisation error"

    def __init__(self, against_dead: str | None = None, *, conscience: float = 1.0) -> None:
        if against_dead not in AGAINST_DEAD:
            raise SettingError(f"against_dead is {against_dead!r}; expected conscience, frequency or None")
        check_number("conscience", conscience, low=0.0)
        self.against_dead, self.conscience = against_dead, float(conscience)

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [model.weights]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, Prototypes):
            raise SettingError(f"{type(self).__name__} moves prototypes; {type(model).__name__} given")
        model.check_rows(values[0])

    def start(self, model: Any, setting: Setting) -> None:
        K = model.n_units
        self.world = setting.world
        self.shares = torch.full((K,), 1 / K, dtype=setting.dtype, device=setting.device)
        self.scale = torch.zeros((), dtype=setting.dtype, device=setting.device)

    def squared_distances(self, model: Any, batch: Batch) -> Tensor:
        """‖x − w_j‖² that units compete by: (n, n_units)."""
        x = batch.values[0]
        squared = (x**2).sum(1, keepdim=True) - 2 * model.nearness(x)
        return squared.clamp_min_(0)

    def chosen(self, squared: Tensor) -> Tensor:
        """The winners (n,) once dead units are helped."""
        if self.against_dead == "conscience":
            K = len(self.shares)
            return (squared - self.conscience * self.scale * (1 - K * self.shares)).argmin(1)
        if self.against_dead == "frequency":
            return (squared * self.shares).argmin(1)
        return squared.argmin(1)

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        squared = self.squared_distances(model, batch)
        won = torch.nn.functional.one_hot(self.chosen(squared), model.n_units).to(squared.dtype)
        self.move(model, batch, won)
        nearest = squared.amin(1)
        self._remember(won.sum(0), nearest.sum(), batch.total)
        dead = (self.shares * len(self.shares) < 1 / MEMORY).sum()
        return {"quantisation error": nearest.sqrt().sum(), "dead units": dead * len(won)}

    def move(self, model: Any, batch: Batch, won: Tensor) -> None:
        """Write minus the change of the winners, ``won`` (n, n_units) of 0 and 1, into ``.grad``."""
        model.weights.grad.copy_(pulled_apart(model.weights, batch.values[0], won, self.world))

    def _remember(self, wins: Tensor, squared: Tensor, total: int) -> None:
        """Averages that forget: a row weighs 1/(K · `MEMORY`), a batch as its rows in turn would."""
        squared = squared.clone()
        self.world.sum_([wins, squared])
        keep = (1 - 1 / (MEMORY * len(self.shares))) ** total
        self.shares.mul_(keep).add_(wins, alpha=(1 - keep) / total)
        first = float(self.scale) == 0
        self.scale.copy_(squared / total if first else keep * self.scale + (1 - keep) * squared / total)

    def state(self) -> dict[str, Tensor]:
        return {"shares": self.shares, "scale": self.scale}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.shares.copy_(state["shares"])
        self.scale.copy_(state["scale"])

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Quantisation error of validation and of training rows."""
        means = [float(model.errors(v[0]).mean()) for v in (values, train)]
        return {"validation quantisation error": means[0], "training quantisation error": means[1]}

    def describe(self) -> dict:
        return {"rule": type(self).__name__, "against_dead": self.against_dead, "conscience": self.conscience}
