"""Download one file: resumable, atomic, checked.

Bytes go to `NAME.part`, which a later call continues (HTTP Range). Only a file whose uncompressed content has
the expected SHA-256 is renamed to NAME; a complete file with other content is deleted. pooch speaks HTTP; it
cannot resume, so it writes here to the end of the part file. A killed process leaves at most the part file.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lamina.core.errors import DownloadError
from lamina.data.content import content_sha256

log = logging.getLogger(__name__)
CHUNK_BYTES = 2**13  # what a broken connection had brought of a chunk is lost


def download(
    address: str, target: Path, sha256: str, *, timeout: float = 20.0, attempts: int = 4, pause: float = 1.0
) -> Path:
    """Bring `address` to `target`, whose uncompressed content must have `sha256`.

    timeout   seconds without a byte before a connection counts as stalled
    attempts  failures in a row, without a byte gained, before giving up
    pause     seconds before the second attempt, doubled for each further one

    Raises DownloadError (address, what was expected, what came) and then leaves nothing that looks whole.
    """
    part = target.with_name(target.name + ".part")
    try:
        with _sole_writer(target):
            if target.exists():  # another process brought it while this one waited
                return target
            return _download(address, part, target, sha256, timeout, attempts, pause)
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(f"cannot write {part} ({error.strerror or error}): free space or set LAMINA_DATA") from None


def _download(address: str, part: Path, target: Path, sha256: str, timeout: float, attempts: int, pause: float) -> Path:
    failures, most = 0, _size(part)
    while True:
        resumed = _size(part) > 0
        failure, final = _append(address, part, timeout)
        if failure is None:
            found = content_sha256(part)
            if found == sha256:
                _publish(part, target)
                return target
            part.unlink()
            failure = f"content has sha256 {found[:16]}, expected {sha256[:16]}"
            final = not resumed  # the start may be left from another version of the file: once more from nothing
            most = 0
        failures = failures + 1 if _size(part) <= most else 1
        most = max(most, _size(part))
        log.info("%s: %s", address, failure)
        if final or failures >= attempts:
            raise DownloadError(
                f"{address} did not give {target.name}: {failure}; check the network, or put the file into "
                f"{target.parent} or the folder that LAMINA_DATA names "
                f"(LAMINA_DATA/{target.parent.name}/{target.name})"
            )
        time.sleep(pause * 2 ** (failures - 1))


def _append(address: str, part: Path, timeout: float) -> tuple[str | None, bool]:
    """Continue the part file: (what failed or None, whether it is useless to try again)."""
    import requests
    from pooch import HTTPDownloader

    have = _size(part)
    headers = {"Accept-Encoding": "identity"}  # the archive's own bytes, or a continuation would not fit
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with part.open("ab") as file:
            hook = {"response": lambda response, *args, **kwargs: _prepare(response, file)}
            get = HTTPDownloader(chunk_size=CHUNK_BYTES, timeout=timeout, headers=headers, hooks=hook)
            try:
                get(address, file, None)
            finally:
                file.flush()
                os.fsync(file.fileno())
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        if status == 416 and have:  # nothing left to send: complete already, or longer than the file is now
            return None, False
        return f"HTTP status {status}", 400 <= status < 500 and status not in (408, 429)
    except requests.RequestException as error:
        reason = _root_cause(error)
        return f"{reason} after {_size(part)} bytes", False
    return None, False


def _prepare(response: Any, file: IO[bytes]) -> None:
    # A server that gives the whole file instead of the rest would otherwise be appended to what is there.
    if response.status_code == 200:
        file.truncate(0)
    # Some servers call an archive an encoding; undone in transit, the bytes kept would not be the archive's.
    response.raw.headers.pop("Content-Encoding", None)


def _root_cause(error: BaseException) -> str:
    text = str(error)
    if "timed out" in text:
        return "no answer in time"
    if "Read" in text or "broken" in text:
        return "the connection broke off"
    return f"no connection ({type(error).__name__})"


def _publish(part: Path, target: Path) -> None:
    os.replace(part, target)
    if os.name == "posix":  # the rename itself lies in the folder, which has a buffer of its own
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _sole_writer(target: Path) -> Iterator[None]:
    """Let one process at a time write: several may start on the same data set at once (`torchrun`)."""
    try:
        import fcntl
    except ImportError:  # Windows: two writers would spoil the part file, which its checksum then shows
        yield
        return
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
