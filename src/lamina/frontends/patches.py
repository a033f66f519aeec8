"""Patches of images: drawn at random, or all on a grid, and put together again.

An image is an array (height, width), or (channels, height, width); images of unequal sizes come as a list. A patch is a
square of ``size`` × ``size`` pixels with the channels of its image, so that patches are (n, size, size) or
(n, channels, size, size).

Cutting all patches is linear, P = C x. `assemble` is the least-squares inverse (CᵀC)⁻¹ Cᵀ P: every pixel is the mean of
the patches that cover it, and patches that were cut from one image give it back (docs/mathematics.md, eq. 145).

Inside: `random_patches`, `all_patches`, `assemble`, and `PatchGrid`, the record that remembers what an image was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random


def random_patches(images: Sequence[Any], n: int, size: int, random_state: int | Random | None = 0) -> np.ndarray:
    """``n`` patches from random places of ``images``, taken in turn, in their own type: (n, [channels,] size, size).

    Every place of an image is as likely; patches may overlap and repeat. `DataError` where an image is smaller than a
    patch or the channels differ.
    """
    check_number("n", n, low=1, integer=True)
    arrays = [_image(image, size) for image in images]
    if not arrays or len({a.shape[:-2] for a in arrays}) != 1:
        raise DataError(
            f"the images have shapes {[a.shape for a in arrays][:4]}; expected at least one image, all with the same "
            f"channels"
        )
    generator = as_random(random_state).numpy()
    found = np.empty((n, *arrays[0].shape[:-2], size, size), np.result_type(*arrays))
    for k in range(n):
        image = arrays[k % len(arrays)]
        i, j = (int(generator.integers(side - size + 1)) for side in image.shape[-2:])
        found[k] = image[..., i : i + size, j : j + size]
    return found


def all_patches(image: Any, size: int, stride: int = 1) -> np.ndarray:
    """Patches of one image at every ``stride``-th place, row by row: (n, [channels,] size, size), a copy.

    Where the stride does not divide, a last row and column of patches stand at the border, so that every pixel is
    covered as long as stride ≤ size.
    """
    return PatchGrid.of(image, size, stride).cut(image)


def assemble(patches: Any, shape: Sequence[int], stride: int = 1) -> np.ndarray:
    """The image of ``shape`` whose patches, cut as by `all_patches`, are nearest to ``patches`` in squares: float64.

    A pixel is the mean of all patches that cover it; one that none covers (stride > size) is 0.
    """
    patches = np.asarray(patches)
    if patches.ndim < 3 or patches.shape[-1] != patches.shape[-2]:
        raise DataError(
            f"the patches have shape {patches.shape}; expected (n, size, size) or (n, channels, size, size)"
        )
    return PatchGrid(tuple(shape), patches.shape[-1], stride).assemble(patches)


@dataclass(frozen=True)
class PatchGrid:
    """Where the patches of an image of ``shape`` ([channels,] height, width) stand: every ``stride``-th place."""

    shape: tuple[int, ...]
    size: int
    stride: int = 1

    def __post_init__(self) -> None:
        check_number("stride", self.stride, low=1, integer=True)
        _image(np.broadcast_to(0.0, self.shape), self.size)

    @classmethod
    def of(cls, image: Any, size: int, stride: int = 1) -> PatchGrid:
        """The grid for images of the shape of ``image``."""
        return cls(np.shape(image), size, stride)

    @property
    def counts(self) -> tuple[int, int]:
        """Patches along height and width."""
        rows, columns = (len(self._starts(side)) for side in self.shape[-2:])
        return rows, columns

    def _starts(self, side: int) -> list[int]:
        last = side - self.size
        starts = list(range(0, last + 1, self.stride))
        return starts if starts[-1] == last else [*starts, last]

    def _places(self) -> list[tuple[int, int]]:
        rows, columns = (self._starts(side) for side in self.shape[-2:])
        return [(i, j) for i in rows for j in columns]

    def cut(self, image: Any) -> np.ndarray:
        """All patches of ``image``, row by row: (n, [channels,] size, size)."""
        image = np.asarray(image)
        if image.shape != self.shape:
            raise DataError(f"the image has shape {image.shape}; expected {self.shape}, the shape of this grid")
        s = self.size
        return np.stack([image[..., i : i + s, j : j + s] for i, j in self._places()])

    def assemble(self, patches: Any) -> np.ndarray:
        """The mean of overlapping patches at every pixel: the inverse of `cut`, ``shape`` float64."""
        patches = np.asarray(patches, np.float64)
        places, s = self._places(), self.size
        expected = (len(places), *self.shape[:-2], s, s)
        if patches.shape != expected:
            raise DataError(f"the patches have shape {patches.shape}; expected {expected} for an image {self.shape}")
        total, covered = np.zeros(self.shape), np.zeros(self.shape[-2:])
        for (i, j), patch in zip(places, patches, strict=True):
            total[..., i : i + s, j : j + s] += patch
            covered[i : i + s, j : j + s] += 1
        return total / np.maximum(covered, 1)


def _image(image: Any, size: int) -> np.ndarray:
    """``image`` as an array; raise where it is none or smaller than a patch."""
    check_number("size", size, low=1, integer=True)
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiub":
        raise DataError(
            f"an image has shape {array.shape} and type {array.dtype}; expected numbers (height, width) or (channels, "
            f"height, width)"
        )
    if min(array.shape[-2:]) < size:
        raise SettingError(
            f"size is {size} and an image is {array.shape[-2]} × {array.shape[-1]} pixels; expected patches that fit: "
            f"lower size, or are the channels last? (move them to the front)"
        )
    return array
