"""A local server that misbehaves on request, and folders that keep the tests away from the user's own."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class BadServer:
    """Serves `content` at every path; `script` says what the next requests meet, then "whole" for all others.

    whole | truncate N | stall N | no range N (truncate, and ignore Range) | no stall N | wrong | encoded | status N
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.script: list[str] = []
        self.ranges: list[str | None] = []
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        words = (self.script.pop(0) if self.script else "whole").split()
        act, number = words[0], int(words[-1]) if words[-1].isdigit() else 0
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if act == "status":
            request.send_error(number)
            return
        body = self.content if act != "wrong" else b"<html>log in here</html>"
        start = int(asked.split("=")[1].rstrip("-")) if asked and act not in ("no", "wrong") else 0
        if start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if act == "encoded":
            request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        end = start + number if number else len(body)
        request.wfile.write(body[start:end])
        request.wfile.flush()
        if "stall" in words:
            self.released.wait(10)

    def close(self) -> None:
        self.released.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a `LAMINA_DATA` of the test's own; returns the latter."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("LAMINA_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def bad_server() -> Iterator[type[BadServer]]:
    servers: list[BadServer] = []

    def start(content: bytes) -> BadServer:
        servers.append(BadServer(content))
        return servers[-1]

    yield start  # type: ignore[misc]
    for server in servers:
        server.close()
