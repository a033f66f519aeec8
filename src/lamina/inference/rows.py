"""Rows of data as a model takes them: checked, in its type and on its device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.checks import check_matrix
from lamina.units import Concatenated, Family, Gaussian

ROWS_AT_ONCE = 1000


def as_rows(model: Any, data: Any, name: str = "the data") -> Tensor:
    """Rows (n, n_visible) of ``data`` in the model's type and device; `DataError` where they do not fit its units."""
    parameter = next(model.parameters())
    array = data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data)
    family = getattr(model, "visible", None)
    check_matrix(array, name=name, n_features=getattr(model, "n_visible", None))
    for part, columns in leaves(family) if isinstance(family, Family) else ():
        if isinstance(part, Gaussian):
            continue  # its check is of the scale of a whole data set; a row of any scale has a density
        part.check(array[:, columns], name)
    return (data.detach() if isinstance(data, Tensor) else torch.as_tensor(np.array(array))).to(parameter)


def leaves(family: Family, offset: int = 0) -> Iterator[tuple[Family, slice]]:
    """The families that are no concatenation, each with its columns."""
    if not isinstance(family, Concatenated):
        yield family, slice(offset, offset + family.n)
        return
    for part, columns in zip(family.parts, family.slices, strict=True):
        yield from leaves(part, offset + columns.start)
