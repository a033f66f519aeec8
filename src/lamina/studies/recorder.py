"""Curves of everything that was trained in a study, and ``metrics.jsonl``, one line per epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from lamina.core.storage import plain, write_bytes
from lamina.training import EpochRecord, History

Listener = Callable[[str], Any]


class Recorder:
    """Keeps histories by stage, times stages, and hands the loop its callbacks."""

    def __init__(self, folder: Path | None, listener: Listener | None = None) -> None:
        self.folder, self.listener = folder, listener
        self.curves: list[dict] = []
        self.timing: list[dict] = []
        self.title = ""  # of the call of the loop that was begun last
        self._lines: list[str] = []

    def callbacks(self, title: str) -> list[Any]:
        """Callbacks for one call of the loop: the user's progress display, if any."""
        self.title = title
        return [] if self.listener is None else [self.listener(title)]

    def add(self, stage: str, kind: str, history: History) -> None:
        """Keep ``history`` as a curve of the report and as lines of ``metrics.jsonl``."""
        series = {name: history[name] for name in history.names}
        self.curves.append({"name": stage, "kind": kind, "epochs": [r.epoch for r in history], "series": series})
        self._lines += [_line(stage, record) for record in history]
        if self.folder is not None:
            write_bytes(self.folder / "metrics.jsonl", "".join(self._lines).encode())

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note the wall time of a stage, in seconds."""
        began = perf_counter()
        yield
        self.timing.append({"stage": stage, "seconds": perf_counter() - began})


def _line(stage: str, record: EpochRecord) -> str:
    document = {"stage": stage, "epoch": record.epoch, "step": record.step, "seconds": record.seconds}
    return json.dumps(plain({**document, **record.measures}), allow_nan=False) + "\n"
