"""Numbers that a run measured, beside the published ones or with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from lamina.report.elements import Column, element, paragraph, section, table, text
from lamina.report.quantities import MISSING, is_number, measure
from lamina.report.records import Records

Row = Mapping[str, Any]

_MEMORY = "ᵐ"


def measured_section(records: Records) -> str:
    """The table of what was measured, with only the columns that hold something."""
    rows = records.part("measured")
    if not rows:
        return ""
    words = _lead(rows)
    return section("results", "Results", paragraph(words, "lead") if words else "", measured_table(rows))


def _lead(rows: Sequence[Row]) -> str:
    words = []
    if any(is_number(row.get("published")) for row in rows):
        words.append("The paper’s numbers beside those measured here.")
    if any(_spread(row) for row in rows):
        words.append("After ± stands the standard deviation over seeds.")
    if any(row.get("read") == "memory" and is_number(row.get("published")) for row in rows):
        words.append(f"{_MEMORY} quoted from memory of the paper, not read in it.")
    return " ".join(words)


def measured_table(rows: Sequence[Row]) -> str:
    """HTML table: what, published, measured, interval, unit."""
    published = any(is_number(row.get("published")) for row in rows)
    interval = any(is_number(row.get("low")) for row in rows)
    units = any(row.get("unit") for row in rows)
    columns = [Column("what")]
    columns += [Column("published", True)] if published else []
    columns.append(Column("measured here" if published else "measured", True))
    columns += [Column("interval", True)] if interval else []
    columns += [Column("unit")] if units else []
    cells = []
    for row in rows:
        line = [text(row["what"]) + _remark(row)]
        line += [text(published_words(row))] if published else []
        line.append(element("b", text(ours_words(row))))
        line += [text(interval_words(row))] if interval else []
        line += [text(row.get("unit") or "")] if units else []
        cells.append(line)
    return table(columns, cells, caption="What was measured", class_="measured")


def _remark(row: Row) -> str:
    direction = ""
    if is_number(row.get("published")) and "higher_is_better" in row:
        direction = "higher is better" if row["higher_is_better"] else "lower is better"
    words = "; ".join(part for part in (direction, row.get("note"), row.get("source")) if part)
    return element("span", text(words), class_="what") if words else ""


def published_words(row: Row) -> str:
    """``−86.34``, with a mark where it is quoted from memory."""
    if not is_number(row.get("published")):
        return MISSING
    return measure(row["published"]) + (_MEMORY if row.get("read") == "memory" else "")


def ours_words(row: Row) -> str:
    """``−86.2 ± 0.3``; no deviation for a single seed."""
    spread = _spread(row)
    return measure(row.get("ours"), spread) + (f" ± {measure(spread, spread)}" if spread else "")


def _spread(row: Row) -> float | None:
    return row["sd"] if is_number(row.get("sd")) and row["sd"] > 0 else None


def interval_words(row: Row) -> str:
    """``−86.6 … −86.0``."""
    if not is_number(row.get("low")) or not is_number(row.get("high")):
        return MISSING
    return f"{measure(row['low'])} … {measure(row['high'])}"
