"""HTML as strings. Every function says whether it takes plain text or finished HTML; attributes are escaped.

Names that come from the user (classes, data sets, methods, settings) reach the page only through `text` or as
attributes, so that a class called ``<b>`` is shown and not obeyed.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Markers of the figures → classes of the style sheet, which cut the swatches of a legend to the same shape.
MARKER_CLASSES = {
    "o": "disc",
    "s": "square",
    "^": "triangle",
    "D": "diamond",
    "v": "wedge",
    "P": "plus",
    "X": "cross",
    "p": "pentagon",
}

_WITHOUT_END = {"img", "meta", "br", "col"}


def text(value: Any) -> str:
    """Plain text → HTML; the space before % is kept from breaking over lines."""
    return html.escape(str(value)).replace(" %", "\u00a0%")


def element(tag: str, *children: str, **attributes: Any) -> str:
    """``<tag attributes>children</tag>``; children are finished HTML.

    ``class_`` becomes ``class`` and other underscores hyphens; an attribute that is None is left out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _WITHOUT_END:
        return f"<{tag}{written}>"
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def section(key: str, title: str, *children: str) -> str:
    """A section with the anchor ``key`` and a plain-text heading; empty children give no section at all."""
    body = "".join(children)
    if not body:
        return ""
    return element("section", element("h2", text(title), id=key), body, aria_labelledby=key) + "\n"


def paragraph(words: str, class_: str | None = None) -> str:
    """A paragraph of plain text."""
    return element("p", text(words), class_=class_)


def figure(body: str, caption: str, class_: str = "") -> str:
    """``body`` (HTML) with a caption in plain text."""
    return element("figure", body, element("figcaption", text(caption)), class_=class_ or None)


@dataclass(frozen=True)
class Column:
    """Head of a table column, plain text; ``numeric`` aligns it to the right in figures of equal width."""

    head: str
    numeric: bool = False


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    caption: str | None = None,
    emphasised: Sequence[int] = (),
    class_: str | None = None,
) -> str:
    """A table; the first cell of each row is its header. Cells are finished HTML, all else plain text."""
    heads = "".join(
        element("th", text(column.head), scope="col", class_="number" if column.numeric else None) for column in columns
    )
    body = "".join(_row(columns, cells, index in emphasised) for index, cells in enumerate(rows))
    written = element(
        "table",
        element("caption", text(caption)) if caption else "",
        element("thead", element("tr", heads)),
        element("tbody", body),
        class_=class_,
    )
    # Focusable, so that a wide table can be scrolled from the keyboard.
    return element("div", written, class_="scroll", tabindex="0", role="group", aria_label=caption or "table")


def _row(columns: Sequence[Column], cells: Sequence[str], emphasised: bool) -> str:
    first = element("th", cells[0], scope="row", class_="number" if columns[0].numeric else None)
    others = "".join(
        element("td", cell, class_="number" if column.numeric else None)
        for column, cell in zip(columns[1:], cells[1:], strict=True)
    )
    return element("tr", first, others, class_="own" if emphasised else None)


@dataclass(frozen=True)
class Swatch:
    """An entry of a legend: name in plain text, CSS colour, and marker as matplotlib names it."""

    name: str
    colour: str
    marker: str = "o"


def legend(swatches: Sequence[Swatch], title: str) -> str:
    """Names beside the colour and shape of their marks."""
    items = "".join(
        element(
            "li", element("span", class_=_swatch_class(swatch), style=f"background:{swatch.colour}"), text(swatch.name)
        )
        for swatch in swatches
    )
    return element("ul", items, class_="legend", aria_label=title)


def _swatch_class(swatch: Swatch) -> str:
    return f"swatch {MARKER_CLASSES.get(swatch.marker, 'disc')}"
