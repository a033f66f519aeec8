"""The top layer's code in two dimensions, one dot per row, coloured by class."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lamina.report.elements import Swatch, element, figure, legend, section
from lamina.report.palette import ACCENT, INK, MUTED, class_colour, class_marker
from lamina.report.quantities import count, shortened
from lamina.report.records import Records
from lamina.report.svg import figure_style, inline_svg, new_figure
from lamina.report.tiles import spread_over

_MOST_DOTS = 6000
#: Above this many classes names on the map would hide it.
_MOST_NAMED = 20
_MOST_LEGEND = 60


def code_map_section(records: Records) -> str:
    """Scatter of the two-dimensional code, or nothing where it was not kept."""
    code = records.arrays.get("code_2d")
    if code is None or code.shape[1] != 2:
        return ""
    labels = records.arrays.get("code_labels", np.full(len(code), -1))
    kept = np.flatnonzero(np.isfinite(code).all(axis=1))
    kept = kept[spread_over(len(kept), _MOST_DOTS)]
    if not len(kept):
        return ""
    known = sorted({int(label) for label in labels[kept] if label >= 0})
    names = {label: records.class_name(label) for label in known}
    drawing = inline_svg(
        code_map_figure(code[kept], labels[kept], names),
        "code-map-figure",
        "Map of the code",
        f"{len(kept)} rows as dots" + (f", coloured by {len(known)} classes." if known else "."),
    )
    swatches = [
        Swatch(shortened(names[label], 40), class_colour(label), class_marker(label)) for label in known[:_MOST_LEGEND]
    ]
    words = records.caption("code_2d", _words(len(kept), known))
    body = element("div", drawing, class_="map") + (legend(swatches, "classes") if known else "")
    return section("code", "Map of the code", figure(body, words, "wide"))


def _words(n_rows: int, known: list[int]) -> str:
    coloured = ", coloured by true class" if known else ""
    named = " Names stand at the middle of their class." if 0 < len(known) <= _MOST_NAMED else ""
    return (
        f"{count(n_rows)} rows, each a dot at its place in a two-dimensional view of the top layer’s code{coloured}. "
        f"Rows that the layers find alike lie close together; the axes have no unit.{named}"
    )


def code_map_figure(code: np.ndarray, labels: np.ndarray, names: dict[int, str]) -> Figure:
    """Dots at ``code`` (n, 2), rasterised, coloured by ``labels`` (n,); class names at the medians."""
    with figure_style():
        drawing = new_figure(620, 470)
        # Nothing stands outside the axes, so that no room has to be kept for it.
        drawing.set_layout_engine("none")
        axes = drawing.add_axes((0, 0, 1, 1))
        size = float(np.clip(24000 / len(code), 5, 40))
        _draw_dots(axes, code, labels, size)
        if len(names) <= _MOST_NAMED:
            for label, name in names.items():
                x, y = np.median(code[labels == label], axis=0)
                mark = axes.text(
                    x,
                    y,
                    shortened(name, 14),
                    ha="center",
                    va="center",
                    color=INK,
                    fontsize=15,
                    fontweight="bold",
                )
                mark.set_gid(f"halo{label}")
        axes.set_axis_off()
        axes.margins(0.02)
    return drawing


def _draw_dots(axes: Axes, code: np.ndarray, labels: np.ndarray, size: float) -> None:
    unlabelled = labels < 0
    colour, alpha = (ACCENT, 0.55) if unlabelled.all() else (MUTED, 0.3)
    axes.scatter(code[unlabelled, 0], code[unlabelled, 1], s=size, c=colour, alpha=alpha, linewidths=0, rasterized=True)
    codes = labels[~unlabelled]
    # One call per marker, not per class: dots stay in the order of the rows and no class covers another.
    for shape in dict.fromkeys(class_marker(int(label)) for label in codes):
        chosen = np.flatnonzero(~unlabelled)[[class_marker(int(label)) == shape for label in codes]]
        colours = [class_colour(int(label)) for label in labels[chosen]]
        axes.scatter(
            code[chosen, 0],
            code[chosen, 1],
            s=size,
            c=colours,
            marker=shape,
            alpha=0.75,
            linewidths=0,
            rasterized=True,
        )
