"""Progress on a stream: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import Any, TextIO

from lamina.training.history import EpochRecord


class Progress:
    """Callback of the loop that shows epochs and measures on ``stream`` (standard error, as the command line asks)."""

    def __init__(self, stream: TextIO, title: str, every_seconds: float = 5.0) -> None:
        self.stream, self.title, self.every = stream, title, every_seconds
        self._bar: Any = None
        self._silent_for = 0.0

    def on_start(self, epochs: int, done: int) -> None:
        if self.stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=epochs, initial=done, desc=self.title, file=self.stream, unit="epoch", leave=True)

    def on_epoch(self, record: EpochRecord, epochs: int) -> None:
        text = ", ".join(f"{name} {value:.4g}" for name, value in list(record.measures.items())[:3])
        if self._bar is not None:
            self._bar.set_postfix_str(text)
            self._bar.update(1)
            return
        self._silent_for += record.seconds
        if self._silent_for >= self.every or record.epoch == epochs:
            self._silent_for = 0.0
            self.stream.write(f"{self.title}: epoch {record.epoch}/{epochs}, {text}, {record.seconds:.1f} s\n")
            self.stream.flush()

    def on_end(self) -> None:
        if self._bar is not None:
            self._bar.close()
