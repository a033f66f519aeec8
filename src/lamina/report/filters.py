"""First-layer weights: as images where the input is one, else as a heat map units × features."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lamina.report.elements import figure, section
from lamina.report.quantities import count, significant
from lamina.report.records import Records
from lamina.report.svg import figure_style, inline_svg, new_figure, only_axes
from lamina.report.tiles import affordable, cell, grid, image_shape, spread_over, tile

_MOST_FILTERS = 96
_MOST_ROWS = 120
#: Share of the weights that lies inside the scale: a few outliers must not turn the rest grey.
_INSIDE = 99.5

# Transparent at zero, so that the page itself, light or dark, is the colour of "no weight".
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", [(0.78, 0.31, 0.1, 1.0), (0.78, 0.31, 0.1, 0.0), (0.13, 0.45, 0.8, 0.0), (0.13, 0.45, 0.8, 1.0)]
)


def filters_section(records: Records) -> str:
    """Weights of the first layer's hidden units, or nothing where they were not kept."""
    weights = records.arrays.get("filters")
    if weights is None:
        return ""
    weights = np.nan_to_num(weights.astype(np.float64))
    if image_shape(records.filter_shape) is None:
        return section("filters", "First-layer weights", _heat_map(records, weights))
    return section("filters", "First-layer filters", _images(records, weights))


def weight_scale(weights: np.ndarray) -> float:
    """Largest absolute weight that the scale shows, the same for all filters; never 0."""
    return max(float(np.percentile(np.abs(weights), _INSIDE)), np.finfo(np.float64).tiny)


def _of_all(shown: int, total: int) -> str:
    return (
        f"{shown} of {count(total)} hidden units, evenly spaced"
        if shown < total
        else f"All {count(total)} hidden units"
    )


def _what(records: Records) -> str:
    """Sparse codes weigh atoms; other units weigh the input."""
    if records.part("layer").get("filters") == "atoms":
        return "the atom of one unit, what it adds to a row where it is active"
    return "the weights from the input to one unit"


def _images(records: Records, weights: np.ndarray) -> str:
    shape, scale = records.filter_shape, weight_scale(weights)
    chosen = spread_over(len(weights), affordable(_MOST_FILTERS, shape))
    cells = [
        cell(tile(0.5 + 0.5 * weights[index] / scale, shape, (0, 1), f"weights of hidden unit {index}"))
        for index in chosen
    ]
    colour = "in each colour channel " if shape[0] == 3 and len(shape) == 3 else ""
    words = (
        f"{_of_all(len(chosen), len(weights))}: each picture holds {_what(records)}. One scale "
        f"for all: {colour}mid-grey is zero, white +{significant(scale, 2)} or more, black "
        f"−{significant(scale, 2)} or "
        "less. Localised strokes and edges are what a well-trained layer shows; specks all over are noise."
    )
    return figure(grid(cells, shape), records.caption("filters", words))


def _heat_map(records: Records, weights: np.ndarray) -> str:
    chosen = spread_over(len(weights), _MOST_ROWS)
    scale = weight_scale(weights)
    drawing = inline_svg(
        filter_figure(weights[chosen], scale),
        "filters-figure",
        "Weights of the first layer",
        f"Heat map of {len(chosen)} hidden units by {weights.shape[1]} features.",
    )
    words = (
        f"{_of_all(len(chosen), len(weights))}, one per row; features run from left to right. Blue "
        "weights are positive, "
        f"orange negative, and full colour is {significant(scale, 2)} or more; where the weight is zero "
        "the page shows."
    )
    return figure(drawing, records.caption("filters", words))


def filter_figure(weights: np.ndarray, scale: float) -> Figure:
    """Heat map of ``weights`` (n_hidden, n_features), rasterised, full colour at ± ``scale``."""
    with figure_style():
        drawing = new_figure(500, 90 + min(320, max(80, 5 * len(weights))))
        axes = only_axes(drawing)
        axes.imshow(weights, cmap=_SIGNED, vmin=-scale, vmax=scale, aspect="auto", interpolation="nearest")
        axes.set_xlabel("feature")
        axes.set_ylabel("hidden unit")
        axes.spines[["left", "top", "right"]].set_visible(True)
        axes.locator_params(integer=True)
    return drawing
