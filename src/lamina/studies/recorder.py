"""Curves of everything that was trained in a study, and ``metrics.jsonl``, one line per epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from lamina.core.errors import DivergenceError
from lamina.core.storage import plain, write_bytes
from lamina.training import EpochRecord, History

Listener = Callable[[str], Any]


class Recorder:
    """Keeps histories by stage, times stages, and hands the loop its callbacks."""

    def __init__(self, folder: Path | None, listener: Listener | None = None) -> None:
        self.folder, self.listener = folder, listener
        self.curves: list[dict] = []
        self.timing: list[dict] = []
        self.histories: list[tuple[str, str, History]] = []  # stage, kind and history of every curve
        self.title = ""  # of the call of the loop that was begun last
        self._lines: list[str] = []

    def callbacks(self, title: str) -> list[Any]:
        """Callbacks for one call of the loop: the user's progress display, if any."""
        self.title = title
        return [] if self.listener is None else [self.listener(title)]

    def add(self, stage: str, kind: str, history: History) -> None:
        """Keep ``history`` as a curve of the report and as lines of ``metrics.jsonl``."""
        self.histories.append((stage, kind, history))
        series = {name: history[name] for name in history.names}
        self.curves.append({"name": stage, "kind": kind, "epochs": [r.epoch for r in history], "series": series})
        self._lines += lines_of(stage, kind, history)
        if self.folder is not None:
            write_bytes(self.folder / "metrics.jsonl", "".join(self._lines).encode())

    def add_diverged(self, error: DivergenceError, kind: str) -> DivergenceError:
        """Keep what came before ``error`` as `add` does, for `lamina.diagnose`; the error to raise, with its stage."""
        if error.history is not None:
            self.add(self.title, kind, error.history)
        return DivergenceError(f"{self.title}: {error}", history=error.history)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note the wall time of a stage, in seconds."""
        began = perf_counter()
        yield
        self.timing.append({"stage": stage, "seconds": perf_counter() - began})


def lines_of(stage: str, kind: str, history: History) -> list[str]:
    """``history`` as lines of ``metrics.jsonl``: one per epoch. The first holds the settings and the health before the
    first step too, the last how training ended; where no epoch ended, one line holds all that."""
    first = {"kind": kind, "settings": history.settings, "start": history.start}
    last = {"stopped": history.stopped, "best_epoch": history.best_epoch}
    epochs = [epoch_line(stage, record) for record in history] or [{"stage": stage}]
    epochs[0] |= {name: value for name, value in first.items() if value}
    epochs[-1] |= {name: value for name, value in last.items() if value not in (None, "epochs done")}
    return [json.dumps(plain(line), allow_nan=False) + "\n" for line in epochs]


def epoch_line(stage: str, record: EpochRecord) -> dict[str, Any]:
    """One epoch as a line of ``metrics.jsonl``."""
    document: dict[str, Any] = {"stage": stage, "epoch": record.epoch, "step": record.step, "seconds": record.seconds}
    health = {"health": record.health} if record.health else {}
    return {**document, **record.measures, **health}
