"""How the run was made: choice of method, settings, versions, seed, time and memory."""

from collections.abc import Mapping
from typing import Any

from lamina.report.elements import Column, element, paragraph, section, table, text
from lamina.report.quantities import duration, is_number, percent, percent_decimals, seconds
from lamina.report.records import Records


def choice_section(records: Records) -> str:
    """Methods that were tried on the labelled rows alone, the chosen one emphasised."""
    choice = records.part("choice")
    if not choice:
        return ""
    decimals = percent_decimals(tried.get("cv_error") for tried in choice)
    rows = [
        [
            text(tried["name"]),
            text(percent(tried.get("cv_error"), decimals)),
            "chosen" if tried.get("chosen") else "",
        ]
        for tried in choice
    ]
    chosen = [place for place, tried in enumerate(choice) if tried.get("chosen")]
    words = "Which way to use the unlabelled rows was decided by cross-validation on the labelled training rows alone."
    columns = [Column("method"), Column("cross-validated error, %", True), Column("")]
    body = table(columns, rows, emphasised=chosen, caption="Methods tried", class_="narrow")
    return section("choice", "How the method was chosen", paragraph(words, "lead"), body)


def time_section(records: Records) -> str:
    """Seconds of every stage with bars, their sum, and peak memory."""
    timing = records.part("timing")
    peak = records.part("memory").get("peak_mb")
    memory = paragraph(f"Peak memory: {peak:,.0f} MB.", "lead") if is_number(peak) else ""
    if not timing:
        return section("time", "Time and memory", memory)
    known = [stage["seconds"] for stage in timing if is_number(stage.get("seconds"))]
    longest = max([*known, 1e-9])
    rows = []
    for stage in timing:
        share = 100 * stage["seconds"] / longest if is_number(stage.get("seconds")) else 0
        bar = element("span", class_="bar", style=f"width:{max(share, 0):.1f}%")
        rows.append([text(stage["stage"]), text(seconds(stage.get("seconds"))), element("span", bar, class_="track")])
    columns = [Column("stage"), Column("seconds", True), Column("")]
    words = paragraph(f"All stages together: {duration(sum(known))}.", "lead")
    return section(
        "time",
        "Time and memory",
        words,
        memory,
        table(columns, rows, caption="Time of each stage", class_="times"),
    )


def settings_section(records: Records) -> str:
    """Settings, versions and seed: what is needed to run it again."""
    rows = flattened(records.part("settings"))
    if "seed" in records.document:
        rows = [("seed", records.document["seed"]), *[row for row in rows if row[0] != "seed"]]
    environment = flattened(records.part("environment"))
    if records.document.get("lamina"):
        environment = [
            ("lamina", records.document["lamina"]),
            *[row for row in environment if row[0] != "lamina"],
        ]
    tables = "".join(
        _pairs(title, pairs) for title, pairs in (("Settings", rows), ("Environment", environment)) if pairs
    )
    return section("settings", "Settings and versions", element("div", tables, class_="beside") if tables else "")


def flattened(nested: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """{"a": {"b": 1}} → [("a · b", 1)], in the order given."""
    rows: list[tuple[str, Any]] = []
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            rows.extend(flattened(value, f"{prefix}{name} · "))
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def _pairs(title: str, rows: list[tuple[str, Any]]) -> str:
    cells = [[text(name), text(value_words(value))] for name, value in rows]
    return table([Column("name"), Column("value")], cells, caption=title, class_="pairs")


def value_words(value: Any) -> str:
    """A setting as a reader writes it: yes and no, lists with commas, floats without a tail of digits."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(value_words(entry) for entry in value) or "none"
    return str(value) if value != {} else "none"
