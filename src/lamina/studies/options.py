"""What every study asks of the options that all studies share: one place for their limits."""

from __future__ import annotations

from typing import Any

from lamina.core.checks import check_number
from lamina.core.errors import SettingError


def check_shared(options: Any) -> None:
    """Raise `SettingError` where ``constant``, ``seed``, ``labels``, ``hidden`` or ``epochs`` is outside its limits."""
    if options.constant not in ("refuse", "keep"):
        raise SettingError(f"--constant is {options.constant!r}; expected refuse or keep")
    check_number("--seed", options.seed, low=0, integer=True)
    if options.labels != "all":
        check_number("--labels", options.labels, low=1, integer=True)
    for size in options.hidden or ():
        check_number("--hidden", size, low=1, integer=True)
    if options.epochs is not None:
        check_number("--epochs", options.epochs, low=1, integer=True)
