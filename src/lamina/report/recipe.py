"""What stands on a recipe's page beside its results and figures: the summary, the facts, where it left the paper."""

from collections.abc import Mapping
from typing import Any

from lamina.report.elements import element, section, text
from lamina.report.measured import ours_words
from lamina.report.quantities import counted, duration, is_number, measure
from lamina.report.records import Records


def recipe_sentence(records: Records) -> str:
    """The first number that the paper published, beside the one measured here; or the first that was measured."""
    rows = records.part("measured")
    compared = [row for row in rows if is_number(row.get("published")) and is_number(row.get("ours"))]
    words = [f"Follows {str(records.document['paper']).rstrip('.')}."] if records.document.get("paper") else []
    if compared:
        words.append(_against(compared[0]))
    elif rows:
        words.append(f"{_capital(rows[0]['what'])}: {ours_words(rows[0])}{_unit(rows[0])}.")
    if records.document.get("quick"):
        words.append("This is the quick version: a check that everything runs, not a reproduction.")
    return " ".join(words)


def _against(row: Mapping[str, Any]) -> str:
    return (
        f"{_capital(row['what'])}: published {measure(row['published'])}, measured here {ours_words(row)}{_unit(row)}."
    )


def _capital(words: Any) -> str:
    words = str(words)
    return words[:1].upper() + words[1:]


def _unit(row: Mapping[str, Any]) -> str:
    return f" {row['unit']}" if row.get("unit") else ""


def recipe_facts(records: Records) -> list[tuple[str, str]]:
    """(value, words) of the row of large numbers."""
    seeds = records.part("seeds")
    facts = [(str(len(seeds)), "seed" if len(seeds) == 1 else "seeds")] if seeds else []
    rows = records.part("measured")
    facts += [(str(len(rows)), "number measured" if len(rows) == 1 else "numbers measured")] if rows else []
    compared = sum(is_number(row.get("published")) for row in rows)
    facts += [(str(compared), "published beside them")] if compared else []
    spent = records.document.get("seconds")
    return facts + ([(duration(spent), "computing")] if is_number(spent) else [])


def about_section(records: Records) -> str:
    """What is reproduced, in the recipe's own words."""
    about = records.document.get("about")
    return section("about", "What is reproduced", element("p", text(about), class_="about")) if about else ""


def deviations_section(records: Records) -> str:
    """Every place where the recipe leaves the paper."""
    deviations = records.part("deviations")
    items = "".join(element("li", text(words)) for words in deviations)
    body = element("ul", items, class_="notes") if items else ""
    title = f"{_capital(counted(len(deviations), 'deviation'))} from the paper"
    return section("deviations", title, body)
