"""Learning curves: one small figure per stage of training, one panel per quantity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from lamina.report.elements import element, paragraph, section, text
from lamina.report.palette import ACCENT, METHODS, MISTAKE, MUTED, PAPER
from lamina.report.quantities import shortened, significant
from lamina.report.records import Records
from lamina.report.svg import figure_style, inline_svg, new_figure

#: First word of a series' name → (which rows it was measured on, colour, line).
_ROLES = {
    "training": ("training rows", ACCENT, "-"),
    "train": ("training rows", ACCENT, "-"),
    "validation": ("validation rows", MISTAKE, (0, (4, 1.5))),
    "test": ("test rows", METHODS[2], (0, (1.2, 1.2))),
}
_PLAIN = ("training rows", ACCENT, "-")
_KINDS = {"pretrain": "pre-training", "finetune": "fine-tuning"}
_MOST_PANELS = 6


def curves_section(records: Records) -> str:
    """All learning curves side by side, or nothing where none were kept."""
    curves = [curve for curve in records.part("curves") if panels(curve["series"])]
    if not curves:
        return ""
    cards = "".join(_card(curve, f"curve-{place}") for place, curve in enumerate(curves, start=1))
    names = [name for curve in curves for name in curve["series"]]
    return section(
        "curves",
        "Learning",
        paragraph("Each stage of training, epoch by epoch, in the order in which the stages ran.", "lead"),
        element("div", cards, class_="cards"),
        paragraph(_reading(names), "reading"),
    )


def _reading(names: Sequence[str]) -> str:
    """How to read the lines; says nothing of line styles that do not occur."""
    roles = {split_role(name)[0] for name in names}
    words = ["Numbers at the right of each panel are the last values."]
    if "validation" in roles:
        words.insert(0, "Solid blue lines are training rows, dashed orange lines validation rows.")
    if "test" in roles:
        words.insert(-1, "Dotted green lines are test rows.")
    return " ".join(words)


def _card(curve: Mapping[str, Any], key: str) -> str:
    name = str(curve.get("name", "training"))
    ends = [f"{series}: {significant(_last(_numbers(values)), 4)}" for series, values in curve["series"].items()]
    drawing = inline_svg(
        learning_curve_figure(curve),
        key,
        f"Learning curves of {name}",
        f"{len(curve['epochs'])} epochs; last values: {'; '.join(ends)}",
    )
    kind = _KINDS.get(curve.get("kind", ""), curve.get("kind"))
    aside = element("span", text(kind), class_="kind") if kind and kind != name else ""
    return element("div", element("h3", text(name), aside), drawing, class_="card")


def split_role(name: str) -> tuple[str, str]:
    """``validation free energy`` → (``validation``, ``free energy``); role "" where none is named."""
    first, _, rest = name.partition(" ")
    return (first.lower(), rest) if first.lower() in _ROLES and rest else ("", name)


def panels(series: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, np.ndarray]]:
    """Quantity → role → values (epochs,): training and validation share a panel, quantities never measured none."""
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for name, values in series.items():
        role, quantity = split_role(name)
        numbers = _numbers(values)
        if np.isfinite(numbers).any():
            grouped.setdefault(quantity, {})[role] = numbers
    return dict(list(grouped.items())[:_MOST_PANELS])


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """(epochs,) with NaN for null and for what is not finite."""
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.where(np.isfinite(array), array, np.nan)


def _last(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else None


def learning_curve_figure(curve: Mapping[str, Any]) -> Figure:
    """One panel above the other per quantity of ``curve``, epochs on the shared x axis."""
    grouped = panels(curve["series"])
    with figure_style():
        drawing = new_figure(300, 34 + 118 * len(grouped))
        columns = drawing.subplots(len(grouped), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (quantity, lines) in zip(columns, grouped.items(), strict=True):
            _draw_panel(axes, quantity, lines, np.asarray(curve["epochs"], dtype=float))
        columns[-1].set_xlabel("epoch")
        columns[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return drawing


def _draw_panel(axes: Axes, quantity: str, lines: Mapping[str, np.ndarray], epochs: np.ndarray) -> None:
    for role, values in lines.items():
        _, colour, style = _ROLES.get(role, _PLAIN)
        # Missing values are bridged: a validation error is often measured every few epochs only.
        kept = np.isfinite(values)
        if kept.any():
            axes.plot(epochs[kept], values[kept], color=colour, linestyle=style)
            axes.plot(epochs[kept][-1:], values[kept][-1:], "o", color=colour, markersize=5.5, markeredgecolor=PAPER)
    ends = [significant(_last(values)) for values in lines.values() if _last(values) is not None]
    name = f"{next(iter(lines))} {quantity}".strip() if len(lines) == 1 else quantity
    axes.set_title(shortened(name, 30), loc="left")
    axes.set_title(" / ".join(ends), loc="right", color=MUTED)
    finite = np.concatenate([values[np.isfinite(values)] for values in lines.values()])
    if finite.size and finite.min() > 0 and finite.max() > 50 * finite.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y")
