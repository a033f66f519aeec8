"""A matplotlib figure as inline SVG: one drawing for light, dark and paper, safe beside others on one page.

Text stays text (in the page's own font), known colours become CSS variables, ids carry the figure's key;
metadata, namespaces and matplotlib's page-wide style are dropped. The same figure gives the same bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lamina.report.elements import text
from lamina.report.palette import INK, MUTED, PAGE_COLOURS, RULE

#: Points per inch; figures are sized in CSS pixels, of which matplotlib's SVG writes one per point.
_PIXELS_PER_INCH = 72
_RASTER_DPI = 216

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.left": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Lamina's drawing style; the user's own matplotlib settings are set aside and put back on leaving."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The browser draws the text: a letter that matplotlib's own font lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty transparent figure of ``width`` × ``height`` CSS pixels; called inside `figure_style`."""
    return Figure(figsize=(width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH), layout="constrained")


def only_axes(figure: Figure) -> Axes:
    """One axes that fills ``figure``."""
    return figure.add_subplot()


def inline_svg(figure: Figure, key: str, title: str, description: str) -> str:
    """``figure`` as an ``<svg>`` element to stand in HTML.

    ``key`` is unique on the page; ``title`` and ``description`` are plain text for readers who cannot see it.
    """
    buffer = io.StringIO()
    with figure_style(), matplotlib.rc_context({"svg.hashsalt": key}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", dpi=_RASTER_DPI, metadata=metadata)
    width, height = (round(size * _PIXELS_PER_INCH) for size in figure.get_size_inches())
    body = _with_own_ids(_with_page_style(_inner(buffer.getvalue())), key)
    return (
        f'<svg class="drawing" role="img" aria-labelledby="{key}-title {key}-description" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<title id="{key}-title">{text(title)}</title>'
        f'<desc id="{key}-description">{text(description)}</desc>{body}</svg>'
    )


def _inner(document: str) -> str:
    """What stands inside matplotlib's root element, without its metadata and its style for the whole page."""
    body = document[document.index(">", document.index("<svg")) + 1 : document.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href=", "href=")
    return re.sub(r">\s+<", "><", body).strip()


def _with_page_style(body: str) -> str:
    """Colours as CSS variables and text in the page's font, inside style attributes only."""

    def page_style(match: re.Match[str]) -> str:
        style = re.sub(r"#[0-9a-f]{6}", lambda hit: PAGE_COLOURS.get(hit[0], hit[0]), match[1])
        style = re.sub(r"font: ([^;]*?)([\d.]+px)[^;]*", _page_font, style)
        return f'style="{style}"'

    return re.sub(r'style="([^"]*)"', page_style, body)


def _page_font(match: re.Match[str]) -> str:
    weight = "; font-weight: 600" if re.search(r"bold|[6-9]00", match[1]) else ""
    return f"font-size: {match[2]}{weight}"


def _with_own_ids(body: str, key: str) -> str:
    """Ids that something refers to carry ``key``, ids beginning ``halo`` become a class, others go."""
    body = re.sub(r' id="halo[^"]*"', ' class="halo"', body)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))

    def own_id(match: re.Match[str]) -> str:
        return f' id="{key}-{match[1]}"' if match[1] in used else ""

    body = re.sub(r' id="([^"]+)"', own_id, body)
    return re.sub(r'(url\(#|href="#)([^)"]+)', rf"\g<1>{key}-\g<2>", body)
