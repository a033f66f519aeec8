"""What the doctor found: for each sick stage its findings with evidence, remedy and the options to change."""

from collections.abc import Mapping, Sequence
from typing import Any

from lamina.report.elements import element, paragraph, section, text
from lamina.report.quantities import counted
from lamina.report.records import Records

_MOST_STAGES = 8
_MOST_FINDINGS = 3  # of a stage: what comes after is seldom more than an effect of these

Part = Mapping[str, Any]


def diagnosis_section(records: Records) -> str:
    """Nothing where no diagnosis was kept; one sentence where all is well."""
    stages = [stage for stage in records.part("diagnosis").get("stages", []) if isinstance(stage, dict)]
    if not stages:
        return ""
    sick = [stage for stage in stages if stage.get("findings")]
    shown = sorted(sick, key=lambda stage: -_score(stage["findings"][0]))[:_MOST_STAGES]
    cards = "".join(_card(stage) for stage in shown)
    return section("diagnosis", "Diagnosis", paragraph(_lead(stages, sick, shown), "lead"), cards)


def _lead(stages: Sequence[Part], sick: Sequence[Part], shown: Sequence[Part]) -> str:
    well = sum(stage.get("verdict") == "healthy" for stage in stages)
    words = [f"The curves of {counted(len(stages), 'stage')} of training were read."]
    if not sick:
        rest = len(stages) - well
        words.append("Nothing wrong was seen." if well else "They are too short to go by.")
        words += [f"{counted(rest, 'stage')} had too few epochs to go by."] if well and rest else []
        return " ".join(words)
    words.append("Most likely first; a score of ½ is just beyond what a healthy run shows, 1 far beyond.")
    words += [f"{counted(well, 'stage')} looked healthy."] if well else []
    words += [f"The {len(shown)} clearest of {len(sick)} are shown."] if len(shown) < len(sick) else []
    return " ".join(words)


def _card(stage: Part) -> str:
    findings = [_finding(finding) for finding in stage["findings"][:_MOST_FINDINGS]]
    return element("div", element("h3", text(stage.get("name", "training"))), *findings, class_="sick")


def _finding(finding: Part) -> str:
    because = f"an effect of {finding['because']}" if finding.get("because") else f"score {_score(finding):.2f}"
    title = element("p", element("b", text(finding.get("name", ""))), element("span", text(because), class_="kind"))
    evidence = "".join(element("li", text(words)) for words in finding.get("evidence", []))
    options = [_option(option) for option in finding.get("options", []) if isinstance(option, dict)]
    change = element("p", "Change: ", ", ".join(o for o in options if o), class_="change") if any(options) else ""
    return element(
        "div",
        title,
        element("ul", evidence) if evidence else "",
        paragraph(str(finding.get("remedy", ""))),
        change,
        class_="finding effect" if finding.get("because") else "finding",
    )


def _option(option: Part) -> str:
    """The command line's name and Python's, as far as there are any."""
    names = [element("code", text(option[key])) for key in ("command", "python") if option.get(key)]
    return " or ".join(names)


def _score(finding: Part) -> float:
    score = finding.get("score")
    return float(score) if isinstance(score, (int, float)) else 0.0
