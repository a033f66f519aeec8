"""The self-organising map: prototypes on a grid, neighbours on the grid alike.

Rows have many columns, the grid has two: the map folds the one onto the other so that rows close together win units
close together. It learns by `lamina.training.self_organising`: a row pulls its winner, and the winner's neighbours with
it (docs/mathematics.md, eq. 222 to 224).

Source: T. Kohonen (1982), Self-organized formation of topologically correct feature maps, Biological Cybernetics 43.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.models.maps.grid import check_grid, grid_distances, grid_places, touching
from lamina.models.maps.prototypes import Prototypes


class SelfOrganisingMap(Prototypes):
    """``rows`` × ``columns`` units on a grid (`lamina.models.maps.grid`), ``weights`` (rows · columns, n_visible).

    ``topology`` is "rectangular" or "hexagonal"; a ``toroidal`` grid has no edge.
    """

    def __init__(
        self,
        n_visible: int,
        rows: int,
        columns: int,
        *,
        topology: str = "rectangular",
        toroidal: bool = False,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random = 0,
    ) -> None:
        check_grid(rows, columns, topology, toroidal)
        super().__init__(n_visible, rows * columns, dtype=dtype, random_state=random_state)
        self.rows, self.columns, self.topology, self.toroidal = int(rows), int(columns), topology, toroidal

    @property
    def places(self) -> Tensor:
        """Where the units stand on the grid: (n_units, 2), neighbours 1 apart."""
        return grid_places(self.rows, self.columns, self.topology).to(self.weights)

    def grid(self) -> Tensor:
        """Distances between units on the grid, worked out anew: (n_units, n_units)."""
        return grid_distances(self.rows, self.columns, self.topology, self.toroidal).to(self.weights)

    def extra_repr(self) -> str:
        wrapped = ", toroidal" if self.toroidal else ""
        return f"{self.n_visible}, {self.rows}, {self.columns}, {self.topology}{wrapped}"

    def neighbours(self) -> Tensor:
        """Which units touch on the grid: (n_units, n_units) bool (8 at most on a rectangular grid, else 6)."""
        return touching(self.grid(), self.topology)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The winner's place on the grid, (x, y): (n, n_visible) → (n, 2)."""
        return self.places[self.winners(x)]

    @torch.no_grad()
    def topographic_error(self, x: Tensor) -> Tensor:
        """Whether a row's two nearest units do not touch on the grid: (n, n_visible) → (n,) of 0 and 1."""
        if self.n_units == 1:
            return x.new_zeros(len(x))
        first, second = self.nearest(x).T
        return (~self.neighbours()[first, second]).to(x.dtype)

    @torch.no_grad()
    def u_matrix(self) -> Tensor:
        """Mean distance of each prototype to those of the units at distance 1 on the grid: (rows, columns).

        Ridges of large values part regions of rows that are alike (Ultsch and Siemon 1990). 0 for a single unit.
        """
        grid = self.grid()
        near = (grid > 0) & (grid <= 1 + 1e-6)
        apart = torch.cdist(self.weights, self.weights, compute_mode="donot_use_mm_for_euclid_dist")
        found = (apart * near).sum(1) / near.sum(1).clamp_min(1)
        return found.view(self.rows, self.columns)

    @torch.no_grad()
    def planes(self) -> Tensor:
        """Component planes: what each column of the data is at every unit, (n_visible, rows, columns)."""
        return self.weights.detach().T.reshape(self.n_visible, self.rows, self.columns)

    @torch.no_grad()
    def hits(self, x: Tensor) -> Tensor:
        """Number of rows that each unit wins: (n, n_visible) → (rows, columns) int64."""
        counts = torch.bincount(self.winners(x), minlength=self.n_units)
        return counts.view(self.rows, self.columns)

    def spec(self) -> dict:
        """What JSON must hold to build this map again; the weights are the state dict."""
        return {
            "class": "SelfOrganisingMap",
            "n_visible": self.n_visible,
            "rows": self.rows,
            "columns": self.columns,
            "topology": self.topology,
            "toroidal": self.toroidal,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> SelfOrganisingMap:
        """The map that `spec` describes."""
        options = {"topology": spec["topology"], "toroidal": spec["toroidal"]}
        return cls(spec["n_visible"], spec["rows"], spec["columns"], **options)
