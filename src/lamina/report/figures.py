"""Figures of recipes and generative runs: pictures in grids, curves on common axes."""

import base64
import io
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from PIL import Image

from lamina.core.figures import Figure, Images, Lines, Nets, Points
from lamina.report.code_map import code_map_figure
from lamina.report.elements import Swatch, element, legend, section, text
from lamina.report.label_curve import page_colour
from lamina.report.nets import nets_drawing
from lamina.report.palette import PAPER, class_colour, class_marker, method_colour, method_marker
from lamina.report.quantities import shortened
from lamina.report.records import Records
from lamina.report.svg import figure_style, inline_svg, new_figure, only_axes
from lamina.report.tiles import spread_over

#: Pictures are enlarged by whole factors to about this many pixels, so that browsers never blur them.
_SIDE = 84
#: Pictures of this many pixels or more on a side stand alone or few to a row.
_LARGE = 150
#: Bytes of raw pixels that one figure may hold.
_FIGURE_BYTES = 1_500_000
#: Opacity of a value that is not known, of 255: light and dark pages show through.
_HOLE = 48
#: Dots that one map shows.
_MOST_DOTS = 6000
#: Up to this many points each is marked.
_MOST_MARKED = 16


def figures_section(records: Records) -> str:
    """All figures in their order; curves that follow one another stand side by side, and so do maps."""
    parts = []
    numbered = list(enumerate(records.figures, start=1))
    for kind, group in groupby(numbered, key=lambda pair: type(pair[1])):
        drawn = [_drawn(one, f"drawing-{number}") for number, one in group]
        several = kind not in (Images, Nets) and len(drawn) > 1
        parts.append(element("div", *drawn, class_="beside curves") if several else "".join(drawn))
    return section("figures", "Figures", *parts)


def _drawn(one: Figure, key: str) -> str:
    if isinstance(one, Images):
        body = image_grid(one)
    elif isinstance(one, Nets):
        body = nets_drawing(one, key)
    else:
        body = _map(one, key) if isinstance(one, Points) else _chart(one, key)
    note = element("figcaption", text(one.note)) if one.note else ""
    return element("figure", element("h3", text(one.title)), body, note, class_="shown")


# pictures -----------------------------------------------------------------------------------------------------------


def image_grid(figure: Images) -> str:
    """``figure`` as HTML: one strip per row with its caption before it, or single tiles with captions below."""
    rows = np.asarray(figure.rows, np.float64)
    if rows.ndim == 4:
        return _strips(figure, rows)
    cells = []
    for k in spread_over(len(rows), _affordable(rows)):
        caption = figure.captions[k] if figure.captions else ""
        alt = f"{figure.title}: {caption}" if caption else f"{figure.title}, {k + 1}"
        below = element("span", text(caption), class_="below") if caption else ""
        cells.append(element("div", _picture(rows[k][None], figure.signed, alt), below, class_="cell"))
    roomy = any(len(caption) > 7 for caption in figure.captions)
    size = " large" if max(rows.shape[1:]) >= _LARGE else " roomy" if roomy else ""
    return element("div", *cells, class_=f"tiles images{size}")


