"""``lamina diagnose``: what is wrong with a run, and what to change."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from lamina.cli.printing import print_json

WIDTH = 100


def run(options: argparse.Namespace, command: str) -> None:
    from lamina.studies.diagnose import diagnose

    found = diagnose(*options.folders)
    if options.json:
        print_json({"runs": list(options.folders), **found.to_dict()})
        return
    for stage in found.stages:
        print(f"{stage.name}: {stage.verdict}")
        for finding in stage.findings:
            _print_finding(finding)
    print(_last_line(found))


def _print_finding(finding: Any) -> None:
    because = f", an effect of {finding.because}" if finding.because else ""
    print(f"  {finding.name} (score {finding.score:.2f}{because})")
    for words in finding.evidence:
        _print_wrapped(f"{words}", "    - ")
    _print_wrapped(finding.remedy, "    ")
    for option in finding.options:
        _print_wrapped("   ".join(part for part in (option.command, option.python) if part), "      ")


def _print_wrapped(words: str, indent: str) -> None:
    print(textwrap.fill(words, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent)))


def _last_line(found: Any) -> str:
    n = len(found.stages)
    stages = f"{n} stage{'s' if n != 1 else ''}"
    if not found.findings:
        return f"{stages}: {found.verdict}"
    first = found.findings[0]
    return f"{stages}; first of all: {first.name} ({first.stage}). {first.remedy}"
