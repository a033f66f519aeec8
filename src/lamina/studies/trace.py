"""The likelihood as it grows: a callback of the loop that estimates it every few epochs, and remembers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lamina.core.storage import read_json, write_json

POINTS = 8  # estimates over a whole training


class Trace:
    """Calls ``estimate()`` after about `POINTS` of the epochs, the last one among them, and keeps the values by epoch.

    They are kept in ``path`` at once: a run that was killed goes on with what it had.
    """

    def __init__(self, path: Path, estimate: Callable[[], float | None]) -> None:
        self.path, self.estimate = path, estimate
        found: dict[str, float] = read_json(path) if path.is_file() else {}
        self.values: dict[int, float] = {int(epoch): value for epoch, value in found.items()}

    def on_epoch(self, record: Any, epochs: int) -> None:
        """What the loop calls after each epoch."""
        every = max(1, epochs // POINTS)
        if record.epoch in self.values or (record.epoch % every and record.epoch != epochs):
            return
        value = self.estimate()
        if value is not None:
            self.values[record.epoch] = value
            write_json(self.path, {str(epoch): known for epoch, known in sorted(self.values.items())})
