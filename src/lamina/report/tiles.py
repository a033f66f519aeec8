"""Small pictures of single rows: PNG in a data URI where a row is an image, a line otherwise.

Single tiles, not one big mosaic: the page then fits as many side by side as the screen is wide.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lamina.report.elements import element
from lamina.report.sparkline import sparkline

#: Images are enlarged to about this many pixels, so that browsers never blur them, ...
_SIDE = 84
#: ... and reduced to this many at most.
_LARGEST_SIDE = 72
#: Bytes of raw pixels that one grid may hold: with five grids a report stays below 3 MB whatever the
#: images are.
_GRID_BYTES = 360_000


def image_shape(shape: Sequence[int]) -> tuple[int, int, int] | None:
    """(channels, height, width) where ``shape`` is that of a grey or colour image, else None."""
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < 2:
        return None
    return shape[0], shape[1], shape[2]


def affordable(limit: int, shape: Sequence[int]) -> int:
    """How many tiles of ``shape`` one grid shows: ``limit``, or fewer where the images are large."""
    image = image_shape(shape)
    if image is None:
        return limit
    channels, height, width = image
    pixels = min(height, _LARGEST_SIDE) * min(width, _LARGEST_SIDE)
    return max(8, min(limit, _GRID_BYTES // (channels * pixels)))


def spread_over(n_rows: int, n_shown: int) -> np.ndarray:
    """Indices of at most ``n_shown`` rows out of ``n_rows``, evenly spaced and in order."""
    if n_rows <= n_shown:
        return np.arange(n_rows)
    return np.floor(np.arange(n_shown) * (n_rows / n_shown)).astype(int)


def png_uri(values: np.ndarray) -> str:
    """An image (channels, height, width) as a PNG data URI; values are clipped to [0, 1], NaN is black."""
    levels = np.rint(255 * np.clip(np.nan_to_num(values.astype(np.float64)), 0, 1)).astype(np.uint8)
    picture = Image.fromarray(levels[0] if len(levels) == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0)))
    longest = max(picture.size)
    if longest > _LARGEST_SIDE:
        scale = _LARGEST_SIDE / longest
        smaller = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(smaller, Image.Resampling.BOX)
    else:
        factor = max(1, round(_SIDE / longest))
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def tile(row: np.ndarray, shape: Sequence[int], limits: tuple[float, float], alt: str) -> str:
    """One row (n_features,) as HTML: an image, or a line drawn between the ``limits`` of its y axis."""
    image = image_shape(shape)
    if image is None:
        return sparkline(row, limits, alt)
    uri = png_uri(row.reshape(image))
    return element("img", src=uri, alt=alt, class_="tile")


def common_limits(*arrays: np.ndarray) -> tuple[float, float]:
    """Smallest and largest finite value of all ``arrays``, to draw their rows on one scale."""
    finite = [array[np.isfinite(array)] for array in arrays]
    values = np.concatenate([array.ravel() for array in finite])
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def grid(cells: Sequence[str], shape: Sequence[int], *, pairs: bool = False, roomy: bool = False) -> str:
    """Finished tiles in as many columns as fit; lines, and images with long names, get wider cells."""
    kind = "lines" if image_shape(shape) is None else "images"
    return element("div", *cells, class_=f"tiles {kind}{' pairs' if pairs else ''}{' roomy' if roomy else ''}")


def cell(*tiles: str, below: str = "") -> str:
    """One cell of a grid: tiles above one another and finished HTML below them."""
    return element("div", *tiles, element("span", below, class_="below") if below else "", class_="cell")


def scale_words(shape: Sequence[int], limits: tuple[float, float]) -> str:
    """How to read the tiles: grey levels, or the axes of the lines; colour images explain themselves."""
    image = image_shape(shape)
    if image is not None:
        return "Values from 0 to 1 run from black to white." if image[0] == 1 else ""
    low, high = (f"{limit:.3g}".replace("-", "−") for limit in limits)
    return f"Features run from left to right; all lines are drawn on one scale, from {low} to {high}."
