"""Learning a self-organising map: each row pulls its winner, and the winner's neighbours on the grid with it.

`BatchMap`    all rows at once. With c(x) the winner of x, h the neighbourhood, n_c and s_c the number and the sum of
              the rows that unit c wins,  w_j ← Σ_c h_jc s_c / Σ_c h_jc n_c                               (eq. 223)
              A pass costs one product of rows and prototypes for the winners and one of units and units for the
              neighbours; nothing else grows. There is no learning rate.
`OnlineMap`   row by row,  w_j ← w_j + η h_jc (x − w_j)                                                       (eq. 224)
              A batch of rows moves w_j by η Σ_x h_jc(x) (x − w_j) / max(1, Σ_x h_jc(x)): for one row just that, for
              many a share η of the way to the mean that the batch asks for.

``radius`` is a number or a `Schedule` over the rule's own steps: passes for `BatchMap`, batches for `OnlineMap`
(`lamina.training.neighbourhoods.shrinking` makes one). Both descend no energy while the radius shrinks; at a fixed
radius the batch rule is Newton's step on Σ_x Σ_j h_jc(x) ‖x − w_j‖² with the winners held.

Measures: "quantisation error", mean distance of a row to its winner before the step.

Sources: T. Kohonen 1982; T. Kohonen 2013, Essentials of the self-organizing map, Neural Networks 37 (batch rule).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.maps.prototypes import Prototypes
from lamina.models.maps.self_organising_map import SelfOrganisingMap
from lamina.training.neighbourhoods import check_neighbourhood, pull
from lamina.training.rules import GradientRule, Rule, Setting, StatisticsRule
from lamina.training.schedules import Schedule, as_schedule
from lamina.training.sources import Batch

Radius = float | Schedule


class _MapRule(Rule):
    """What both rules share: the radius, checks, and what is measured on validation rows."""

    watched = "validation quantisation error"

    def __init__(self, radius: Radius = 1.0, neighbourhood: str = "gaussian") -> None:
        check_neighbourhood(neighbourhood)
        if not isinstance(radius, Schedule):
            check_number("radius", radius, low=1e-12)
        elif min((value for _, value in radius.points), default=radius(0)) <= 0:
            raise SettingError(f"radius is {radius}; expected numbers above 0")
        self.radius, self.neighbourhood = as_schedule(radius), neighbourhood

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [model.weights]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, SelfOrganisingMap):
            raise SettingError(f"{type(self).__name__} learns a SelfOrganisingMap; {type(model).__name__} given")
        model.check_rows(values[0])

    def start(self, model: Any, setting: Setting) -> None:
        self.world = setting.world
        self.distances = model.grid()

    def pulls(self, step: int) -> Tensor:
        """h between all units at this step: (n_units, n_units)."""
        return pull(self.distances, self.radius(step), self.neighbourhood)

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Quantisation error of validation and of training rows, topographic error of validation rows."""
        return {
            "validation quantisation error": float(model.errors(values[0]).mean()),
            "training quantisation error": float(model.errors(train[0]).mean()),
            "validation topographic error": float(model.topographic_error(values[0]).mean()),
        }

    def describe(self) -> dict:
        return {"rule": type(self).__name__, "radius": self.radius.describe(), "neighbourhood": self.neighbourhood}


