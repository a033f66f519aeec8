"""Units that hold a prototype each, a point among the rows; the one nearest to a row wins it.

distance    d_j(x) = ‖x − w_j‖
winner      c(x) = argmin_j ‖x − w_j‖² = argmax_j (x · w_j − ½ ‖w_j‖²)                                  (eq. 221)

so that the winners of many rows cost one product of matrices. Of prototypes that tie the first wins.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random

AT_ONCE = 1 << 24  # distances that are held at once: rows go through in pieces


class Prototypes(nn.Module):
    """``n_units`` prototypes, ``weights`` (n_units, n_visible), drawn from a normal distribution of deviation 0.1."""

    def __init__(
        self, n_visible: int, n_units: int, *, dtype: torch.dtype = torch.float32, random_state: int | Random = 0
    ) -> None:
        super().__init__()
        check_number("n_visible", n_visible, low=1, integer=True)
        check_number("n_units", n_units, low=1, integer=True)
        random = as_random(random_state).child("prototypes")
        self.weights = nn.Parameter(0.1 * random.normal((int(n_units), int(n_visible)), dtype))

    @property
    def n_visible(self) -> int:
        return self.weights.shape[1]

    @property
    def n_units(self) -> int:
        return self.weights.shape[0]

    def check_rows(self, x: Tensor, name: str = "the data") -> None:
        """Raise `DataError` unless ``x`` holds rows (n_rows, n_visible)."""
        if x.dim() != 2 or x.shape[1] != self.n_visible:
            raise DataError(
                f"{name} have shape {tuple(x.shape)}; expected (rows, {self.n_visible}): one column per input"
            )

    @torch.no_grad()
    def nearness(self, x: Tensor) -> Tensor:
        """x · w_j − ½ ‖w_j‖², largest for the winner: (n, n_visible) → (n, n_units). ‖x − w_j‖² = ‖x‖² − 2 nearness."""
        return torch.addmm((self.weights**2).sum(1), x, self.weights.T, beta=-0.5)

    @torch.no_grad()
    def distances(self, x: Tensor) -> Tensor:
        """‖x − w_j‖: (n, n_visible) → (n, n_units)."""
        self.check_rows(x)
        return torch.cdist(x, self.weights, compute_mode="donot_use_mm_for_euclid_dist")

    @torch.no_grad()
    def winners(self, x: Tensor) -> Tensor:
        """The unit nearest to each row: (n, n_visible) → (n,) int64."""
        self.check_rows(x)
        return torch.cat([self.nearness(part).argmax(1) for part in self._parts(x)])

    @torch.no_grad()
    def nearest(self, x: Tensor, k: int = 2) -> Tensor:
        """The ``k`` units nearest to each row, the nearest first: (n, n_visible) → (n, k) int64."""
        self.check_rows(x)
        check_number("k", k, low=1, high=self.n_units, integer=True)
        return torch.cat([self.nearness(part).topk(k, dim=1).indices for part in self._parts(x)])

    @torch.no_grad()
    def errors(self, x: Tensor) -> Tensor:
        """‖x − w_c‖ of each row to its winner: (n, n_visible) → (n,)."""
        return torch.linalg.vector_norm(x - self.weights[self.winners(x)], dim=1)

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        return x.split(max(1, AT_ONCE // self.n_units)) if len(x) else (x,)
