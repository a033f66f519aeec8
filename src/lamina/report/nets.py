"""Nets in a plane: the prototypes of maps as knots, threads between units that touch."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Drawing

from lamina.core.figures import Nets
from lamina.report.palette import ACCENT, MUTED
from lamina.report.svg import figure_style, inline_svg, new_figure

_SIDE = 190  # pixels of one net
_MOST_IN_A_ROW = 4


def nets_drawing(figure: Nets, key: str) -> str:
    """``figure`` as one drawing."""
    words = f"{len(figure.places)} nets" + (f": {', '.join(figure.captions)}." if figure.captions else ".")
    return inline_svg(nets_figure(figure), key, figure.title, words)


def nets_figure(figure: Nets) -> Drawing:
    """All nets of ``figure`` side by side, up to four in a row, on one scale."""
    n = len(figure.places)
    columns = min(n, _MOST_IN_A_ROW)
    rows = -(-n // columns)
    low, high = _limits(figure)
    with figure_style():
        drawing = new_figure(columns * _SIDE, rows * (_SIDE + 18))
        for k in range(n):
            axes = drawing.add_subplot(rows, columns, k + 1)
            _draw(axes, np.asarray(figure.places[k], float), np.asarray(figure.edges[k]))
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=(), yticks=())
            if figure.captions:
                axes.set_title(figure.captions[k], fontsize=12, color=MUTED)
    return drawing


def _draw(axes: Axes, places: np.ndarray, edges: np.ndarray) -> None:
    axes.add_collection(LineCollection(list(places[edges]), colors=ACCENT, linewidths=0.8))
    axes.scatter(places[:, 0], places[:, 1], s=5, c=ACCENT, linewidths=0)
    axes.spines["bottom"].set_visible(False)


def _limits(figure: Nets) -> tuple[np.ndarray, np.ndarray]:
    everything = np.concatenate([np.asarray(one, float) for one in figure.places])
    low, high = everything.min(0), everything.max(0)
    margin = 0.04 * max(float((high - low).max()), 1e-9)
    return low - margin, high + margin
