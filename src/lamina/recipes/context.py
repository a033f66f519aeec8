"""What a recipe is handed: its settings, a folder to work in, and memories of what it has done already.

A recipe that is killed and called again with the same folder goes on: whatever went through `Context.keep` or
`Context.model` is read back, and ``lamina.fit(..., checkpoint=context.stage(name) / "checkpoint")`` resumes itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lamina.core.errors import SettingError
from lamina.core.storage import read_json, write_json
from lamina.recipes.chart import Chart
from lamina.recipes.clock import Clock
from lamina.storage import load, save

Say = Callable[[str], None]
Listener = Callable[[str], Any]


class Context:
    """``folder`` is the run folder, ``quick`` asks for the small version, ``seed`` is the first of the seeds.

    ``say`` takes a line of progress, ``listener(title)`` gives a callback of the loop that shows a progress bar; both
    may be None: then nothing is shown.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        quick: bool = False,
        seed: int = 0,
        device: str | None = None,
        say: Say | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.quick, self.seed, self.device = quick, seed, device
        self.clock = Clock(self.folder / "clock.json")
        self._say, self._listener = say, listener

    def say(self, line: str) -> None:
        """Tell the user how far the recipe has come (the command line writes it to standard error)."""
        self.clock.tick()
        if self._say is not None:
            self._say(line)

    def callbacks(self, title: str) -> list[Any]:
        """Callbacks for one call of ``lamina.fit``: the clock, the curves of the stage ``title`` for `lamina.diagnose`,
        and a progress bar where there is somebody to see it."""
        own = [self.clock, Chart(self.folder / "metrics.jsonl", title)]
        return own if self._listener is None else [*own, self._listener(title)]

    def stage(self, name: str) -> Path:
        """The folder of one stage of the work, made if missing: for checkpoints and models."""
        self.clock.tick()
        folder = self.folder / "stages" / _file_name(name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def keep(self, name: str, make: Callable[[], Any]) -> Any:
        """The JSON value ``name`` (numbers, texts, lists, dicts): made once per run folder, then read back.

        What is returned has been through JSON the first time too (tuples are lists, arrays are lists, NaN is None), so
        that an unbroken run and a resumed one compute with the same values.
        """
        path = self.folder / "memo" / f"{_file_name(name)}.json"
        if not path.is_file():
            write_json(path, make())
            self.clock.tick()
        return read_json(path)

    def model(self, name: str, make: Callable[[], nn.Module], extra: dict | None = None) -> Any:
        """The trained model ``name``: made and saved in its stage once, then loaded; on the context's device.

        ``extra`` is kept beside it for ``lamina sample``: ``{"shape": (1, 28, 28), "classes": [...]}``.
        """
        folder = self.stage(name)
        if not (folder / "model.json").is_file():
            save(make(), folder, extra)
            self.clock.tick()
        model = load(folder)
        return model if self.device is None else model.to(self.device)


def _file_name(name: str) -> str:
    """``name`` with everything but letters, digits, dots and hyphens as hyphens; `SettingError` where nothing is
    left."""
    kept = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")
    if not kept:
        raise SettingError(f"the stage is named {name!r}; expected letters or digits in it")
    return kept
