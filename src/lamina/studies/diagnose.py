"""The doctor: reads what a training run left behind and says what is wrong, on what evidence, and what to change.

The source is a `History` (of `lamina.fit`, or ``error.history`` of a `DivergenceError`), or the folder of a run
(``lamina learn``, ``compare``, ``reproduce``). Curves alone tell overfitting and diverging; with ``fit(health=True)``
the inside of the network speaks, with `data_facts` the data too. What is missing is not asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lamina.core.errors import FileFormatError, RunFolderError, SettingError
from lamina.core.storage import plain, read_json
from lamina.studies.case import Case, case_of_history, case_of_lines
from lamina.studies.remedies import Option, remedy_of
from lamina.studies.sickness import Seen, ask, causes_of
from lamina.studies.symptoms import Symptoms, read_symptoms
from lamina.training import History

EFFECT = 0.5  # what the score of an effect is multiplied by, per cause that was found
METRICS = "metrics.jsonl"
HEALTHY = "healthy"
TOO_LITTLE = "too little to go by"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its ``name``, in which ``stage``, the ``evidence`` (sentences with numbers), the
    ``remedy`` and the ``options`` to change, a ``score`` in (0, 1), and ``because``, a cause found beside it, or ""."""

    name: str
    stage: str
    evidence: tuple[str, ...]
    remedy: str
    options: tuple[Option, ...]
    score: float
    because: str = ""


@dataclass(frozen=True)
class Stage:
    """One call of the loop: its ``findings``, the likeliest first, and the ``symptoms`` that were read."""

    name: str
    findings: tuple[Finding, ...]
    symptoms: Symptoms

    @property
    def verdict(self) -> str:
        """The first finding's name, "healthy", or "too little to go by" where no curve has two values."""
        if self.findings:
            return self.findings[0].name
        return HEALTHY if self.symptoms.get("epochs", 0) >= 2 and "loss" in self.symptoms else TOO_LITTLE


