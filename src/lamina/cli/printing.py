"""Where the command line's words go: answers to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys


def say(line: str) -> None:
    """One line on standard error."""
    print(line, file=sys.stderr, flush=True)


def print_json(document: dict) -> None:
    """The answer as one JSON object on one line."""
    from lamina.core.storage import plain

    print(json.dumps(plain(document), ensure_ascii=False))
