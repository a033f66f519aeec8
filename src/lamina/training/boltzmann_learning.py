"""Boltzmann learning (Ackley, Hinton, Sejnowski 1985): correlations with rows clamped, minus those running free.

∂⟨log p(v)⟩/∂W_ij = ⟨s_i s_j⟩_clamped − ⟨s_i s_j⟩_free,   the same for b with ⟨s_i⟩      (docs/mathematics.md, eq. 60b)

The clamped side is exact where hidden units do not see each other. Otherwise it is taken from mean-field inference (the
gradient of a lower bound; deterministic) or from Gibbs sampling (noisy, and biased by chains that are too short). The
free side comes from persistent chains, as in Tieleman 2008: biased where they cannot follow the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number, check_unit_interval
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference.mean_field import mean_field, variational_free_energy
from lamina.inference.sequential_gibbs import free_states, hidden_states, sequential_gibbs
from lamina.models.energy.boltzmann_machine import BoltzmannMachine
from lamina.training.rules import GradientRule, Setting
from lamina.training.sources import Batch

POSITIVE = ("mean-field", "gibbs")


class BoltzmannLearning(GradientRule):
    """``positive`` says how hidden units are inferred with a row clamped ("mean-field" or "gibbs").

    ``positive_steps``: steps of mean-field (damped by ``damping``) or passes of Gibbs sampling per row. ``k`` passes of
    each of the ``n_chains`` persistent chains per step of learning. The gradient of W is symmetric and 0 where the
    machine has no weights, so that W stays symmetric. Visible values between 0 and 1 enter as they are.
    """

    watched = "validation reconstruction error"

    def __init__(
        self,
        positive: str = "mean-field",
        *,
        positive_steps: int = 20,
        damping: float = 0.5,
        k: int = 1,
        n_chains: int = 100,
    ) -> None:
        if positive not in POSITIVE:
            raise SettingError(f"positive is {positive!r}; expected one of {', '.join(POSITIVE)}")
        check_number("positive_steps", positive_steps, low=1, integer=True)
        check_number("damping", damping, low=0.0, high=0.99)
        check_number("k", k, low=1, integer=True)
        check_number("n_chains", n_chains, low=1, integer=True)
        self.positive, self.positive_steps, self.damping = positive, int(positive_steps), float(damping)
        self.k, self.n_chains = int(k), int(n_chains)
        self.chains: Tensor | None = None

    def describe(self) -> dict:
        names = ("positive", "positive_steps", "damping", "k", "n_chains")
        return {"rule": "BoltzmannLearning", **{name: getattr(self, name) for name in names}}

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, BoltzmannMachine):
            raise SettingError(f"BoltzmannLearning trains a BoltzmannMachine; {type(model).__name__} given")
        rows = values[0].cpu().numpy()
        if rows.ndim != 2 or rows.shape[1] != model.n_visible:
            raise DataError(
                f"the rows to learn from have shape {rows.shape}; expected (rows, {model.n_visible}): this machine has "
                f"{model.n_visible} visible units"
            )
        check_unit_interval(rows, name="the rows to learn from")

    @torch.no_grad()
    def start(self, model: nn.Module, setting: Setting) -> None:
        machine: Any = model
        self.setting = setting
        self.numbers = torch.arange(self.n_chains, device=setting.device)
        self.chains = free_states(machine, self.n_chains, setting.random.child("chains"))

    def state(self) -> dict[str, Tensor]:
        """The chains of all processes: each keeps its own slice up to date, so the slices are summed."""
        if self.chains is None:
            return {}
        whole, mine = torch.zeros_like(self.chains), self.setting.world.slice(self.n_chains)
        whole[mine] = self.chains[mine]
        self.setting.world.sum_([whole])
        return {"chains": whole}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if "chains" in state:
            self.chains = state["chains"].to(self.setting.device)

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        machine: BoltzmannMachine = model
        assert self.chains is not None
        mine = self.setting.world.slice(self.n_chains)
        clamped = self._clamped(machine, batch.values[0], random.child("clamped").at(step, batch.rows))
        stream = random.child("free").at(step, self.numbers[mine])
        free = sequential_gibbs(machine, self.chains[mine], self.k, stream)
        self.chains[mine] = free
        write_gradients(machine, clamped, free, batch.total, self.n_chains)
        return {"reconstruction error": _reconstruction_errors(machine, clamped).sum()}

    def _clamped(self, machine: BoltzmannMachine, v: Tensor, random: Random) -> Tensor:
        """States (n, n_units) of the clamped side: means of hidden units, or draws of them."""
        if self.positive == "gibbs" and machine.has_coupled_hidden:
            return hidden_states(machine, v, self.positive_steps, random)
        found = mean_field(machine, v, damping=self.damping, steps=self.positive_steps)
        return machine.join(v, found.mean)

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Reconstruction error, and by how much the variational free energy is larger than on training rows."""
        mean, mean_train = (mean_field(model, rows[0], damping=self.damping).mean for rows in (values, train))
        bound = variational_free_energy(model, values[0], mean).mean()
        bound_train = variational_free_energy(model, train[0], mean_train).mean()
        error = _reconstruction_errors(model, model.join(values[0], mean)).mean()
        return {"validation reconstruction error": float(error), "free-energy gap": float(bound - bound_train)}


@torch.no_grad()
def write_gradients(machine: BoltzmannMachine, clamped: Tensor, free: Tensor, total: int, chains: int) -> None:
    """Descent directions into ``.grad``: free minus clamped correlations, of pairs that have a weight, and means.

    ``clamped`` (n, n_units) is divided by ``total`` rows, ``free`` by ``chains``, both counted over all processes. A
    mean stands for s_i in ⟨s_i s_j⟩: exact for independent units, i ≠ j.
    """
    machine.W.grad.addmm_(clamped.T, clamped, beta=0, alpha=-1.0 / total)
    machine.W.grad.addmm_(free.T, free, alpha=1.0 / chains).mul_(machine.mask)
    machine.W.grad.add_(machine.W.grad.T.clone()).mul_(0.5)  # the products' rounding is not symmetric
    torch.sum(clamped, 0, out=machine.b.grad).mul_(-1.0 / total).add_(free.sum(0), alpha=1.0 / chains)


def _reconstruction_errors(machine: BoltzmannMachine, states: Tensor) -> Tensor:
    """Mean squared error of each visible unit predicted from all other units, per row: (n,)."""
    predicted = torch.sigmoid(states @ machine.W[:, : machine.n_visible] + machine.b[: machine.n_visible])
    return (states[:, : machine.n_visible] - predicted).square().mean(-1)