@dataclass(frozen=True)
class Diagnosis:
    """All stages in order."""

    stages: tuple[Stage, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of all stages, the likeliest first."""
        return tuple(sorted((f for stage in self.stages for f in stage.findings), key=lambda f: -f.score))

    @property
    def verdict(self) -> str:
        """The likeliest finding's name; "healthy" where at least one stage could be judged and none is sick."""
        if self.findings:
            return self.findings[0].name
        return HEALTHY if any(stage.verdict == HEALTHY for stage in self.stages) else TOO_LITTLE

    def to_dict(self) -> dict:
        """As JSON keeps it, and as the part ``diagnosis`` of a run's records holds it."""
        stages = [
            {"name": s.name, "verdict": s.verdict, "findings": [asdict(f) for f in s.findings], "symptoms": s.symptoms}
            for s in self.stages
        ]
        return plain({"verdict": self.verdict, "stages": stages})  # type: ignore[no-any-return]


def diagnose(*sources: History | Case | str | Path, facts: Mapping[str, Any] | None = None) -> Diagnosis:
    """What is wrong with ``sources``: histories, or folders of runs.

    ``facts`` of `lamina.studies.facts` apply to all of them; the folder of a run brings its own. Raises
    `RunFolderError` and `FileFormatError` where a folder cannot be read, `SettingError` for anything else.
    """
    if not sources:
        raise SettingError("nothing to diagnose; expected a History or the folder of a run")
    cases: list[Case] = []
    for source in sources:
        if isinstance(source, History):
            name = "training" if len(sources) == 1 else f"training {len(cases) + 1}"
            cases.append(case_of_history(source, name, facts))
        elif isinstance(source, Case):
            cases.append(source)
        elif isinstance(source, (str, Path)):
            cases += cases_of_run(source, facts)
        else:
            raise SettingError(
                f"diagnose was given a {type(source).__name__}; expected a History of lamina.fit or a run folder"
            )
    return Diagnosis(tuple(map(examine, cases)))


def examine(case: Case) -> Stage:
    """One stage: symptoms, questions, and the findings ranked by score."""
    symptoms = read_symptoms(case)
    found = ask(symptoms, case)
    findings = [_finding(name, seen, found, case) for name, seen in found.items()]
    return Stage(case.stage, tuple(sorted(findings, key=lambda f: -f.score)), symptoms)


def _finding(name: str, seen: Seen, found: dict[str, Seen], case: Case) -> Finding:
    causes = causes_of(name, found)
    remedy = remedy_of(name, supervised=case.supervised, looked=bool(case.health))
    score = _score(seen.strength) * EFFECT ** len(causes)
    return Finding(name, case.stage, seen.evidence, remedy.words, remedy.options, score, causes[0] if causes else "")


def _score(strength: float) -> float:
    """½ at the threshold, towards 1 far beyond it: 1 − ½/√strength."""
    return 1 - 0.5 / math.sqrt(max(1.0, strength))


def diagnosis_of(
    histories: Sequence[tuple[str, str, History]], facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The part ``diagnosis`` of a run's records, from its recorder's (stage, kind, history); {} without any."""
    cases = [replace(case_of_history(history, stage, facts), kind=kind) for stage, kind, history in histories]
    return diagnose(*cases).to_dict() if cases else {}


# run folders ---------------------------------------------------------------------------------------------------------


def cases_of_run(run: str | Path, facts: Mapping[str, Any] | None = None) -> list[Case]:
    """The stages that the folder ``run`` holds: those of ``metrics.jsonl``, else the curves of ``records.json``."""
    folder = Path(run)
    if not folder.is_dir():
        given = "is not a folder" if folder.exists() else "does not exist"
        raise RunFolderError(f"run folder {str(folder)!r} {given}: give the folder that a run was saved to")
    document = _records(folder)
    known = {**_mapping(document.get("facts")), **(facts or {})}
    lines = read_metrics(folder / METRICS) if (folder / METRICS).is_file() else []
    if lines:
        stages = list(dict.fromkeys(str(line.get("stage", "training")) for line in lines))
        own = {stage: [line for line in lines if str(line.get("stage", "training")) == stage] for stage in stages}
        return [case_of_lines(stage, own[stage], _facts_of(known, stage)) for stage in stages]
    curves = document.get("curves") or []
    if not curves:
        raise RunFolderError(
            f"{str(folder)!r} holds no curves (neither {METRICS} nor records.json with any); expected a run of 'lamina "
            f"learn', 'compare' or 'reproduce' that has trained something"
        )
    return [_case_of_curve(curve, known, folder) for curve in curves]


def _records(folder: Path) -> dict:
    if not (folder / "records.json").is_file():
        return {}
    return _mapping(read_json(folder / "records.json"))


def _mapping(value: Any) -> dict:
    return dict(value) if isinstance(value, Mapping) else {}


def _facts_of(facts: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Facts that all stages share, and those of ``stage`` alone (under ``stages``)."""
    shared = {name: value for name, value in facts.items() if name != "stages"}
    return {**shared, **_mapping(_mapping(facts.get("stages")).get(stage))}


def _case_of_curve(curve: Any, facts: Mapping[str, Any], folder: Path) -> Case:
    if not isinstance(curve, dict) or not isinstance(curve.get("series"), dict):
        raise FileFormatError(f"{str(folder / 'records.json')!r} holds a curve without series: it was altered")
    stage = str(curve.get("name", "training"))
    epochs = [int(e) for e in curve.get("epochs", ())]
    lines: list[dict] = [
        {"epoch": e, **{n: v[k] for n, v in curve["series"].items() if k < len(v)}} for k, e in enumerate(epochs)
    ]
    return case_of_lines(stage, [*lines, {"kind": curve.get("kind") or ""}], _facts_of(facts, stage))


def read_metrics(path: Path) -> list[dict]:
    """The lines of ``metrics.jsonl``. A last line that was cut short (a run that was killed) is left out; any other
    line that is no JSON object is a `FileFormatError`."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{str(path)!r} cannot be read ({error}): it was altered; restore it") from None
    found: list[dict] = []
    for number, line in enumerate(lines, start=1):
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if isinstance(document, dict):
            found.append(document)
        elif number < len(lines) or not found:
            raise FileFormatError(
                f"{str(path)!r}: line {number} is no JSON object: it was cut short or altered; run again"
            )
    return found
