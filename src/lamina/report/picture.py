"""One picture of many image rows, as a PNG file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from lamina.core.errors import DataError
from lamina.core.storage import write_bytes
from lamina.report.tiles import image_shape

_GAP = 2  # pixels between images
_SIDE = 56  # small images are enlarged by whole factors to about this many pixels


def write_grid(path: Path, rows: np.ndarray, shape: Sequence[int]) -> None:
    """Write ``rows`` (n, n_features), each an image of ``shape``, side by side; their range runs from black to white.

    Raises `DataError` where rows of that shape are no images.
    """
    image = image_shape(shape)
    if image is None:
        raise DataError(f"rows of shape {tuple(shape)} are no images; expected (channels, height, width): drop --grid")
    low, high = float(rows.min()), float(rows.max())
    images = ((rows - low) / max(high - low, 1e-12)).reshape(len(rows), *image)
    channels, height, width = image
    columns = ceil(sqrt(len(rows)))
    lines = ceil(len(rows) / columns)
    canvas = np.ones((lines * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels))
    for k, one in enumerate(images):
        top, left = k // columns * (height + _GAP), k % columns * (width + _GAP)
        canvas[top : top + height, left : left + width] = one.transpose(1, 2, 0)
    levels = np.rint(255 * canvas).astype(np.uint8)
    picture = Image.fromarray(levels[:, :, 0] if channels == 1 else levels)
    factor = max(1, _SIDE // max(height, width))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())
