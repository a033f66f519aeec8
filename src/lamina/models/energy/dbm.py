"""The deep Boltzmann machine (Salakhutdinov and Hinton 2009): layers of units, each connected to its neighbours alone.

With x_0 = v and hidden layers x_1 = h_1, …, x_L = h_L,

    E(v, h_1, …, h_L) = E_v(v; b_0) − Σ_k b_kᵀ h_k − s_v(v)ᵀ W_0 h_1 − Σ_k h_kᵀ W_k h_{k+1}

(docs/mathematics.md, eq. 80) with W_k (n_k, n_{k+1}) and b_k (n_k,). Every connection is undirected: what a hidden unit
does depends on the layer above as much as on the layer below, so that p(h | v) does not factorise and inference is
approximate (`lamina.inference.deep_mean_field`). Given the even layers (v, h_2, …) the odd ones (h_1, h_3, …) are
independent, and the other way round: as two sides they are one restricted machine (`as_rbm`), for which exact sums,
annealed importance sampling and Gibbs sampling are written once.

A state is a list of L + 1 tensors, ``layers``, from the visible one up: (..., n_k) each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.energy.rbm import RBM
from lamina.units import Bernoulli, Concatenated, Family, as_family


class DBM(nn.Module):
    """A deep Boltzmann machine: ``DBM(784, 500, 1000)`` has 784 visible and two layers of hidden Bernoulli units.

    The visible units may be any family, ``DBM(Gaussian(351), 500, 500)``; an integer means Bernoulli units. Weights
    start at N(0, 0.01²) and biases at 0.
    """

    def __init__(
        self,
        visible: int | Family,
        *hidden: int,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        if not hidden:
            raise SettingError("a deep Boltzmann machine needs hidden layers; 0 given: DBM(784, 500, 1000)")
        self.units = nn.ModuleList([as_family(visible), *(Bernoulli(n) for n in hidden)])
        self.W = nn.ParameterList(nn.Parameter(torch.empty(n, above)) for n, above in pairwise(self.sizes))
        self.b = nn.ParameterList(nn.Parameter(torch.zeros(n)) for n in self.sizes)
        self.to(dtype)
        self.initialise(random_state)

    @property
    def visible(self) -> Family:
        return self.units[0]  # type: ignore[return-value]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of units of all layers, (n_visible, n_1, …, n_L)."""
        return tuple(int(family.n) for family in self.units)  # type: ignore[arg-type]

    @property
    def n_visible(self) -> int:
        return self.sizes[0]

    @property
    def n_hidden(self) -> int:
        """Number of units of the top layer."""
        return self.sizes[-1]

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.W)

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}"

    @torch.no_grad()
    def initialise(
        self, random_state: int | Random | None, data_mean: Tensor | None = None, scale: float = 0.01
    ) -> DBM:
        """Draw W from N(0, scale²); set hidden biases to 0 and b_0 so that free visible units have the data's mean."""
        random = as_random(random_state).child("weights")
        for k, W in enumerate(self.W):
            W.copy_(random.child(k).normal(W.shape, W.dtype, W.device).mul_(scale))
        for b in self.b:
            b.zero_()
        if data_mean is not None:
            self.b[0].copy_(self.visible.bias_from_data(data_mean.to(self.b[0])))
        return self

    # fields ---------------------------------------------------------------------------------------------------------

    def interaction(self, k: int, x: Tensor) -> Tensor:
        """The values of layer ``k`` as the weights see them: s_v(v) of the visible layer, hidden values as they are."""
        return self.visible.interaction(x) if k == 0 else x

    def field(self, k: int, layers: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
        """Field of layer ``k`` given its neighbours among ``layers``: b_k + x_{k−1} W_{k−1} + x_{k+1} W_kᵀ, (..., n_k).

        With ``out``, a buffer for the result, the neighbours must be matrices (n, n_k).
        """
        terms: list[tuple[Tensor, Tensor]] = []
        if k > 0:
            terms.append((self.interaction(k - 1, layers[k - 1]), self.W[k - 1]))
        if k < self.depth:
            terms.append((layers[k + 1], self.W[k].T))
        total: Tensor = self.b[k]
        for x, weights in terms:
            if x.dim() == 2:
                total = torch.addmm(total, x, weights, out=out)
            else:
                total = total + x @ weights
        return total

    def bottom_up(self, v: Tensor) -> list[Tensor]:
        """``[v, m_1, …, m_L]``: one pass upward in which a layer's input from below stands in for the one from above.

        m_k = σ(b_k + 2 m_{k−1} W_{k−1}) below the top, where half of the input is missing, and
        m_L = σ(b_L + m_{L−1} W_{L−1}) (Salakhutdinov and Hinton 2009). It is a guess, where mean-field inference
        begins.
        """
        self.check_width(v)
        layers = [v]
        for k in range(1, self.depth + 1):
            factor = 2.0 if k < self.depth else 1.0
            drive = self.interaction(k - 1, layers[-1]) @ self.W[k - 1]
            layers.append(self.units[k].mean_(torch.add(self.b[k], drive, alpha=factor)))  # type: ignore[operator]
        return layers

    # energies -------------------------------------------------------------------------------------------------------

    def energy(self, layers: Sequence[Tensor]) -> Tensor:
        """E(v, h_1, …, h_L) of the state ``layers``: L + 1 tensors (..., n_k) → (...)."""
        if len(layers) != self.depth + 1:
            raise DataError(
                f"the state has {len(layers)} layers; expected {self.depth + 1}: (v, h_1, …, h_{self.depth})"
            )
        self.check_width(layers[0])
        total = self.visible.energy(layers[0], self.b[0])
        for k, W in enumerate(self.W):
            above = layers[k + 1]
            total = total - above @ self.b[k + 1] - (self.interaction(k, layers[k]) @ W * above).sum(-1)
        return total

    # as one restricted machine --------------------------------------------------------------------------------------

    @torch.no_grad()
    def as_rbm(self, visible: str = "even") -> RBM:
        """The same distribution as a restricted machine of the even against the odd layers; arrays are copies.

        ``visible="even"`` puts (v, h_2, …) on the machine's visible side, so that rows of data are a part of its rows.
        "odd" puts (h_1, h_3, …) there: annealed importance sampling then walks in these alone and sums v, h_2, … out
        analytically, which is less noisy where v and h_2 are the larger side (its base needs the mean of h_1 as
        ``data_mean``). The weights between layers that are no neighbours are zeros (from three hidden layers on).
        """
        if visible not in ("odd", "even"):
            raise SettingError(f"visible is {visible!r}; expected 'odd' or 'even'")
        even, odd = self.sides()
        rows = [torch.cat([self._between(i, j) for j in odd], 1) for i in even]
        W = torch.cat(rows, 0)
        first, second = (odd, even) if visible == "odd" else (even, odd)
        rbm = RBM(self._joined(first), self._joined(second), dtype=W.dtype).to(W.device)
        rbm.W.copy_(W.T if visible == "odd" else W)
        rbm.b.copy_(torch.cat([self.b[k] for k in first]))
        rbm.c.copy_(torch.cat([self.b[k] for k in second]))
        return rbm

    def sides(self) -> tuple[range, range]:
        """Numbers of the even and of the odd layers: given one side, the units of the other are independent."""
        return range(0, self.depth + 1, 2), range(1, self.depth + 1, 2)

    def _between(self, even: int, odd: int) -> Tensor:
        """Weights (n_even, n_odd) between two layers; zeros unless they are neighbours."""
        if odd == even + 1:
            return self.W[even]
        if odd == even - 1:
            return self.W[odd].T
        return self.W[0].new_zeros(self.sizes[even], self.sizes[odd])

    def _joined(self, numbers: range) -> Family:
        families = [self.units[k] for k in numbers]
        return families[0] if len(families) == 1 else Concatenated(families)  # type: ignore[return-value, arg-type]

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this machine again; the arrays are the state dict."""
        return {"class": "DBM", "visible": self.visible.spec(), "hidden": list(self.sizes[1:])}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> DBM:
        """The machine that `spec` describes; ``build`` makes its visible family."""
        return cls(build(spec["visible"]), *spec["hidden"])

    def check_width(self, v: Tensor) -> None:
        """Raise `DataError` where ``v`` cannot be values of the visible units."""
        if v.shape[-1] != self.n_visible:
            raise DataError(
                f"visible values have shape {tuple(v.shape)}; expected (..., {self.n_visible}): this machine has "
                f"{self.n_visible} visible units"
            )