def _affordable(rows: np.ndarray) -> int:
    return max(8, _FIGURE_BYTES // int(np.prod(rows.shape[1:])))


def _strips(figure: Images, rows: np.ndarray) -> str:
    lines = []
    for k in spread_over(len(rows), _affordable(rows)):
        caption = figure.captions[k] if figure.captions else ""
        head = element("span", text(caption), class_="strip-head") if figure.captions else ""
        alt = f"{figure.title}: {caption}" if caption else f"{figure.title}, row {k + 1}"
        lines.append(head + _picture(rows[k], figure.signed, alt))
    width = min(64.0, rows.shape[1] * 3.4)
    style = f"max-width:{width + (8 if figure.captions else 0):g}rem"
    return element("div", *lines, class_=f"strips{' headed' if figure.captions else ''}", style=style)


def _picture(images: np.ndarray, signed: bool, alt: str) -> str:
    """``images`` (n, height, width) side by side as one PNG; gaps are transparent, NaN nearly so."""
    n, height, width = images.shape
    factor = max(1, round(_SIDE / max(height, width))) if n == 1 else max(1, round(_SIDE / 2 / max(height, width)))
    gap = 0 if n == 1 else max(1, round(height * factor / 14))
    canvas = np.zeros((height * factor, n * width * factor + (n - 1) * gap, 2), np.uint8)
    for k, one in enumerate(images):
        left = k * (width * factor + gap)
        canvas[:, left : left + width * factor] = np.kron(_levels(one, signed), np.ones((factor, factor, 1), np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(canvas, "LA").save(buffer, format="PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return element("img", src=uri, alt=alt, class_="tile" if n == 1 else "strip")


def _levels(image: np.ndarray, signed: bool) -> np.ndarray:
    """Grey level and opacity (height, width, 2); a signed picture runs from −max to +max of its own."""
    known = np.isfinite(image)
    values = np.where(known, image, 0.0)
    if signed:
        values = 0.5 + 0.5 * values / max(float(np.abs(values).max()), 1e-300)
    grey = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return np.stack([np.where(known, grey, 128), np.where(known, 255, _HOLE)], axis=-1).astype(np.uint8)


# curves -------------------------------------------------------------------------------------------------------------


def _chart(figure: Lines, key: str) -> str:
    names = list(figure.series)
    words = f"{figure.y_label} against {figure.x_label}; {len(names)} curves: {', '.join(names)}."
    drawing = inline_svg(lines_figure(figure), key, figure.title, words)
    if len(names) == 1:
        return drawing
    swatches = [Swatch(name, page_colour(method_colour(k)), method_marker(k)) for k, name in enumerate(names)]
    return drawing + legend(swatches, "curves")


def lines_figure(figure: Lines) -> Drawing:
    """All series of ``figure`` on common axes, with bands of one standard deviation."""
    with figure_style():
        drawing = new_figure(440, 290)
        axes = only_axes(drawing)
        for k, columns in reversed(list(enumerate(figure.series.values()))):
            _draw_series(axes, k, [np.asarray(column, float) for column in columns])
        _scale(axes, figure)
        axes.set_xlabel(figure.x_label)
        axes.set_title(shortened(figure.y_label, 60), loc="left")
        axes.grid(axis="y")
    return drawing


def _draw_series(axes: Axes, k: int, columns: Sequence[np.ndarray]) -> None:
    x, y = columns[:2]
    colour = method_colour(k)
    if len(columns) == 3 and np.isfinite(columns[2]).any():
        sd = np.nan_to_num(columns[2])
        axes.fill_between(x, y - sd, y + sd, color=colour, alpha=0.15, linewidth=0)
    marked = np.isfinite(y).sum() <= _MOST_MARKED
    axes.plot(
        x,
        y,
        color=colour,
        marker=method_marker(k) if marked else None,
        markersize=6,
        markeredgecolor=PAPER,
        linewidth=2.2 if k == 0 else 1.6,
    )


def _scale(axes: Axes, figure: Lines) -> None:
    for name, logarithmic in (("x", figure.log_x), ("y", figure.log_y)):
        axis = axes.xaxis if name == "x" else axes.yaxis
        if not logarithmic:
            whole = name == "x" and all(np.all(np.mod(columns[0], 1) == 0) for columns in figure.series.values())
            axis.set_major_locator(MaxNLocator(6 if name == "x" else 5, integer=whole))
            continue
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        axis.set_major_formatter(FuncFormatter(_plain_number))
        axis.set_minor_formatter(NullFormatter())


def _plain_number(value: float, _: object) -> str:
    return f"{value:,.0f}" if 1 <= value < 1e6 else f"{value:g}"


# maps ---------------------------------------------------------------------------------------------------------------


def _map(figure: Points, key: str) -> str:
    """At most `_MOST_DOTS` of the dots, evenly spread over the rows, with the names of their classes."""
    kept = spread_over(len(figure.places), _MOST_DOTS)
    places, labels = np.asarray(figure.places)[kept], np.asarray(figure.labels)[kept]
    names = {int(label): figure.names[label] for label in np.unique(labels) if label >= 0}
    words = f"{len(places)} dots" + (f", coloured by {len(names)} classes." if names else ".")
    drawing = inline_svg(code_map_figure(places, labels, names), key, figure.title, words)
    swatches = [Swatch(name, class_colour(label), class_marker(label)) for label, name in names.items()]
    return drawing + (legend(swatches, "classes") if names else "")
