"""Test error against the number of labels: figure, legend and table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from lamina.report.elements import Column, Swatch, element, figure, legend, section, table, text
from lamina.report.palette import PAGE_COLOURS, PAPER, method_colour, method_marker
from lamina.report.quantities import MISSING, count, is_number, percent, percent_decimals
from lamina.report.records import Records
from lamina.report.svg import figure_style, inline_svg, new_figure, only_axes

Point = Mapping[str, Any]


def label_curve_section(records: Records) -> str:
    """Error against number of labels for every method, or nothing where it was not measured."""
    curve = sorted(records.part("label_curve"), key=lambda point: point["n_labels"])
    names = method_names(curve, [result["name"] for result in records.part("results")])
    if not names:
        return ""
    drawing = inline_svg(
        label_curve_figure(curve, names),
        "label-curve-figure",
        "Test error against number of labels",
        f"One line per method ({', '.join(measured(curve, names))}) from {curve[0]['n_labels']} to "
        f"{curve[-1]['n_labels']} labels; "
        "the table holds the numbers.",
    )
    shown = measured(curve, names)
    swatches = [
        Swatch(name, page_colour(method_colour(place)), method_marker(place))
        for place, name in enumerate(names)
        if name in shown
    ]
    caption = records.caption(
        "label_curve",
        "Test error in percent against the number of labelled rows, on a logarithmic axis; lower is better. "
        + ("Bars reach one standard deviation to either side." if _has_spread(curve) else ""),
    )
    body = figure(drawing + legend(swatches, "methods"), caption)
    return section(
        "label-curve",
        "Error by number of labels",
        element("div", body, label_curve_table(curve, names), class_="beside"),
    )


def page_colour(colour: str) -> str:
    """A figure's colour as the page's, for the swatches of a legend."""
    return PAGE_COLOURS.get(colour, colour)


def method_names(curve: Sequence[Point], known: Sequence[str]) -> list[str]:
    """Methods of the curve, those of the result table first and in its order, so that colours agree.

    A method of the table that is missing here keeps its place (and colour) unless it comes last.
    """
    found = [result["name"] for point in curve for result in point["results"]]
    names = [*known, *dict.fromkeys(name for name in found if name not in known)]
    while names and names[-1] not in found:
        names.pop()
    return names


def _values(curve: Sequence[Point], name: str, field: str) -> np.ndarray:
    """The values of one method in percent, (n_points,), NaN where it was not measured."""
    values = []
    for point in curve:
        hits = [result.get(field) for result in point["results"] if result["name"] == name]
        values.append(100 * hits[0] if hits and is_number(hits[0]) else np.nan)
    return np.array(values, dtype=float)


def measured(curve: Sequence[Point], names: Sequence[str]) -> list[str]:
    """Those of ``names`` that have an error at one point of the curve at least."""
    return [name for name in names if np.isfinite(_values(curve, name, "error_mean")).any()]


def _has_spread(curve: Sequence[Point]) -> bool:
    return any(is_number(result.get("error_sd")) for point in curve for result in point["results"])


def label_curve_figure(curve: Sequence[Point], names: Sequence[str]) -> Figure:
    """Error in percent (y) against number of labels (x, logarithmic); the first name is Lamina's, on top."""
    n_labels = [point["n_labels"] for point in curve]
    with figure_style():
        drawing = new_figure(410, 290)
        axes = only_axes(drawing)
        for place, name in reversed(list(enumerate(names))):
            axes.errorbar(
                n_labels,
                _values(curve, name, "error_mean"),
                yerr=np.nan_to_num(_values(curve, name, "error_sd")),
                color=method_colour(place),
                marker=method_marker(place),
                markersize=7.5 if place == 0 else 6,
                markeredgecolor=PAPER,
                linewidth=2.4 if place == 0 else 1.4,
                elinewidth=1.2,
            )
        axes.set_xscale("log")
        axes.set_xticks(n_labels, [count(n) for n in n_labels])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        axes.set_xlabel("labelled rows")
        axes.set_title("test error, %", loc="left")
        axes.grid(axis="y")
    return drawing


def label_curve_table(curve: Sequence[Point], names: Sequence[str]) -> str:
    """HTML table: one row per number of labels, one column per method, mean error in percent."""
    shown = measured(curve, names)
    columns = [Column("labels", True), *(Column(name, True) for name in shown)]
    decimals = percent_decimals(r.get("error_mean") for point in curve for r in point["results"])
    rows = []
    for point in curve:
        by_name = {result["name"]: result.get("error_mean") for result in point["results"]}
        cells = [text(percent(by_name[name], decimals)) if name in by_name else MISSING for name in shown]
        rows.append([count(point["n_labels"]), *cells])
    return table(columns, rows, caption="Mean test error, %", class_="by-labels")
