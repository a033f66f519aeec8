"""How long a run has taken, over all the parts into which stops have cut it."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

from lamina.core.storage import read_json, write_json

SAVE_EVERY = 5.0  # seconds between writes: what a kill at a bad moment loses at most, between two ticks


class Clock:
    """Wall seconds of a run, kept in ``path``; a run that was killed counts on from its last `tick`.

    It is a callback of the loop too, and ticks after each epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = float(read_json(path)["seconds"]) if path.is_file() else 0.0
        self._began = monotonic()
        self._saved = self._began

    @property
    def seconds(self) -> float:
        """Seconds so far, earlier parts of the run included."""
        return self._before + monotonic() - self._began

    def tick(self) -> None:
        """Keep the time so far, if the last time is `SAVE_EVERY` seconds ago."""
        if monotonic() - self._saved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Keep the time so far."""
        self._saved = monotonic()
        write_json(self.path, {"seconds": self.seconds})

    def on_epoch(self, record: Any, epochs: int) -> None:
        """What the loop calls after each epoch."""
        self.tick()
