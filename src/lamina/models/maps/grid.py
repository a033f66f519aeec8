"""Grids that the units of a map stand on: where each stands, how far apart two are, and which touch.

Unit k of a grid of R rows and C columns stands in row ⌊k/C⌋ and column k mod C. Neighbours are 1 apart.

rectangular   at (column, row): a unit touches up to 8 others (a king's moves), 4 of them at distance 1
hexagonal     odd rows are moved by half a unit and rows lie √3/2 apart: a unit touches up to 6 others, all at distance
              1. In axial coordinates q = column − ⌊row/2⌋, r = row the distance is √(Δq² + Δq Δr + Δr²)    (eq. 220)
toroidal      the last row touches the first and the last column the first: the smallest of the distances to the nine
              copies of the grid. On a hexagonal torus the number of rows is even, or its seam would not fit

Source: T. Kohonen (1982), Self-organized formation of topologically correct feature maps; (2013), Essentials of the
self-organizing map.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import SettingError

TOPOLOGIES = ("rectangular", "hexagonal")
ROW_HEIGHT = sqrt(3) / 2  # between rows of a hexagonal grid
REACH = {"rectangular": sqrt(2), "hexagonal": 1.0}  # up to this distance units touch


def check_grid(rows: int, columns: int, topology: str, toroidal: bool) -> None:
    """Raise `SettingError` for what is no grid."""
    check_number("rows", rows, low=1, integer=True)
    check_number("columns", columns, low=1, integer=True)
    if topology not in TOPOLOGIES:
        raise SettingError(f"topology is {topology!r}; expected rectangular or hexagonal")
    if not isinstance(toroidal, bool):
        raise SettingError(f"toroidal is {toroidal!r}; expected True or False")
    if toroidal and topology == "hexagonal" and rows % 2:
        raise SettingError(f"a hexagonal torus of {rows} rows does not close; expected an even number of rows")


def grid_places(rows: int, columns: int, topology: str = "rectangular") -> Tensor:
    """Places (rows · columns, 2) float64 of the units, (x, y), in units of the distance between neighbours."""
    row, column = _rows_and_columns(rows, columns)
    if topology == "hexagonal":
        return torch.stack([column + (row % 2) / 2, row * ROW_HEIGHT], 1)
    return torch.stack([column, row], 1)


def grid_distances(rows: int, columns: int, topology: str = "rectangular", toroidal: bool = False) -> Tensor:
    """Distances (units, units) float64 between all units of a grid."""
    check_grid(rows, columns, topology, toroidal)
    row, column = _rows_and_columns(rows, columns)
    if topology == "hexagonal":
        column = column - (row // 2)  # axial
    down, right = row[:, None] - row, column[:, None] - column
    if not toroidal:
        return _length(down, right, topology)
    tilt = rows // 2 if topology == "hexagonal" else 0  # a step of all rows is a step of so many columns back
    found = _length(down, right, topology)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            found = torch.minimum(found, _length(down + i * rows, right + j * columns - i * tilt, topology))
    return found


def touching(distances: Tensor, topology: str) -> Tensor:
    """Which units touch, (units, units) bool, for their `grid_distances`; no unit touches itself."""
    return (distances > 0) & (distances <= REACH[topology] + 1e-6)


def _rows_and_columns(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    unit = torch.arange(rows * columns)
    return (unit // columns).double(), (unit % columns).double()


def _length(down: Tensor, right: Tensor, topology: str) -> Tensor:
    cross = down * right if topology == "hexagonal" else 0.0
    return (down**2 + cross + right**2).sqrt()
