"""``lamina learn``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lamina.cli.printing import print_json, say
from lamina.cli.study_options import study_options
from lamina.core.errors import SettingError


def run(options: argparse.Namespace, command: str) -> None:
    from lamina.report import summary_sentence, write_report
    from lamina.report.records import read_records
    from lamina.studies import LearnOptions, learn
    from lamina.training.progress import Progress

    if _is_generative(options):
        _generate(options, command)
        return
    wanted, out = study_options(options, LearnOptions, "learn")
    show = None if options.quiet else (lambda title: Progress(sys.stderr, title))
    document = learn(
        wanted, out=out, overwrite=options.overwrite, resume=bool(options.resume), listener=show, command=command
    )
    page = write_report(document["run"])
    for warning in document["warnings"]:
        say(f"warning: {warning}")
    if options.json:
        print_json(_learn_answer(document))
        return
    _print_results(document)
    if document["results"]:
        print(summary_sentence(read_records(document["run"])))
    print(f"report: {page}")


def _is_generative(options: argparse.Namespace) -> bool:
    """Whether a generative model is asked for, by ``--model`` or by the run that is resumed."""
    if isinstance(options.resume, str) and options.data is None:
        from lamina.studies.run_folder import read_settings

        return "model" in read_settings(Path(options.resume))
    return options.model is not None


def _generate(options: argparse.Namespace, command: str) -> None:
    from lamina.report import write_report
    from lamina.studies import GenerateOptions, generate
    from lamina.training.progress import Progress

    for option, value, default in (
        ("--repeats", options.repeats, 1),
        ("--protocol", options.protocol, "all"),
        ("--way", options.way, "auto"),
        ("--label-curve", options.label_curve, False),
        ("--layer", options.layer, "rbm"),
    ):
        if value != default:
            raise SettingError(f"{option} is for the study of labels; expected it without --model")
    wanted, out = study_options(options, GenerateOptions, "learn")
    show = None if options.quiet else (lambda title: Progress(sys.stderr, title))
    document = generate(
        wanted, out=out, overwrite=options.overwrite, resume=bool(options.resume), listener=show, command=command
    )
    page = write_report(document["run"])
    for warning in document["warnings"]:
        say(f"warning: {warning}")
    if options.json:
        print_json(_generate_answer(document))
        return
    _print_measured(document)
    print(f"report: {page}")


def _generate_answer(document: dict) -> dict:
    data = document["data"]
    return {
        "data": data["name"],
        "model": document["settings"]["model"],
        "n_train": data["n_train"],
        "n_labels": data["n_labels"],
        "n_test": data["n_test"],
        "run": document["run"],
        "measured": document["measured"],
        "seconds": document["seconds"],
    }


def _print_measured(document: dict) -> None:
    from lamina.report.measured import interval_words
    from lamina.report.quantities import measure

    print(document["summary"])
    width = max(24, *(len(row["what"]) for row in document["measured"]))
    for row in document["measured"]:
        unit = row.get("unit", "")
        interval = f"  [{interval_words(row)}]" if row.get("low") is not None else ""
        print(f"{row['what']:{width}}{measure(row['ours']):>14}  {unit}{interval}".rstrip())


def _learn_answer(document: dict) -> dict:
    data = document["data"]
    return {
        "data": data["name"],
        "n_train": data["n_train"],
        "n_labels": data["n_labels"],
        "n_test": data["n_test"],
        "repeats": document["repeats"],
        "run": document["run"],
        "results": [
            {key: result[key] for key in ("name", "error_mean", "error_sd", "seconds")}
            for result in document["results"]
        ],
    }


def _print_results(document: dict) -> None:
    data = document["data"]
    print(
        f"{data['name']}: {data['n_train']:,} rows to learn from, {data['n_labels']:,} labels, "
        f"{data['n_test']:,} test rows; {data['units']} units ({data['why_units']})"
    )
    if not document["results"]:
        print("no labels: layers learnt; see the report for filters, reconstructions and samples")
        return
    over = "seeds" if data["n_labels"] == data["n_train"] else "draws"
    print(f"{'':24}{'test error, %':>15}{'s.d.':>8}{'seconds':>10}   ({document['repeats']} {over})")
    for result in document["results"]:
        if result["error_mean"] is None:
            print(f"{result['name']:24}{'no test labels':>15}{'':8}{result['seconds']:10.1f}")
            continue
        mean, sd = 100 * result["error_mean"], 100 * result["error_sd"]
        print(f"{result['name']:24}{mean:15.2f}{sd:8.2f}{result['seconds']:10.1f}")
