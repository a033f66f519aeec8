"""What the doctor is shown of one stage of training: curves, health, settings, how it ended, and facts of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamina.core.errors import DataError
from lamina.training import History

Health = Mapping[str, Sequence[float]]
_UNSUPERVISED = ("reconstruction", "free-energy", "energy", "objective", "bound", "likelihood")


@dataclass(frozen=True)
class Case:
    """One stage. ``series``: measure → one value per epoch, None where it was not taken; ``health``: per epoch, as
    `lamina.training.health` names it, and ``start`` before the first step; ``settings`` as `History.settings`;
    ``facts`` as `lamina.studies.facts` names them. Everything but ``series`` may be empty."""

    stage: str
    series: Mapping[str, Sequence[float | None]]
    health: Sequence[Health] = ()
    start: Health = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    stopped: str = ""
    best_epoch: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""

    @property
    def epochs(self) -> int:
        """Number of epochs that ended."""
        return max((len(values) for values in self.series.values()), default=0)

    @property
    def supervised(self) -> bool:
        """Whether labels or targets were learnt: curves of reconstructions and energies are not."""
        if "training error" in self.series or "validation error" in self.series:
            return True
        return self.kind != "pretrain" and not any(word in name for name in self.series for word in _UNSUPERVISED)

    def values(self, name: str) -> list[float]:
        """The finite values of a measure, in order; empty where it was never taken."""
        return [float(v) for v in self.series.get(name, ()) if v is not None and is_finite(v)]

    def broken(self) -> bool:
        """Whether numbers left the finite range: the run says so, or a value is neither missing at all nor finite."""
        lost = any(isinstance(v, float) and not math.isfinite(v) for values in self.series.values() for v in values)
        return self.stopped.startswith("diverged") or lost

    def at_end(self, name: str) -> list[float]:
        """Health measure ``name`` per layer after the last epoch."""
        return numbers(self.health[-1].get(name, ())) if self.health else []

    def at_start(self, name: str) -> list[float]:
        """Health measure ``name`` per layer before the first step."""
        return numbers(self.start.get(name, ()))


def is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def numbers(values: Any) -> list[float]:
    """The values as floats, NaN for what is no number (JSON keeps infinity as null)."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    return [float(v) if is_finite(v) else math.nan for v in values]


def case_of_history(history: History, stage: str = "training", facts: Mapping[str, Any] | None = None) -> Case:
    """The case of what `lamina.fit` returned, or of ``error.history`` where it diverged."""
    return Case(
        stage=stage,
        series={name: history[name] for name in history.names},
        health=[record.health for record in history if record.health],
        start=history.start,
        settings=history.settings,
        stopped=history.stopped,
        best_epoch=history.best_epoch,
        facts=dict(facts or {}),
    )


def case_of_lines(stage: str, lines: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> Case:
    """The case of one stage's lines of ``metrics.jsonl``: one per epoch, and one that says how it began and ended."""
    found: dict[str, Any] = {"stopped": "", "settings": {}, "start": {}, "best_epoch": None, "kind": ""}
    epochs = _latest([line for line in lines if is_finite(line.get("epoch"))])
    for line in lines:
        found |= {name: line[name] for name in found if line.get(name) is not None}
    known = ("stage", "epoch", "step", "seconds", "health", *found)
    names = list(dict.fromkeys(name for line in epochs for name in line if name not in known))
    series = {name: [_number(line.get(name), name, stage) for line in epochs] for name in names}
    health = [line["health"] for line in epochs if isinstance(line.get("health"), dict) and line["health"]]
    return Case(stage=stage, series=series, health=health, facts=dict(facts), **found)


def _latest(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One line per epoch: a run that went on from a checkpoint, or began anew, has written some epochs twice."""
    found: list[Mapping[str, Any]] = []
    for line in lines:
        while found and found[-1]["epoch"] >= line["epoch"]:
            found.pop()
        found.append(line)
    return found


def _number(value: Any, name: str, stage: str) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise DataError(f"{name!r} of stage {stage!r} holds {value!r}; expected numbers: the file was altered")