class BatchMap(_MapRule, StatisticsRule):
    """Kohonen's batch rule: one step per pass. A unit that nothing pulls stays (a bubble may reach no winner)."""

    def start(self, model: Any, setting: Setting) -> None:
        super().start(model, setting)
        self.totals = torch.zeros_like(model.weights, requires_grad=False)
        self.counts = self.totals.new_zeros(model.n_units)
        self.passes = torch.zeros((), dtype=torch.float64)

    def zero(self) -> list[Tensor]:
        return [self.totals.zero_(), self.counts.zero_()]

    def accumulate(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        x = batch.values[0]
        if not len(x):
            return {}
        best, winners = model.nearness(x).max(1)
        self.totals.index_add_(0, winners, x)
        self.counts += torch.bincount(winners, minlength=model.n_units)
        squared = torch.linalg.vector_norm(x, dim=1).square_().sub_(best, alpha=2)
        return {"quantisation error": squared.clamp_min_(0).sqrt_().sum()}

    @torch.no_grad()
    def maximise(self, model: Any) -> None:
        h = self.pulls(int(self.passes))
        self.passes += 1
        pulled = h @ self.counts
        kind = torch.finfo(pulled.dtype)
        reached = pulled > kind.tiny / kind.eps  # below, quotients lose digits
        wanted = (h @ self.totals).div_(pulled.clamp_min(kind.tiny).unsqueeze(1))
        model.weights.copy_(torch.where(reached.unsqueeze(1), wanted, model.weights))

    def state(self) -> dict[str, Tensor]:
        return {"passes": self.passes}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.passes.copy_(state["passes"])


class OnlineMap(_MapRule, GradientRule):
    """Kohonen's rule; ``batch_size=1`` is the original. η is the loop's ``learning_rate``, at most 1."""

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        x = batch.values[0]
        best, winners = model.nearness(x).max(1)
        h = pull(self.distances[winners], self.radius(step), self.neighbourhood)
        model.weights.grad.copy_(pulled_apart(model.weights, x, h, self.world))
        squared = torch.linalg.vector_norm(x, dim=1).square_().sub_(best, alpha=2)
        return {"quantisation error": squared.clamp_min_(0).sqrt_().sum()}


def pulled_apart(weights: Tensor, x: Tensor, h: Tensor, world: Any) -> Tensor:
    """−Σ_x h_j(x) (x − w_j) / max(1, Σ_x h_j(x)), this process's part: (n_units, n_visible).

    ``h`` (n, n_units) is how much each row of ``x`` (n, n_visible) pulls each unit; the divisor is of all processes.
    """
    total = h.sum(0)
    change = weights * total.unsqueeze(1) - h.T @ x
    world.sum_([total])
    return change.div_(total.clamp_min_(1).unsqueeze(1))


@torch.no_grad()
def prototypes_from_rows(model: Any, X: Any, random_state: int | Random | None = None) -> Any:
    """Set the prototypes of ``model`` to rows of ``X`` (n, n_visible) drawn without repetition (with, if there are
    fewer rows than units). Returns ``model``."""
    chosen = _checked(model, X)
    random = as_random(random_state).child("prototypes")
    rounds = -(-model.n_units // len(chosen))
    order = np.concatenate([random.child(k).permutation(len(chosen)) for k in range(rounds)])[: model.n_units]
    model.weights.copy_(_some(chosen, order).to(model.weights))
    return model


@torch.no_grad()
def prototypes_from_plane(model: SelfOrganisingMap, X: Any, most_rows: int = 20_000) -> SelfOrganisingMap:
    """Lay the grid of ``model`` into the plane of the two largest principal components of ``X`` (n, n_visible).

    The longer side of the grid lies along the first; units reach from −√3 to √3 standard deviations on either side of
    the mean, as far as evenly spread rows would. At most about ``most_rows`` evenly spaced rows are looked at. Nothing
    is random; a torus starts flat. Returns ``model``.
    """
    rows = _checked(model, X)
    step = max(1, len(rows) // most_rows)
    rows = _some(rows, slice(None, None, step)).to(model.weights).double()
    mean = rows.mean(0)
    rows = rows - mean
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    axes = (vectors[:, -2:] * values[-2:].clamp_min(0).sqrt()).flip(1).T  # (2, n_visible), the largest first
    axes = torch.cat([axes, torch.zeros(2 - len(axes), rows.shape[1]).to(axes)])  # rows of one column have one
    lead = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * torch.where(lead < 0, -1.0, 1.0)  # an eigenvector's sign is anybody's
    places = model.places.double()
    middle = (places.amax(0) + places.amin(0)) / 2
    reach = ((places.amax(0) - places.amin(0)) / 2).clamp_min(1e-300)
    spread = 3**0.5 * (places - middle) / reach
    if model.rows > model.columns:
        spread = spread.flip(1)
    model.weights.copy_(mean + spread @ axes)
    return model


def _checked(model: Any, X: Any) -> Any:
    if not isinstance(model, Prototypes):
        raise SettingError(f"{type(model).__name__} has no prototypes; expected a SelfOrganisingMap or another map")
    if len(X.shape) != 2 or X.shape[1] != model.n_visible or not len(X):
        raise DataError(f"the data have shape {tuple(X.shape)}; expected (rows, {model.n_visible}), at least one row")
    return X


def _some(X: Any, rows: Any) -> Tensor:
    if isinstance(X, Tensor):
        return X[torch.from_numpy(rows)] if isinstance(rows, np.ndarray) else X[rows]
    return torch.as_tensor(np.ascontiguousarray(X[rows]))
