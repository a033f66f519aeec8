"""Which classes are taken for which: the confusion matrix, and rows that were mistaken."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lamina.report.elements import element, figure, section, text
from lamina.report.palette import INK, MISTAKE, MUTED, ON_COLOUR, RULE
from lamina.report.quantities import count, shortened
from lamina.report.records import Records
from lamina.report.svg import figure_style, inline_svg, new_figure, only_axes
from lamina.report.tiles import affordable, cell, common_limits, grid, scale_words, spread_over, tile

#: Up to this many classes each cell is large enough for its count.
_MOST_COUNTED = 20
#: Up to this many classes cells are drawn one by one, above it as one picture: their number grows as the square.
_MOST_DRAWN = 40
_MOST_MISTAKES = 40


def confusion_section(records: Records) -> str:
    """Matrix and example mistakes, whichever are there."""
    parts = [part for part in (_matrix(records), _mistakes(records)) if part]
    if not parts:
        return ""
    body = element("div", *parts, class_="beside") if len(parts) == 2 else parts[0]
    return section("mistakes", "Mistakes", body)


def _matrix(records: Records) -> str:
    confusion = records.arrays.get("confusion")
    if confusion is None:
        return ""
    names = [records.class_name(code) for code in range(len(confusion))]
    drawing = inline_svg(
        confusion_figure(confusion, names),
        "confusion-figure",
        "Confusion matrix",
        f"True classes in rows, predicted classes in columns. {largest_confusion(confusion, names)}".strip(),
    )
    words = (
        "Rows of the matrix are true classes, columns what was predicted. The diagonal (grey) is right; "
        "elsewhere the "
        "stronger the colour, the larger the share of the class that went there. "
        f"{largest_confusion(confusion, names)}"
    ).strip()
    return figure(drawing, records.caption("confusion", words))


def largest_confusion(confusion: np.ndarray, names: list[str]) -> str:
    """The most frequent mistake in words; empty where nothing was mistaken."""
    mistakes = confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype))
    if not mistakes.any():
        return ""
    true, predicted = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
    times = mistakes[true, predicted]
    share = f"{count(int(times))} of {count(int(confusion[true].sum()))} rows"
    return f"Most often {names[true]} is taken for {names[predicted]} ({share})."


def confusion_figure(confusion: np.ndarray, names: list[str]) -> Figure:
    """``confusion`` (K, K), true × predicted, as cells with counts (up to 20 classes) or colours only."""
    n_classes = len(confusion)
    counted = n_classes <= _MOST_COUNTED
    cell_size = float(np.clip(380 / n_classes, 6, 38))
    longest = max(len(shortened(name, 12)) for name in names) if counted else 0
    margin = 34 + 7 * longest
    side = max(200.0, cell_size * n_classes)
    with figure_style():
        drawing = new_figure(side + margin, side + margin)
        axes = only_axes(drawing)
        if n_classes <= _MOST_DRAWN:
            _draw_cells(axes, confusion, counted, small=cell_size < 26)
        else:
            _draw_picture(axes, confusion)
        _label_axes(axes, names, counted, upright=7 * longest < side / n_classes)
    return drawing


def _shares(confusion: np.ndarray) -> np.ndarray:
    """Share of each true class that went to each other one, (K, K), scaled to a largest mistake of 1."""
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares = confusion / totals * (1 - np.eye(len(confusion)))
    return shares / max(float(shares.max()), 1e-12)


def _draw_cells(axes: Axes, confusion: np.ndarray, counted: bool, small: bool) -> None:
    shares = _shares(confusion)
    for true, predicted in np.argwhere(confusion > 0):
        right = true == predicted
        # The square root lifts rare mistakes off the ground; order is kept.
        strength = 1.0 if right else 0.12 + 0.88 * float(np.sqrt(shares[true, predicted]))
        square = Rectangle((predicted - 0.48, true - 0.48), 0.96, 0.96, linewidth=0)
        square.set_facecolor((*_rgb(RULE if right else MISTAKE), round(strength, 2)))
        axes.add_patch(square)
        if counted:
            strong = not right and strength > 0.62
            colour = ON_COLOUR if strong else INK if not right else MUTED
            axes.text(
                predicted,
                true,
                str(int(confusion[true, predicted])),
                ha="center",
                va="center_baseline",
                color=colour,
                fontsize=8.5 if small else 11,
            )
    axes.set_xlim(-0.5, len(confusion) - 0.5)
    axes.set_ylim(len(confusion) - 0.5, -0.5)
    axes.set_aspect("equal")


def _draw_picture(axes: Axes, confusion: np.ndarray) -> None:
    """All cells as one rasterised picture in colours that hold on light and dark paper."""
    picture = np.zeros((*confusion.shape, 4))
    picture[..., :3] = _rgb(MISTAKE)
    picture[..., 3] = np.sqrt(_shares(confusion))
    diagonal = np.arange(len(confusion))
    picture[diagonal, diagonal] = (0.55, 0.58, 0.62, 0.5)
    axes.imshow(picture, interpolation="nearest")


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))  # type: ignore[return-value]


def _label_axes(axes: Axes, names: list[str], counted: bool, upright: bool) -> None:
    step = 1 if counted else max(1, -(-len(names) // 15))
    places = range(0, len(names), step)
    shown = [shortened(names[place], 12) if counted else str(place) for place in places]
    axes.set_xticks(list(places), shown, rotation=0 if upright or not counted else 90)
    axes.set_yticks(list(places), shown)
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel("predicted" if counted else "predicted (number of the class)")
    axes.set_ylabel("true" if counted else "true (number of the class)")


def _mistakes(records: Records) -> str:
    rows = records.arrays.get("mistakes")
    true, predicted = records.arrays.get("mistake_true"), records.arrays.get("mistake_predicted")
    if rows is None or true is None or predicted is None:
        return ""
    limits = common_limits(rows)
    cells = []
    longest = 0
    for index in spread_over(len(rows), affordable(_MOST_MISTAKES, records.shape)):
        right, wrong = records.class_name(int(true[index])), records.class_name(int(predicted[index]))
        longest = max(longest, len(right), len(wrong))
        below = f"{text(shortened(right, 12))} → {element('b', text(shortened(wrong, 12)))}"
        alt = f"test row of class {right} taken for {wrong}"
        cells.append(cell(tile(rows[index], records.shape, limits, alt), below=below))
    scale = scale_words(records.shape, limits)
    words = f"Test rows that were mistaken: true class → predicted class. {scale}".strip()
    return figure(grid(cells, records.shape, roomy=longest > 2), records.caption("mistakes", words))
