"""Downloads from a server that truncates, stalls, ignores ranges and lies: nothing that looks whole remains."""

import gzip
import hashlib
import socket
import threading

import numpy as np
import pytest

from lamina.core.errors import DownloadError
from lamina.data.download import download

PLAIN = np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8).tobytes()
ARCHIVE = gzip.compress(PLAIN, mtime=0)
SHA256 = hashlib.sha256(PLAIN).hexdigest()
FAST = {"timeout": 0.4, "attempts": 2, "pause": 0.01}


@pytest.fixture
def server(bad_server):
    return bad_server(ARCHIVE)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "set" / "file.gz"


@pytest.fixture(autouse=True)
def folder(target):
    target.parent.mkdir()


def left(target):
    """Names that remain, the lock aside."""
    return sorted(p.name for p in target.parent.iterdir() if not p.name.endswith(".lock"))


def test_a_whole_file_is_kept_byte_for_byte(server, target):
    assert download(server.address + "file.gz", target, SHA256, **FAST) == target
    assert target.read_bytes() == ARCHIVE
    assert left(target) == ["file.gz"]


def test_broken_connections_are_continued_not_repeated(server, target):
    server.script = ["truncate 8192", "truncate 24576", "truncate 8192"]
    download(server.address, target, SHA256, **FAST)
    assert server.ranges == [None, "bytes=8192-", "bytes=32768-", "bytes=40960-"]
    assert target.read_bytes() == ARCHIVE


def test_a_later_call_continues_what_an_earlier_one_left(server, target):
    server.script = ["truncate 32768", "status 503", "status 503"]
    with pytest.raises(DownloadError, match="503"):
        download(server.address, target, SHA256, **FAST)
    assert left(target) == ["file.gz.part"]
    assert (target.parent / "file.gz.part").read_bytes() == ARCHIVE[:32768]
    download(server.address, target, SHA256, **FAST)
    assert server.ranges[-1] == "bytes=32768-"
    assert target.read_bytes() == ARCHIVE
    assert left(target) == ["file.gz"]


def test_a_stall_is_given_up_and_continued(server, target):
    server.script = ["stall 16384"]
    download(server.address, target, SHA256, **FAST)
    assert server.ranges == [None, "bytes=16384-"]
    assert target.read_bytes() == ARCHIVE


def test_a_server_that_always_stalls_ends_in_an_error(server, target):
    server.script = ["stall 8192"] + ["no stall 1"] * 9
    with pytest.raises(DownloadError, match="no answer in time"):
        download(server.address, target, SHA256, **FAST)
    assert len(server.ranges) == FAST["attempts"]
    assert not target.exists()


def test_a_server_that_ignores_ranges_is_started_afresh(server, target):
    server.script = ["truncate 24576", "no range"]
    download(server.address, target, SHA256, **FAST)
    assert server.ranges == [None, "bytes=24576-"]
    assert target.read_bytes() == ARCHIVE


def test_ignored_ranges_and_truncation_together_end(server, target):
    server.script = ["no range 24576"] * 20
    with pytest.raises(DownloadError, match="broke off after 24576 bytes"):
        download(server.address, target, SHA256, **FAST)
    assert len(server.ranges) == FAST["attempts"]
    assert not target.exists()


def test_wrong_bytes_are_deleted_and_named(server, target):
    server.script = ["wrong", "wrong"]
    with pytest.raises(DownloadError) as caught:
        download(server.address + "file.gz", target, SHA256, **FAST)
    message = str(caught.value)
    found = hashlib.sha256(b"<html>log in here</html>").hexdigest()
    assert SHA256[:16] in message
    assert found[:16] in message
    assert server.address + "file.gz" in message
    assert "\n" not in message
    assert left(target) == []


def test_a_start_left_from_another_version_is_thrown_away(server, target):
    (target.parent / "file.gz.part").write_bytes(b"x" * 1000)
    download(server.address, target, SHA256, **FAST)
    assert server.ranges == ["bytes=1000-", None]
    assert target.read_bytes() == ARCHIVE


def test_a_part_that_was_complete_already_is_used(server, target):
    (target.parent / "file.gz.part").write_bytes(ARCHIVE)
    download(server.address, target, SHA256, **FAST)
    assert server.ranges == [f"bytes={len(ARCHIVE)}-"]
    assert left(target) == ["file.gz"]


def test_a_part_longer_than_the_file_is_thrown_away(server, target):
    (target.parent / "file.gz.part").write_bytes(b"x" * (len(ARCHIVE) + 5))
    download(server.address, target, SHA256, **FAST)
    assert target.read_bytes() == ARCHIVE


def test_an_archive_called_an_encoding_stays_an_archive_and_resumes(server, target):
    server.script = ["encoded 16384", "encoded"]
    download(server.address, target, SHA256, **FAST)
    assert server.ranges == [None, "bytes=16384-"]
    assert target.read_bytes() == ARCHIVE


def test_a_missing_page_is_not_asked_for_again(server, target):
    server.script = ["status 404", "whole"]
    with pytest.raises(DownloadError, match="404"):
        download(server.address, target, SHA256, **FAST)
    assert len(server.ranges) == 1
    assert not target.exists()


def test_an_unreachable_address_is_one_line_with_address_and_variable(target):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/file.gz"
    with pytest.raises(DownloadError) as caught:
        download(address, target, SHA256, **FAST)
    assert address in str(caught.value)
    assert "LAMINA_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_two_writers_at_once_ask_once(server, target):
    failures = []

    def bring():
        try:
            download(server.address, target, SHA256, **FAST)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=bring) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(server.ranges) == 1
    assert target.read_bytes() == ARCHIVE


def test_a_folder_that_cannot_be_written_is_a_download_error(server, target):
    blocked = target.parent / "file"
    blocked.write_bytes(b"")
    with pytest.raises(DownloadError, match="LAMINA_DATA"):
        download(server.address, blocked / "file.gz", SHA256, **FAST)
