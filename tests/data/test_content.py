"""Checksums of what is inside: the same for every copy of an archive, and never for a damaged one."""

import gzip
import hashlib

import pytest

from lamina.core.errors import FileFormatError
from lamina.data.content import content_sha256, read_verified

PLAIN = bytes(range(256)) * 100
SHA256 = hashlib.sha256(PLAIN).hexdigest()


@pytest.mark.parametrize(
    "stored", [PLAIN, gzip.compress(PLAIN, 1), gzip.compress(PLAIN, 9)], ids=["plain", "fast", "small"]
)
def test_every_copy_of_the_content_is_accepted_whatever_its_name(tmp_path, stored):
    path = tmp_path / "file.gz"
    path.write_bytes(stored)
    assert content_sha256(path) == SHA256
    assert read_verified(path, SHA256) == PLAIN


@pytest.mark.parametrize(
    "stored",
    [b"", PLAIN[:-1], gzip.compress(PLAIN)[:-3], gzip.compress(PLAIN)[:20], gzip.compress(PLAIN[1:])],
    ids=["empty", "short", "cut", "start", "other"],
)
def test_anything_else_is_named_and_to_be_deleted(tmp_path, stored):
    path = tmp_path / "file.gz"
    path.write_bytes(stored)
    assert content_sha256(path) != SHA256
    with pytest.raises(FileFormatError, match=r"file\.gz: truncated or altered .* delete it"):
        read_verified(path, SHA256)


def test_a_flipped_bit_inside_an_archive_is_seen(tmp_path):
    stored = bytearray(gzip.compress(PLAIN))
    stored[len(stored) // 2] ^= 1
    path = tmp_path / "file.gz"
    path.write_bytes(stored)
    with pytest.raises(FileFormatError):
        read_verified(path, SHA256)
