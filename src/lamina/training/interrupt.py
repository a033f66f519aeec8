"""Ctrl-C between steps: the signal is noted, the step is finished, the loop saves and stops."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interruptible:
    """A context in which Ctrl-C only sets ``asked``; a second Ctrl-C acts at once. In threads it changes nothing."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None
        self._ours = False

    def __enter__(self) -> Interruptible:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
            self._ours = True
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *exception: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)
