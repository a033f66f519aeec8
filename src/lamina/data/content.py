"""What a data file holds once it is uncompressed: archives of the same bytes differ between copies."""

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import IO, cast

from lamina.core.errors import FileFormatError

GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 2**20


def open_content(path: Path) -> IO[bytes]:
    """Open for reading the uncompressed bytes; the first bytes tell a compressed file, its name may not."""
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path, "rb") if compressed else path.open("rb"))


def content_sha256(path: Path) -> str:
    """SHA-256 of the uncompressed bytes, or "damaged archive" where they cannot all be had."""
    digest = hashlib.sha256()
    try:
        with open_content(path) as content:
            while block := content.read(BLOCK_BYTES):
                digest.update(block)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return "damaged archive"
    return digest.hexdigest()


def read_verified(path: Path, sha256: str) -> bytes:
    """The uncompressed bytes of a file; raises FileFormatError unless they are the expected ones."""
    try:
        with open_content(path) as content:
            data = content.read()
        found = hashlib.sha256(data).hexdigest()
    except (EOFError, gzip.BadGzipFile, zlib.error):
        found = "damaged archive"
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
    if found != sha256:
        raise FileFormatError(
            f"{path}: truncated or altered (content sha256 {found[:16]}, expected {sha256[:16]}): delete "
            "it and load again"
        )
    return data
