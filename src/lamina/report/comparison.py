"""Kinds of layer side by side: errors with their spread, what the layers are like, and a sentence that claims no more.

Two kinds are told apart only where both were measured in the same repeats, three or more, and the mean of their paired
differences is more than twice the standard deviation of these: anything less is called within the spread.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lamina.report.codes import sparsity_words
from lamina.report.elements import Column, Swatch, element, figure, legend, paragraph, section, table, text
from lamina.report.label_curve import page_colour
from lamina.report.palette import INK, MUTED, PAPER, method_colour, method_marker
from lamina.report.quantities import count, counted, is_number, percent, percent_decimals, seconds, significant
from lamina.report.records import Records
from lamina.report.results import error_words
from lamina.report.svg import figure_style, inline_svg, new_figure, only_axes

Result = Mapping[str, Any]

_FEWEST = 3  # repeats below which nothing is said of differences
_APART = 2.0  # standard deviations of the paired differences


# words --------------------------------------------------------------------------------------------------------------


def comparison_sentence(records: Records) -> str:
    """Which kind errs least by either protocol, which others lie within the spread, and the best baseline."""
    results = [result for result in records.part("results") if is_number(result.get("error_mean"))]
    protocols = list(dict.fromkeys(r["protocol"] for r in results if r.get("layer")))
    if not protocols:
        return f"Kinds of layer on {records.data.get('name', 'the data')}: no errors were recorded."
    decimals = percent_decimals(result["error_mean"] for result in results)
    words = [_opening(records)]
    words += [
        _of_protocol(protocol, [r for r in results if r.get("layer") and r["protocol"] == protocol], decimals)
        for protocol in protocols
    ]
    words.append(_baseline(results, decimals))
    return " ".join(part for part in words if part)


def _opening(records: Records) -> str:
    n_labels, repeats = records.data.get("n_labels"), records.document.get("repeats")
    some = f" with {counted(n_labels, 'label')}" if is_number(n_labels) else ""
    times = f", {counted(repeats, 'repeat')}" if is_number(repeats) else ""
    return f"{records.data.get('name', 'The data')}{some}{times}."


def _of_protocol(protocol: str, results: Sequence[Result], decimals: int) -> str:
    best, *others = sorted(results, key=lambda result: result["error_mean"])
    words = f"{protocol[0].upper()}{protocol[1:]}: "
    mean = f"{error_words(best, [best]) if decimals == 1 else _precise(best, decimals)} %"
    if not others:
        return f"{words}{best['layer']} errs on {mean} of the test rows."
    if not _can_tell(best, others[0]):
        return f"{words}{best['layer']} has the lowest mean error, {mean}; too few repeats to say what chance would do."
    near = [other["layer"] for other in others if not apart(best, other)]
    far = [other["layer"] for other in others if apart(best, other)]
    return f"{words}{best['layer']} has the lowest mean error, {mean}; {_near_and_far(near, far)}."


def _precise(result: Result, decimals: int) -> str:
    return f"{percent(result['error_mean'], decimals)} ± {percent(result.get('error_sd'), decimals)}"


def _near_and_far(near: Sequence[str], far: Sequence[str]) -> str:
    if not far:
        return "the others are within the spread" if len(near) > 1 else f"{near[0]} is within the spread"
    if not near:
        return "all others lie beyond the spread" if len(far) > 1 else f"{far[0]} lies beyond the spread"
    listed = _listed(near)
    return f"{listed} {'are' if len(near) > 1 else 'is'} within the spread, {_listed(far)} beyond it"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _differences(one: Result, other: Result) -> list[float]:
    ours, theirs = one.get("errors") or [], other.get("errors") or []
    if len(ours) != len(theirs) or not all(map(is_number, [*ours, *theirs])):
        return []
    return [b - a for a, b in zip(ours, theirs, strict=True)]


def _can_tell(one: Result, other: Result) -> bool:
    return len(_differences(one, other)) >= _FEWEST


def apart(one: Result, other: Result) -> bool:
    """Whether two results measured in the same repeats differ by more than the spread of their differences."""
    differences = _differences(one, other)
    return len(differences) >= _FEWEST and abs(fmean(differences)) > _APART * stdev(differences)


def _baseline(results: Sequence[Result], decimals: int) -> str:
    baselines = [result for result in results if not result.get("layer")]
    own = [result for result in results if result.get("layer")]
    if not baselines:
        return ""
    best = min(baselines, key=lambda result: result["error_mean"])
    words = f"The best baseline, {best['name']}, errs on {percent(best['error_mean'], decimals)} %"
    if best["error_mean"] < min(result["error_mean"] for result in own):
        words += ", less than any kind of layer here"
    return words + "."


# table and figure ---------------------------------------------------------------------------------------------------


def comparison_section(records: Records) -> str:
    """Table and figure of a comparison, or nothing in other records."""
    compared, results = records.part("compared"), records.part("results")
    if records.kind != "comparison" or not compared or not results:
        return ""
    protocols = _protocols(results)
    drawing = inline_svg(
        comparison_figure(compared, results),
        "comparison-figure",
        "Test error of each kind of layer",
        "; ".join(f"{r['name']}: {error_words(r, results)} %" for r in results),
    )
    swatches = [Swatch(name, page_colour(method_colour(k)), method_marker(k)) for k, name in enumerate(protocols)]
    caption = (
        "Test error in percent, further left is better. Large marks are means over the repeats, bars reach one "
        "standard deviation to either side, small dots are single repeats. Below the line, the baselines."
    )
    parts = [
        paragraph(_lead(records), "lead"),
        figure(drawing + legend(swatches, "protocols"), caption),
        comparison_table(compared, results),
        baseline_table(results),
    ]
    return section("comparison", "Kinds of layer", *parts)


def _lead(records: Records) -> str:
    rows = count(records.data.get("n_test")) if is_number(records.data.get("n_test")) else "the"
    return (
        f"Share of {rows} test rows that is misclassified. All kinds were given the very same rows, labels and sizes, "
        "and each repeat draws labels anew and learns the layers anew. Lost: mean square per value of held-out rows "
        "that went up through all layers and down again. Sparsity (Hoyer’s, 0 to 1) is that of the top code."
    )


def _protocols(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(str(r.get("protocol")) for r in results if r.get("layer")))


def comparison_table(compared: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> str:
    """HTML table: one row per kind, then one per baseline; the lowest mean of each protocol is bold."""
    protocols = _protocols(results)
    best = {
        protocol: min(
            (r["error_mean"] for r in results if r.get("protocol") == protocol and is_number(r.get("error_mean"))),
            default=None,
        )
        for protocol in protocols
    }
    columns = [Column("layers"), *(Column(f"{protocol}, error %", True) for protocol in protocols)]
    columns += [Column(name, True) for name in ("lost", "sparsity", "dead units", "seconds to learn")]
    rows = []
    for entry in compared:
        title = element("span", text(entry.get("title", "")), class_="what")
        own = {r.get("protocol"): r for r in results if r.get("layer") == entry["layer"]}
        cells = [text(entry["layer"]) + title]
        cells += [_error_cell(own.get(protocol), results, best[protocol]) for protocol in protocols]
        rows.append([*cells, *_layer_cells(entry)])
    caption = f"Kinds of layer: test error in percent ({_over(results)}), and what the layers are like"
    return table(columns, rows, caption=caption, class_="compared")


def baseline_table(results: Sequence[Result]) -> str:
    """HTML table of the baselines, nothing where there are none."""
    baselines = [result for result in results if not result.get("layer")]
    if not baselines:
        return ""
    columns = [Column("baseline"), Column("error, %", True), Column("seconds", True)]
    rows = []
    for result in baselines:
        what = element("span", text(result.get("what", "")), class_="what")
        errors = text(error_words(result, results))
        rows.append([text(result["name"]) + what, errors, text(seconds(result.get("seconds")))])
    return table(columns, rows, caption=f"Baselines ({_over(baselines)})", class_="compared narrow")


def _over(results: Sequence[Result]) -> str:
    most = max((len(result.get("errors") or []) for result in results), default=0)
    return f"mean ± s.d. over {counted(most, 'repeat')}" if most > 1 else "one repeat"


def _error_cell(result: Result | None, results: Sequence[Result], best: float | None) -> str:
    if result is None:
        return ""
    words = text(error_words(result, results))
    return element("b", words) if best is not None and result.get("error_mean") == best else words


def _layer_cells(entry: Mapping[str, Any]) -> list[str]:
    lost = entry.get("error_test") if is_number(entry.get("error_test")) else entry.get("error_train")
    dead = f"{count(entry.get('dead'))} of {count(entry.get('units'))}"
    return [
        text(significant(lost)),
        text(sparsity_words(entry.get("hoyer"))),
        text(dead),
        text(seconds(entry.get("seconds"))),
    ]


def comparison_figure(compared: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> Figure:
    """Dots with bars: error in percent (x) of each kind (y) by each protocol, the baselines below a line."""
    protocols = _protocols(results)
    baselines = [result for result in results if not result.get("layer")]
    names = [*(entry["layer"] for entry in compared), *(str(result["name"]) for result in baselines)]
    with figure_style():
        drawing = new_figure(620, 70 + 36 * len(names))
        axes = only_axes(drawing)
        for place, entry in enumerate(compared):
            for k, protocol in enumerate(protocols):
                own = [r for r in results if r.get("layer") == entry["layer"] and r.get("protocol") == protocol]
                shift = 0.34 * (k - (len(protocols) - 1) / 2)
                _draw(axes, own, place + shift, method_colour(k), method_marker(k))
        for place, result in enumerate(baselines, start=len(compared)):
            _draw(axes, [result], place, MUTED, "D")
        if baselines:
            axes.axhline(len(compared) - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("test error, %")
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="x")
        for label in axes.get_yticklabels():
            label.set_color(INK)
    return drawing


def _draw(axes: Axes, results: Sequence[Result], place: float, colour: str, marker: str) -> None:
    for result in results:
        mean, spread = result.get("error_mean"), result.get("error_sd")
        repeats = [100 * error for error in result.get("errors") or [] if is_number(error)]
        if not is_number(mean):
            continue
        if len(repeats) > 1:
            axes.plot(repeats, [place] * len(repeats), "o", color=colour, alpha=0.4, markersize=3.5, markeredgewidth=0)
            if is_number(spread):
                ends = [max(0, 100 * (mean - spread)), 100 * (mean + spread)]
                axes.plot(ends, [place, place], color=colour, linewidth=2)
        style: dict[str, Any] = {"markersize": 8, "markeredgecolor": PAPER, "markeredgewidth": 1.1}
        axes.plot([100 * mean], [place], marker=marker, color=colour, **style)
