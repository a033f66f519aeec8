"""A row of numbers as a small line, SVG by hand: sixty of them must cost less than one matplotlib figure."""

import html
from itertools import pairwise

import numpy as np

_WIDTH, _HEIGHT, _MARGIN = 160, 56, 3
#: Columns of blocks in a long row; each is drawn from its smallest to its largest value.
_MOST_BLOCKS = 80


def envelope(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in [0, 1] and values of a line that stands for ``row`` (n,).

    A long row is cut into blocks, each represented by its minimum and maximum in their order: peaks stay.
    """
    n = len(row)
    if n <= 2 * _MOST_BLOCKS:
        return np.linspace(0, 1, n) if n > 1 else np.array([0.5]), row
    edges = np.linspace(0, n, _MOST_BLOCKS + 1).astype(int)
    kept: list[int] = []
    for start, stop in pairwise(edges):
        block = row[start:stop]
        kept.extend(start + at for at in sorted({int(block.argmin()), int(block.argmax())}))
    return np.array(kept) / (n - 1), row[kept]


def sparkline(row: np.ndarray, limits: tuple[float, float], title: str) -> str:
    """``row`` (n,) as an ``<svg>`` with its y axis over ``limits``; NaN is drawn as the lowest value."""
    low, high = limits
    span = (high - low) or 1.0
    positions, values = envelope(np.nan_to_num(row.astype(np.float64), nan=low, posinf=high, neginf=low))
    x = _MARGIN + positions * (_WIDTH - 2 * _MARGIN)
    y = _HEIGHT - _MARGIN - np.clip((values - low) / span, 0, 1) * (_HEIGHT - 2 * _MARGIN)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    mark = f'<polyline points="{points}"/>' if len(row) > 1 else f'<circle cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="2.5"/>'
    zero = ""
    if low < 0 < high:
        level = _HEIGHT - _MARGIN - (0 - low) / span * (_HEIGHT - 2 * _MARGIN)
        zero = f'<path class="zero" d="M0 {level:.1f}H{_WIDTH}"/>'
    name = html.escape(title)
    head = f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">'
    return f"{head}{zero}{mark}</svg>"
