"""The IDX format, by hand-made bytes."""

import numpy as np
import pytest

from lamina.core.errors import FileFormatError
from lamina.data.idx import parse_idx

IMAGES = b"\0\0\x08\x03" + b"\0\0\0\x02" + b"\0\0\0\x01" + b"\0\0\0\x03" + bytes([1, 2, 3, 4, 5, 255])


def test_values_and_shape():
    found = parse_idx(IMAGES, "here")
    np.testing.assert_array_equal(found, [[[1, 2, 3]], [[4, 5, 255]]])
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    "data", [b"", IMAGES[:3], IMAGES[:9], IMAGES[:-1], IMAGES + b"x", b"\x1f\x8b" + IMAGES, b"\0\0\x0d" + IMAGES[3:]]
)
def test_every_other_byte_string_is_refused(data):
    with pytest.raises(FileFormatError, match=r"^here: .*delete it"):
        parse_idx(data, "here")
