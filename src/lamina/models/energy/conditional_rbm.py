"""The conditional machine: an RBM whose biases are affine functions of a condition that is given, never modelled.

E(v, h | x) = E_v(v; b + x A) + E_h(h; c + x B) − s_v(v)ᵀ W s_h(h)                       (docs/mathematics.md, eq. 45)

For each condition x (n_condition,) it is an RBM of its own (`as_rbm`), with its own partition function; the weights W
are shared by all (Taylor, Hinton & Roweis 2006). Its family of dynamic biases is that of a linear model from x to v
when W = 0, and W adds hidden causes that choose among linear models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random
from lamina.models.energy.rbm import RBM
from lamina.units import Family


class ConditionalRBM(nn.Module):
    """``ConditionalRBM(Gaussian(49), 150, n_condition=147)``; integers mean Bernoulli units.

    ``base`` is the machine of the condition 0, with W, b and c. A (n_condition, n_visible) and B (n_condition,
    n_hidden) hold what the condition adds to the biases. All functions take the condition (..., n_condition) beside v
    or h, one per row.
    """

    def __init__(
        self,
        visible: int | Family,
        hidden: int | Family,
        n_condition: int,
        *,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("n_condition", n_condition, low=1, integer=True)
        self.base = RBM(visible, hidden, dtype=dtype)
        self.A = nn.Parameter(torch.empty(int(n_condition), self.base.n_visible, dtype=dtype))
        self.B = nn.Parameter(torch.empty(int(n_condition), self.base.n_hidden, dtype=dtype))
        self.initialise(random_state)

    # the base machine's parts, by the names that they have there

    @property
    def visible(self) -> Family:
        return self.base.visible

    @property
    def hidden(self) -> Family:
        return self.base.hidden

    @property
    def W(self) -> nn.Parameter:  # noqa: N802 - the paper's name
        return self.base.W

    @property
    def b(self) -> nn.Parameter:
        return self.base.b

    @property
    def c(self) -> nn.Parameter:
        return self.base.c

    @property
    def n_visible(self) -> int:
        return self.base.n_visible

    @property
    def n_hidden(self) -> int:
        return self.base.n_hidden

    @property
    def n_condition(self) -> int:
        return self.A.shape[0]

    def extra_repr(self) -> str:
        return f"n_condition={self.n_condition}"

    @torch.no_grad()
    def initialise(
        self, random_state: int | Random | None, data_mean: Tensor | None = None, scale: float = 0.01
    ) -> ConditionalRBM:
        """Draw W, A and B from N(0, scale²); c = 0, and b such that the free visible units have the data's mean."""
        random = as_random(random_state)
        self.base.initialise(random, data_mean, scale)
        random = random.child("condition")
        for weights in (self.A, self.B):
            weights.copy_(random.normal(weights.shape, weights.dtype, weights.device).mul_(scale))
        return self

    def as_conditional(self) -> ConditionalRBM:
        """This machine: what learning and inference ask of all machines of this kind."""
        return self

    @torch.no_grad()
    def as_rbm(self, condition: Tensor) -> RBM:
        """The machine of one ``condition`` (n_condition,), with copies of the parameters; families are shared."""
        if condition.dim() != 1:
            raise DataError(f"the condition has shape {tuple(condition.shape)}; expected one, ({self.n_condition},)")
        machine = RBM(self.visible, self.hidden, dtype=self.W.dtype).to(self.W.device)
        machine.W.copy_(self.W)
        machine.b.copy_(self.bias_v(condition))
        machine.c.copy_(self.bias_h(condition))
        return machine

    # biases and fields -----------------------------------------------------------------------------------------------

    def bias_v(self, condition: Tensor) -> Tensor:
        """b + x A: (..., n_condition) → (..., n_visible)."""
        return self.b + self._checked(condition) @ self.A

    def bias_h(self, condition: Tensor) -> Tensor:
        """c + x B: (..., n_condition) → (..., n_hidden)."""
        return self.c + self._checked(condition) @ self.B

    def field_h(self, v: Tensor, condition: Tensor) -> Tensor:
        """c + x B + s_v(v) W: (..., n_visible), (..., n_condition) → (..., n_hidden)."""
        return self.base.field_h(v) + self._checked(condition) @ self.B

    def field_v(self, h: Tensor, condition: Tensor) -> Tensor:
        """b + x A + W s_h(h): (..., n_hidden), (..., n_condition) → (..., n_visible)."""
        return self.base.field_v(h) + self._checked(condition) @ self.A

    # means and draws -------------------------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor, condition: Tensor) -> Tensor:
        """E[h | v, x]: (..., n_visible), (..., n_condition) → (..., n_hidden)."""
        return self.hidden.mean(self.field_h(v, condition))

    def mean_v_from_h(self, h: Tensor, condition: Tensor) -> Tensor:
        """E[v | h, x]: (..., n_hidden), (..., n_condition) → (..., n_visible)."""
        return self.visible.mean(self.field_v(h, condition))

    @torch.no_grad()
    def sample_h_from_v(self, v: Tensor, condition: Tensor, random: Random) -> Tensor:
        """h ~ p(h | v, x): (..., n_visible), (..., n_condition) → (..., n_hidden)."""
        return self.hidden.sample(self.field_h(v, condition), random)

    @torch.no_grad()
    def sample_v_from_h(self, h: Tensor, condition: Tensor, random: Random) -> Tensor:
        """v ~ p(v | h, x): (..., n_hidden), (..., n_condition) → (..., n_visible)."""
        return self.visible.sample(self.field_v(h, condition), random)

    # energies --------------------------------------------------------------------------------------------------------

    def energy(self, v: Tensor, h: Tensor, condition: Tensor) -> Tensor:
        """E(v, h | x): (..., n_visible), (..., n_hidden), (..., n_condition) → (...)."""
        interaction = (self.visible.interaction(v) @ self.W * self.hidden.interaction(h)).sum(-1)
        visible = _energy(self.visible, v, self.bias_v(condition))
        return visible + _energy(self.hidden, h, self.bias_h(condition)) - interaction

    def free_energy(self, v: Tensor, condition: Tensor) -> Tensor:
        """F(v | x) = −log Σ_h exp(−E(v, h | x)): (..., n_visible), (..., n_condition) → (...)."""
        cumulant = self.hidden.cumulant(self.field_h(v, condition), self.bias_h(condition))
        return _energy(self.visible, v, self.bias_v(condition)) - cumulant

    def free_energy_h(self, h: Tensor, condition: Tensor) -> Tensor:
        """−log Σ_v exp(−E(v, h | x)): (..., n_hidden), (..., n_condition) → (...)."""
        cumulant = self.visible.cumulant(self.field_v(h, condition), self.bias_v(condition))
        return _energy(self.hidden, h, self.bias_h(condition)) - cumulant

    # files -----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this machine again; the arrays are the state dict."""
        return {
            "class": "ConditionalRBM",
            "visible": self.visible.spec(),
            "hidden": self.hidden.spec(),
            "n_condition": self.n_condition,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ConditionalRBM:
        """The machine that `spec` describes; ``build`` makes its families."""
        return cls(build(spec["visible"]), build(spec["hidden"]), spec["n_condition"])

    def _checked(self, condition: Tensor) -> Tensor:
        if condition.shape[-1] != self.n_condition:
            raise DataError(
                f"conditions have shape {tuple(condition.shape)}; expected (..., {self.n_condition}): one row of "
                f"{self.n_condition} values for each row"
            )
        return condition


def _energy(family: Family, x: Tensor, bias: Tensor) -> Tensor:
    """Energy terms with a bias of its own for each row: (..., n), (..., n) → (...); `Family.energy` knows one vector.

    E(x; b) = E(x; 0) + Σ b ∂E/∂b at b/2: exact, since every family's energy is linear or quadratic in its bias.
    """
    return family.energy(x, bias.new_zeros(family.n)) - (bias * family.bias_statistic(x, bias / 2)).sum(-1)
