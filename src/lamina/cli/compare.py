"""``lamina compare``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lamina.cli.printing import print_json, say
from lamina.cli.study_options import study_options


def run(options: argparse.Namespace, command: str) -> None:
    from lamina.report import comparison_sentence, write_report
    from lamina.report.records import read_records
    from lamina.studies import CompareOptions, compare
    from lamina.training.progress import Progress

    wanted, out = study_options(options, CompareOptions, "compare")
    show = None if options.quiet else (lambda title: Progress(sys.stderr, title))
    document = compare(
        wanted, out=out, overwrite=options.overwrite, resume=bool(options.resume), listener=show, command=command
    )
    page = write_report(document["run"])
    for warning in document["warnings"]:
        say(f"warning: {warning}")
    if options.json:
        print_json(_answer(document))
        return
    _print_table(document)
    print(comparison_sentence(read_records(document["run"])))
    print(f"report: {page}")


def _answer(document: dict) -> dict:
    """``results`` holds two entries per kind of layer and one per baseline, whose ``layer`` is null."""
    data = document["data"]
    about = {entry["layer"]: entry for entry in document["compared"]}
    names = ("error_train", "error_test", "near_zero", "hoyer", "dead", "units")
    fields = ("layer", "protocol", "error_mean", "error_sd", "errors", "seconds")
    return {
        "data": data["name"],
        "n_train": data["n_train"],
        "n_labels": data["n_labels"],
        "n_test": data["n_test"],
        "repeats": document["repeats"],
        "run": document["run"],
        "results": [{name: result[name] for name in fields} for result in document["results"]],
        "layers": [{"layer": kind, **{name: entry[name] for name in names}} for kind, entry in about.items()],
    }


def _print_table(document: dict) -> None:
    data = document["data"]
    print(
        f"{data['name']}: {data['n_train']:,} rows to learn from, {data['n_labels']:,} labels, "
        f"{data['n_test']:,} test rows; repeats: {document['repeats']}"
    )
    print(
        f"{'test error, %':22}{'frozen features':>17}{'fine-tuned':>16}{'lost':>9}{'sparsity':>10}{'dead':>6}{'s':>8}"
    )
    for entry in document["compared"]:
        own = {r["protocol"]: r for r in document["results"] if r["layer"] == entry["layer"]}
        errors = [_error(own[protocol]) for protocol in ("frozen features", "fine-tuned")]
        lost = entry["error_train"] if entry["error_test"] is None else entry["error_test"]
        sparsity = "–" if entry["hoyer"] is None else f"{entry['hoyer']:.2f}"
        print(
            f"{entry['layer']:22}{errors[0]:>17}{errors[1]:>16}{lost:9.3g}{sparsity:>10}{entry['dead']:6.0f}"
            f"{entry['seconds']:8.1f}"
        )
    for result in (result for result in document["results"] if result["layer"] is None):
        print(f"{result['protocol']:22}{_error(result):>17}")


def _error(result: Any) -> str:
    words = f"{100 * result['error_mean']:.1f}"
    return words if len(result["errors"]) < 2 else f"{words} ± {100 * result['error_sd']:.1f}"
