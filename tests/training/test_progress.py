"""Progress: plain lines where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io

from lamina.training.history import EpochRecord
from lamina.training.progress import Progress


def records(n: int, seconds: float) -> list[EpochRecord]:
    return [EpochRecord(k + 1, 10 * (k + 1), seconds, {"training loss": 0.5}) for k in range(n)]


def told(stream, n, seconds) -> str:
    progress = Progress(stream, "layer 1", every_seconds=5.0)
    progress.on_start(n, 0)
    for record in records(n, seconds):
        progress.on_epoch(record, n)
    progress.on_end()
    return stream.getvalue()


def test_lines_come_every_few_seconds_and_at_the_end():
    lines = told(io.StringIO(), 10, 2.0).splitlines()
    assert [line.split(",")[0] for line in lines] == [f"layer 1: epoch {k}/10" for k in (3, 6, 9, 10)]
    assert "training loss 0.5" in lines[0]


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    text = told(Terminal(), 3, 0.1)
    assert "layer 1" in text
    assert "3/3" in text
