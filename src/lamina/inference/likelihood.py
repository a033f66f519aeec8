"""Log-likelihood of rows, once log Z is known or estimated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.checks import check_matrix
from lamina.core.errors import SettingError
from lamina.inference.partition import LogPartition
from lamina.units import Concatenated, Family, Gaussian

ROWS_AT_ONCE = 1000


def as_rows(model: Any, data: Any) -> Tensor:
    """Rows (n, n_visible) of ``data`` in the model's type and device; `DataError` where they do not fit its units."""
    parameter = next(model.parameters())
    rows = data.detach() if isinstance(data, Tensor) else torch.as_tensor(np.array(data))
    checked = rows.cpu().numpy()
    family = getattr(model, "visible", None)
    if not isinstance(family, Family):
        check_matrix(checked)
        return rows.to(parameter)
    check_matrix(checked, n_features=family.n)
    for part, columns in leaves(family):
        if not isinstance(
            part, Gaussian
        ):  # which checks the scale of a whole data set; a row of any scale has a density
            part.check(checked[:, columns])
    return rows.to(parameter)


def leaves(family: Family, offset: int = 0) -> Iterator[tuple[Family, slice]]:
    """The families that are no concatenation, each with its columns."""
    if not isinstance(family, Concatenated):
        yield family, slice(offset, offset + family.n)
        return
    for part, columns in zip(family.parts, family.slices, strict=True):
        yield from leaves(part, offset + columns.start)


@torch.no_grad()
def log_likelihood(model: Any, data: Any, log_z: float | LogPartition) -> Tensor:
    """log p(v) = −F(v) − log Z of each row, (n,) float64, in nats (natural log of a density for real units).

    ``model`` offers ``free_energy``; ``data`` (n, n_visible) array or tensor; ``log_z`` from `log_partition`. An
    estimate of log Z that is too low makes every row look likelier than it is. Raises `DataError`, `SettingError`.
    """
    if not hasattr(model, "free_energy"):
        raise SettingError(f"{type(model).__name__} has no free_energy, so no likelihood of rows is known here")
    value = log_z.log_z if isinstance(log_z, LogPartition) else log_z
    if not isinstance(value, (int, float, np.floating)) or not math.isfinite(value):
        raise SettingError(f"log_z is {log_z!r}; expected a finite number or what log_partition returns")
    rows = as_rows(model, data)
    parts = [-model.free_energy(chunk).double() - float(value) for chunk in rows.split(ROWS_AT_ONCE)]
    return torch.cat(parts).cpu()
