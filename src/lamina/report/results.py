"""Test errors: the table, and the same numbers as dots with whiskers."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lamina.report.elements import Column, element, figure, paragraph, section, table, text
from lamina.report.palette import INK, PAPER, method_colour, method_marker
from lamina.report.quantities import MISSING, count, is_number, percent, percent_decimals, seconds, shortened
from lamina.report.records import Records
from lamina.report.svg import figure_style, inline_svg, new_figure, only_axes

Result = Mapping[str, Any]


def n_draws(result: Result) -> int | None:
    """Number of draws behind a result, None where it does not list them."""
    return len(result.get("errors") or []) or None


def results_section(records: Records) -> str:
    """Table and figure of all results, or nothing where there are none; a comparison has its own."""
    results = records.part("results")
    if not results or records.kind == "comparison":
        return ""
    drawing = inline_svg(
        result_figure(results),
        "results-figure",
        "Test error of each method",
        "; ".join(f"{r['name']}: {error_words(r, results)} %" for r in results),
    )
    caption = (
        "Test error in percent, further left is better. Large marks are means, bars reach one standard "
        "deviation "
        "to either side, small dots are single draws of the labelled rows."
        if any((n_draws(result) or 0) > 1 for result in results)
        else "Test error in percent; further left is better."
    )
    body = element("div", result_table(results), figure(drawing, caption), class_="beside")
    return section("results", "Results", paragraph(_protocol(records), "lead"), body)


def _protocol(records: Records) -> str:
    n_test = records.data.get("n_test")
    rows = f"{count(n_test)} test rows" if is_number(n_test) else "the test rows"
    return (
        f"Share of {rows} that is misclassified. All methods were given the very same labelled rows; "
        "Lamina’s own stands first."
    )


def error_words(result: Result, results: Sequence[Result]) -> str:
    """``8.1 ± 1.0`` in percent, with as many decimals as the whole column; without s.d. for a single draw."""
    decimals = percent_decimals(other.get("error_mean") for other in results)
    mean, spread = result.get("error_mean"), result.get("error_sd")
    if not is_number(mean):
        return MISSING
    if not is_number(spread) or n_draws(result) == 1:
        return percent(mean, decimals)
    return f"{percent(mean, decimals)} ± {percent(spread, decimals)}"


def result_table(results: Sequence[Result]) -> str:
    """HTML table: method, error as mean ± s.d. over the draws in percent, seconds. First row emphasised."""
    draws = {n_draws(result) for result in results}
    same = draws.pop() if len(draws) == 1 else None
    columns = [Column("method"), Column(_error_head(same), True)]
    if same is None and any(n_draws(result) for result in results):
        columns.append(Column("draws", True))
    columns.append(Column("seconds", True))
    rows = []
    for result in results:
        what = element("span", text(result["what"]), class_="what") if result.get("what") else ""
        cells = [text(result["name"]) + what, text(error_words(result, results))]
        if len(columns) == 4:
            cells.append(text(n_draws(result) or MISSING))
        rows.append([*cells, text(seconds(result.get("seconds")))])
    return table(columns, rows, emphasised=[0], caption="Test error and time of each method", class_="results")


def _error_head(draws: int | None) -> str:
    if draws == 1:
        return "error, % (one draw)"
    return f"error, % (mean ± s.d. over {draws} draws)" if draws else "error, % (mean ± s.d. over draws)"


def result_figure(results: Sequence[Result]) -> Figure:
    """Dots with whiskers: error in percent (x) of each method (y, in the order of the table)."""
    with figure_style():
        drawing = new_figure(410, 62 + 34 * len(results))
        axes = only_axes(drawing)
        for place, result in enumerate(results):
            _draw_result(axes, place, result)
        axes.set_ylim(len(results) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("test error, %")
        axes.set_yticks(range(len(results)), [shortened(result["name"], 26) for result in results])
        axes.grid(axis="x")
        for label in axes.get_yticklabels():
            label.set_color(INK)
        axes.get_yticklabels()[0].set_fontweight("bold")
    return drawing


def _draw_result(axes: Axes, place: int, result: Result) -> None:
    colour, draws = method_colour(place), [100 * e for e in result.get("errors") or [] if is_number(e)]
    if len(draws) > 1:
        # A little above and below the line in turn, so that equal draws stay countable.
        heights = [place + (0.17 if at % 2 else -0.17) for at in range(len(draws))]
        axes.plot(draws, heights, "o", color=colour, alpha=0.5, markersize=4, markeredgewidth=0)
    mean, spread = result.get("error_mean"), result.get("error_sd")
    if not is_number(mean):
        return
    if is_number(spread) and len(draws) != 1:
        axes.plot(
            [max(0, 100 * (mean - spread)), 100 * (mean + spread)],
            [place, place],
            color=colour,
            linewidth=2.2,
        )
    axes.plot(
        [100 * mean],
        [place],
        marker=method_marker(place),
        color=colour,
        markersize=9,
        markeredgecolor=PAPER,
        markeredgewidth=1.2,
    )
