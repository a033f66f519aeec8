"""The counter-propagation network: competing units, each with what to answer when it wins.

A Kohonen layer of prototypes w_j, and an outstar (Grossberg layer) of answers v_j for every unit. The winner answers:

forward only   c = argmin_j ‖x − w_j‖,                          y(x) = v_c                              (eq. 227)
full           learns with c = argmin_j ‖x − w_j‖² + β ‖y − v_j‖², and answers either way:
               y(x) = v_c with c by ‖x − w_j‖,  x(y) = w_c with c by ‖y − v_j‖

A table of as many entries as there are units, which it fills by itself. With k winners the answer is their mean, each
weighing the inverse of its distance: smoother, where the answer is smooth.

Source: R. Hecht-Nielsen (1987), Counterpropagation networks, Applied Optics 26.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.maps.prototypes import Prototypes


class CounterPropagation(Prototypes):
    """``CounterPropagation(n_visible, n_out, n_units)``: ``weights`` (n_units, n_visible), ``outstar`` (n_units,
    n_out).

    ``full`` lets answers take part in the competition while learning, ``balance`` β times (0 is forward only).
    """

    def __init__(
        self,
        n_visible: int,
        n_out: int,
        n_units: int,
        *,
        full: bool = False,
        balance: float = 1.0,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random = 0,
    ) -> None:
        super().__init__(n_visible, n_units, dtype=dtype, random_state=random_state)
        check_number("n_out", n_out, low=1, integer=True)
        check_number("balance", balance, low=0.0)
        if not isinstance(full, bool):
            raise SettingError(f"full is {full!r}; expected True or False")
        self.full, self.balance = full, float(balance)
        random = as_random(random_state).child("outstar")
        self.outstar = nn.Parameter(0.1 * random.normal((int(n_units), int(n_out)), dtype))

    @property
    def n_out(self) -> int:
        return self.outstar.shape[1]

    def extra_repr(self) -> str:
        return f"{self.n_visible}, {self.n_out}, {self.n_units}, full={self.full}, balance={self.balance:g}"

    @torch.no_grad()
    def joint_nearness(self, x: Tensor, y: Tensor) -> Tensor:
        """Largest where ‖x − w_j‖² + β ‖y − v_j‖² is smallest: (n, n_visible), (n, n_out) → (n, n_units)."""
        answers = torch.addmm((self.outstar**2).sum(1), y, self.outstar.T, beta=-0.5)
        return self.nearness(x) + self.balance * answers

    @torch.no_grad()
    def mean_y_from_x(self, x: Tensor, n_winners: int = 1) -> Tensor:
        """The answer of the winner, or of the ``n_winners`` nearest units: (n, n_visible) → (n, n_out)."""
        self.check_rows(x)
        return _answers(x, self.weights, self.outstar, self._checked(n_winners))

    @torch.no_grad()
    def mean_x_from_y(self, y: Tensor, n_winners: int = 1) -> Tensor:
        """Backwards, what the unit with the answer nearest to ``y`` stands for: (n, n_out) → (n, n_visible)."""
        if y.dim() != 2 or y.shape[1] != self.n_out:
            raise DataError(f"the answers have shape {tuple(y.shape)}; expected (rows, {self.n_out})")
        return _answers(y, self.outstar, self.weights, self._checked(n_winners))

    def forward(self, x: Tensor) -> Tensor:
        """`mean_y_from_x` of one winner."""
        return self.mean_y_from_x(x)

    def _checked(self, n_winners: int) -> int:
        check_number("n_winners", n_winners, low=1, high=self.n_units, integer=True)
        return int(n_winners)

    def spec(self) -> dict:
        """What JSON must hold to build this network again; its arrays are the state dict."""
        return {
            "class": "CounterPropagation",
            "n_visible": self.n_visible,
            "n_out": self.n_out,
            "n_units": self.n_units,
            "full": self.full,
            "balance": self.balance,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> CounterPropagation:
        """The network that `spec` describes."""
        options = {"full": spec["full"], "balance": spec["balance"]}
        return cls(spec["n_visible"], spec["n_out"], spec["n_units"], **options)


def _answers(given: Tensor, keys: Tensor, answers: Tensor, n_winners: int) -> Tensor:
    """The mean over the ``n_winners`` nearest keys of their answers, weighed by inverse distance (a hit decides)."""
    found = []
    for part in given.split(1024) if len(given) else (given,):
        distances, units = torch.cdist(part, keys, compute_mode="donot_use_mm_for_euclid_dist").topk(
            n_winners, dim=1, largest=False
        )
        if n_winners == 1:
            found.append(answers[units[:, 0]])
            continue
        tiny = torch.finfo(distances.dtype).tiny ** 0.5
        weight = distances.clamp_min(tiny).reciprocal()
        weight = weight / weight.sum(1, keepdim=True)
        found.append(torch.einsum("nk,nko->no", weight, answers[units]))
    return torch.cat(found)
