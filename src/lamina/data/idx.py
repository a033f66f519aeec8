"""The IDX format of MNIST: two zero bytes, a type code, the number of dimensions, the sizes, then the values.

Source: the description on the data set's page, Y. LeCun, C. Cortes, C. Burges. Only unsigned bytes (type 8)
are read.
"""

from math import prod

import numpy as np

from lamina.core.errors import FileFormatError


def parse_idx(data: bytes, where: str) -> np.ndarray:
    """The uint8 array in `data`, of the shape that its head states, read-only; FileFormatError if it is
    not one."""
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise FileFormatError(
            f"{where}: starts with {data[:4]!r}, expected an IDX file of bytes: delete it and load again"
        )
    n_dims = data[3]
    head = 4 + 4 * n_dims
    shape = tuple(int(size) for size in np.frombuffer(data[4 : min(head, len(data)) // 4 * 4], dtype=">u4"))
    if len(shape) != n_dims or len(data) != head + prod(shape):
        raise FileFormatError(
            f"{where}: {len(data)} bytes, expected {head + prod(shape)} for shape {shape}: delete it and load again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=head).reshape(shape)
