"""``lamina reproduce``: follow a paper end to end."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lamina.cli.printing import print_json, say
from lamina.core.errors import SettingError


def run(options: argparse.Namespace, command: str) -> None:
    if options.list:
        _list(options)
        return
    from lamina.recipes import reproduce
    from lamina.report import write_report
    from lamina.training.progress import Progress

    wanted, out = _wanted(options)
    answer = reproduce(
        **wanted,
        out=out,
        overwrite=options.overwrite,
        resume=bool(options.resume),
        say=None if options.quiet else say,
        listener=None if options.quiet else (lambda title: Progress(sys.stderr, title)),
        command=command,
    )
    page = write_report(answer["run"])
    if options.json:
        print_json(answer)
        return
    _print_answer(answer)
    print(f"report: {page}")


def _wanted(options: argparse.Namespace) -> tuple[dict, str | None]:
    """Recipe and settings, and the folder; a run that is resumed by its folder gives its own."""
    if isinstance(options.resume, str):
        from lamina.recipes.reproduce import settings_of

        found = settings_of(options.resume)
        if options.name not in (None, found["name"]):
            raise SettingError(
                f"--resume {options.resume} is a run of {found['name']!r}; expected that name or none, not "
                f"{options.name!r}"
            )
        return found, options.resume
    if options.name is None:
        raise SettingError("no recipe given; expected a name: 'lamina reproduce --list' shows them")
    return {key: getattr(options, key) for key in ("name", "quick", "seed", "device")}, options.out


def _print_answer(answer: dict) -> None:
    from lamina.report.quantities import counted, duration

    print(f"{answer['title']} ({answer['paper']})")
    _print_rows(answer["results"])
    print(f"{counted(len(answer['deviations']), 'deviation')} from the paper:")
    for words in answer["deviations"]:
        print(f"  - {words}")
    for words in answer["notes"]:
        print(f"note: {words}")
    if answer["quick"]:
        print("quick version: a check that everything runs, not a reproduction")
    seeds = ", ".join(map(str, answer["seeds"])) or "none"
    print(f"{duration(answer['seconds'])}; seeds: {seeds}")


def _print_rows(rows: list[dict]) -> None:
    from lamina.report.measured import ours_words, published_words

    first = max(24, *(len(row["what"]) for row in rows))
    second = 2 + max(12, *(len(ours_words(row)) for row in rows))
    print(f"{'':{first}}{'published':>14}{'measured here':>{second + 1}}  unit")
    for row in rows:
        print(f"{row['what']:{first}}{published_words(row):>14}{ours_words(row):>{second + 1}}  {row['unit']}".rstrip())
    if any(row.get("read") == "memory" and row["published"] is not None for row in rows):
        print("ᵐ quoted from memory of the paper")


def _list(options: argparse.Namespace) -> None:
    from lamina.recipes import entries
    from lamina.report.quantities import duration

    known = entries()
    if options.json:
        print_json({entry.name: _listed(entry) for entry in known})
        return
    for entry in known:
        print(f"{entry.name}\n  {entry.title}\n  {entry.paper}")
        if entry.recorded is None:
            about = f"; the full version takes about {duration(60 * entry.minutes)}" if entry.minutes else ""
            print(f"  no numbers recorded here yet{about}")
            continue
        print(f"  recorded here, {duration(entry.recorded['seconds'])}:")
        for row in entry.recorded["results"]:
            print(f"    {_row_words(row)}")


def _listed(entry: Any) -> dict:
    recorded = entry.recorded or {}
    return {
        "title": entry.title,
        "paper": entry.paper,
        "results": recorded.get("results", []),
        "seconds": recorded.get("seconds"),
    }


def _row_words(row: dict) -> str:
    from lamina.report.measured import ours_words, published_words

    unit = f" {row['unit']}" if row["unit"] else ""
    published = "" if row["published"] is None else f" (published {published_words(row)})"
    return f"{row['what']}: {ours_words(row)}{unit}{published}"
