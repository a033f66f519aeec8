"""Log-likelihood of rows, once log Z is known or estimated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.inference.partition import LogPartition
from lamina.inference.rows import ROWS_AT_ONCE, as_rows


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
