"""A recipe that takes no time, for tests of the framework, the page and the command line."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from lamina.models import RBM
from lamina.recipes import Context, Images, Lines, Measured, Outcome, catalogue

NAME = "demo1985_machine"
FIGURES = [
    Images("Chains", np.linspace(0, 1, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5), ("first <row>", "second"), note="A note."),
    Lines("Likelihood", "epoch", "nats", {"one": ([1, 2, 3], [-3.0, -2.0, float("nan")], [0.1, 0.2, 0.3])}),
    Lines("Error", "n", "|error|", {"a": ([1, 10], [1.0, 0.1]), "b": ([1, 10], [2.0, 0.4])}, log_x=True, log_y=True),
    Images("Filters", np.random.default_rng(0).normal(size=(6, 4, 4)), signed=True),
]
RESULTS = [
    Measured("likelihood", -86.2, 0.31, unit="nats"),
    Measured("error", 1.25, published=1.2, unit="%", higher_is_better=False, note="three epochs"),
]


class Demo:
    """The recipe, and a count of how often each part was made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.stop_at = ""

    def _make(self, what: str, value):
        if what == self.stop_at:
            raise KeyboardInterrupt
        self.made.append(what)
        return value

    def run(self, context: Context) -> Outcome:
        context.say("begun")
        first = context.keep("first part", lambda: self._make("first", {"x": (1.5, float("nan"))}))
        assert first == {"x": [1.5, None]}
        context.model("machine", lambda: self._make("machine", RBM(4, 3)), {"shape": [1, 2, 2]})
        last = context.keep("last", lambda: self._make("last", float(context.seed)))
        notes = [f"seed {last:g}", "quick" if context.quick else "full"]
        return Outcome(RESULTS, ["half the epochs"], [context.seed], FIGURES, notes)


def install(patch: pytest.MonkeyPatch) -> Demo:
    """Put the demonstration into the catalogue, for as long as ``patch`` lasts."""
    demo = Demo()
    module = ModuleType(f"lamina.recipes.{NAME}.recipe", "What is shown\nhere: <nothing>.")
    module.NAME, module.TITLE, module.PAPER, module.run = NAME, "A demonstration", "A. Nobody (1985)", demo.run  # type: ignore[attr-defined]
    patch.setitem(sys.modules, module.__name__, module)
    patch.setattr(catalogue, "NAMES", (NAME, "hopfield1982_capacity"))
    values = [{"what": "likelihood", "published": -86.34, "source": "Table 1", "read": "memory"}]
    documents = {"published.json": {"values": values}}
    patch.setattr(catalogue, "_document", lambda name, file: documents.get(file) if name == NAME else None)
    return demo
