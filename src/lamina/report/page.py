"""The whole page as one string: head, summary, sections, all styles inside."""

import re
from importlib.resources import files

from lamina.report.code_map import code_map_section
from lamina.report.codes import codes_section
from lamina.report.comparison import comparison_section, comparison_sentence
from lamina.report.confusion import confusion_section
from lamina.report.curves import curves_section
from lamina.report.diagnosis import diagnosis_section
from lamina.report.elements import element, paragraph, section, text
from lamina.report.examples import data_section
from lamina.report.figures import figures_section
from lamina.report.filters import filters_section
from lamina.report.interpolations import interpolations_section
from lamina.report.label_curve import label_curve_section
from lamina.report.measured import measured_section
from lamina.report.quantities import count, duration, is_number
from lamina.report.recipe import about_section, deviations_section, recipe_facts, recipe_sentence
from lamina.report.reconstructions import reconstructions_section
from lamina.report.records import Records
from lamina.report.results import results_section
from lamina.report.samples import samples_section
from lamina.report.settings import choice_section, settings_section, time_section
from lamina.report.summary import summary_sentence

#: Three layers, one above the other.
_MARK = (
    '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">'
    '<path d="M16 4 29 10.5 16 17 3 10.5Z"/><path d="M3 16l13 6.5L29 16"/>'
    '<path d="M3 21.5 16 28l13-6.5"/></svg>'
)


def notes_section(records: Records) -> str:
    """What the run itself has to say, as a list."""
    items = "".join(element("li", text(words)) for words in records.part("notes"))
    return section("notes", "Notes", element("ul", items, class_="notes") if items else "")


#: In reading order: the answer, the data, how it was reached, what was learnt, how to do it again.
_SECTIONS = (
    comparison_section,
    results_section,
    measured_section,
    about_section,
    figures_section,
    deviations_section,
    label_curve_section,
    data_section,
    filters_section,
    reconstructions_section,
    samples_section,
    interpolations_section,
    codes_section,
    code_map_section,
    confusion_section,
    diagnosis_section,
    curves_section,
    choice_section,
    time_section,
    notes_section,
    settings_section,
)


def page(records: Records) -> str:
    """The report of ``records`` as a complete HTML document; the same records give the same text."""
    body = [written for written in (draw(records) for draw in _SECTIONS) if written]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", text(page_title(records))),
        element("style", style_sheet()),
    )
    main = element("main", _warnings(records), *body)
    content = element("body", _header(records), _contents(body), main, _footer(records))
    return "<!DOCTYPE html>\n" + element("html", head, "\n", content, lang="en") + "\n"


def style_sheet() -> str:
    """The page's own style sheet, without comments."""
    sheet = files("lamina.report").joinpath("style.css").read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/\s*", "", sheet, flags=re.DOTALL)


def page_title(records: Records) -> str:
    """The run's own title, or one made from the name of the data."""
    if records.kind == "recipe":
        return str(records.document.get("title") or records.document["name"])
    return str(records.document.get("title") or f"What Lamina learnt from {records.data.get('name', 'the data')}")


def _header(records: Records) -> str:
    command = records.document.get("command")
    return element(
        "header",
        element("p", _MARK, text("Lamina report"), class_="brand"),
        element("h1", text(page_title(records))),
        paragraph(_summary(records), "summary"),
        _facts(records),
        element("pre", element("code", text(command)), aria_label="command of this run") if command else "",
    )


def _summary(records: Records) -> str:
    if records.kind == "recipe":
        return recipe_sentence(records)
    if records.kind == "comparison":
        return comparison_sentence(records)
    return str(records.document.get("summary") or summary_sentence(records))


def _facts(records: Records) -> str:
    """The run's sizes in a row of large numbers."""
    facts = recipe_facts(records) if records.kind == "recipe" else _sizes(records)
    items = "".join(element("div", element("dt", text(words)), element("dd", text(value))) for value, words in facts)
    return element("dl", items, class_="facts") if facts else ""


def _sizes(records: Records) -> list[tuple[str, str]]:
    data = records.data
    spent = sum(stage["seconds"] for stage in records.part("timing") if is_number(stage.get("seconds")))
    facts = [
        (count(data.get(key)), words)
        for key, words in (("n_train", "training rows"), ("n_labels", "labels"), ("n_test", "test rows"))
        if is_number(data.get(key)) and (data[key] or records.kind == "study")
    ]
    facts += [(count(data["n_features"]), "values per row")] if is_number(data.get("n_features")) else []
    facts += [(str(len(data["classes"])), "classes")] if data.get("classes") else []
    return facts + ([(duration(spent), "computing")] if spent else [])


def _contents(sections: list[str]) -> str:
    """Links to the sections, read off their headings."""
    headings = [re.search(r'<h2 id="([^"]+)">(.*?)</h2>', written) for written in sections]
    links = "".join(element("a", hit[2], href=f"#{hit[1]}") for hit in headings if hit)
    return element("nav", links, aria_label="contents")


def _warnings(records: Records) -> str:
    items = "".join(element("li", text(words)) for words in records.part("warnings"))
    return element("aside", element("h2", "Warnings"), element("ul", items), class_="warnings") if items else ""


def _footer(records: Records) -> str:
    version = records.document.get("lamina")
    words = (
        f"Drawn by Lamina {version} from the records of the run." if version else "Drawn from the records of the run."
    )
    return element("footer", element("p", text(words)))
