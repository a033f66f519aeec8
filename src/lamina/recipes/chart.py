"""The curves of a recipe's stages, appended to ``metrics.jsonl`` of its run folder as they are trained."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lamina.core.storage import plain
from lamina.studies.recorder import epoch_line
from lamina.training import EpochRecord
from lamina.training.distributed import world


class Chart:
    """A callback of the loop. A stage that is resumed writes epochs again: whoever reads takes the later line."""

    def __init__(self, path: Path, stage: str) -> None:
        self.path, self.stage = path, stage

    def on_start(self, epochs: int, done: int) -> None:
        """Cut off a last line that a killed run left unfinished."""
        if world().rank == 0 and self.path.is_file():
            written = self.path.read_bytes()
            whole = written.rfind(b"\n") + 1
            if whole < len(written):
                os.truncate(self.path, whole)

    def on_epoch(self, record: EpochRecord, epochs: int) -> None:
        if world().rank == 0:
            line = json.dumps(plain(epoch_line(self.stage, record)), allow_nan=False)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
