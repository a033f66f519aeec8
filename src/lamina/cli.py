"""The command line: parse, call, print. No numerics live here.

Results go to standard output, progress and errors to standard error. An error that Lamina raises on purpose is one line
and exit status 2; Ctrl-C is 130.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamina.core.errors import FileFormatError, Interrupted, LaminaError, SettingError

VERBS = {
    "learn": (
        "learn layers from all rows, then use the labels there are; baselines beside it; report.html",
        "lamina learn digits --labels 100\n  lamina learn recordings.csv --label species --labels all --groups site",
    ),
    "predict": (
        "classes of new rows, by a finished run",
        "lamina predict runs/digits-100 new.csv --out classes.csv",
    ),
    "encode": ("features of new rows, by a finished run", "lamina encode runs/digits-100 new.npy --out codes.npy"),
    "sample": ("draw rows from the layers of a run", "lamina sample runs/digits-100 -n 100 --grid --out samples.png"),
    "report": ("draw report.html again from a run's records", "lamina report runs/digits-100"),
    "data": ("list data sets, or look at one", "lamina data mnist\n  lamina data recordings.csv"),
    "bench": ("time Lamina against the limit of this machine and its peers", "lamina bench rbm"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command ``lamina``; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    try:
        options.run(options, "lamina " + shlex.join(arguments))
    except Interrupted as stopped:
        _say(f"lamina: {stopped}")
        return 130
    except KeyboardInterrupt:
        _say("lamina: stopped")
        return 130
    except BrokenPipeError:
        return 0
    except LaminaError as error:
        _say(f"lamina: {_one_line(error)}")
        return 2
    except OSError as error:
        _say(f"lamina: {error.filename or 'a file'}: {error.strerror or error}; expected one to read or write")
        return 2
    except MemoryError:
        _say("lamina: out of memory; expected data that fit: pass a .npy file, which is read from disk, or fewer rows")
        return 2
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else str(error)
    return " ".join(text.split())


# parsing ------------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        _say(f"lamina: {message}; see '{self.prog} --help'")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    from lamina import __version__

    parser = _Parser(
        prog="lamina",
        description="Learns layers of features from unlabelled signals, one layer at a time.",
        epilog="example:\n  lamina learn digits --labels 100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lamina {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    for name, add in (
        ("learn", _add_learn),
        ("predict", _add_predict),
        ("encode", _add_encode),
        ("sample", _add_sample),
        ("report", _add_report),
        ("data", _add_data),
        ("bench", _add_bench),
    ):
        what, example = VERBS[name]
        verb = verbs.add_parser(
            name,
            help=what,
            description=what[0].upper() + what[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(verb)
        verb.add_argument("--json", action="store_true", help="print the answer as one JSON object")
        verb.add_argument("--seed", type=int, default=0, help="seed of every random choice (default 0)")
        verb.add_argument("--device", help="cpu (default), cuda, cuda:1, mps")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected layer sizes such as 500,500,2000") from None


def _labels(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of labels or 'all'") from None


def _add_learn(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("data", nargs="?", help="a data set's name, a .npy .npz .csv .parquet file, a folder of images")
    verb.add_argument("--labels", type=_labels, default="all", metavar="N", help="labels to draw, or 'all' (default)")
    verb.add_argument("--repeats", type=int, default=1, metavar="R", help="draws of labels, or seeds with all labels")
    verb.add_argument("--hidden", type=_sizes, metavar="500,500,2000", help="layer sizes (default: by the data's size)")
    verb.add_argument("--epochs", type=int, help="passes of pre-training per layer (default: by the data's size)")
    verb.add_argument(
        "--protocol", default="all", metavar="P", help="all (default), fine-tuned, frozen or scratch: run one alone"
    )
    verb.add_argument(
        "--way",
        default="auto",
        metavar="W",
        help="fine-tuning: adversarial, 'label spreading' or supervised; auto (default) chooses on the labels",
    )
    verb.add_argument("--units", default="auto", help="visible units: auto (default), bernoulli, gaussian")
    verb.add_argument("--constant", default="refuse", help="constant columns: refuse (default) or keep")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="where the labels are; blanks are unlabelled rows")
    verb.add_argument("--groups", metavar="COLUMN", help="rows of one group stay on one side of every split")
    verb.add_argument("--test", metavar="FILE|FRACTION", help="test rows (default: the official part, or 0.2)")
    verb.add_argument("--label-curve", action="store_true", help="errors for several numbers of labels too")
    verb.add_argument("--out", metavar="RUN", help="run folder (default: a new one below runs/)")
    verb.add_argument("--overwrite", action="store_true", help="replace an existing run folder")
    verb.add_argument(
        "--resume", nargs="?", const=True, default=False, metavar="RUN", help="go on with a run that was stopped"
    )
    verb.add_argument("--quiet", action="store_true", help="no progress on standard error")
    verb.set_defaults(run=_learn)


def _add_rows(verb: argparse.ArgumentParser, what: str) -> None:
    verb.add_argument("folder", metavar="RUN", help="run folder of 'lamina learn'")
    verb.add_argument("data", help="rows: a file, a folder of images, or a data set's name")
    verb.add_argument("--out", metavar="FILE", help=what)


def _add_predict(verb: argparse.ArgumentParser) -> None:
    _add_rows(verb, "write class and probabilities to this .csv file")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="true labels, to print the error")
    verb.set_defaults(run=_predict)


def _add_encode(verb: argparse.ArgumentParser) -> None:
    _add_rows(verb, "write the codes to this .npy file (default: codes.npy)")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="where labels are, so that they are not taken for values")
    verb.add_argument("--layer", type=int, help="layer, from 1 at the bottom (default: the top)")
    verb.set_defaults(run=_encode)


def _add_sample(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", metavar="RUN", help="run folder of 'lamina learn'")
    verb.add_argument("-n", type=int, default=64, help="number of samples (default 64)")
    verb.add_argument("--steps", type=int, default=25, help="steps of Gibbs sampling from example rows (default 25)")
    verb.add_argument("--grid", action="store_true", help="write one picture of all samples (.png)")
    verb.add_argument("--out", metavar="FILE", help="default: samples.npy, samples.png with --grid")
    verb.set_defaults(run=_sample)


def _add_report(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", metavar="RUN", help="run folder of 'lamina learn'")
    verb.set_defaults(run=_report)


def _add_data(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("name", nargs="?", help="a data set's name or a file of your own")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="where the labels of your file are")
    verb.add_argument("--fetch", action="store_true", help="download the named data set if it is not here")
    verb.set_defaults(run=_data)


def _add_bench(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("what", choices=["rbm"], help="rbm: one step of contrastive divergence, 784-500")
    verb.add_argument("--repeats", type=int, default=7, help="measurements per figure, the median counts (default 7)")
    verb.set_defaults(run=_bench)


# verbs --------------------------------------------------------------------------------------------------------------


def _print_json(document: dict) -> None:
    from lamina.core.storage import plain

    print(json.dumps(plain(document), ensure_ascii=False))


def _learn(options: argparse.Namespace, command: str) -> None:
    from lamina.report import summary_sentence, write_report
    from lamina.report.records import read_records
    from lamina.studies import LearnOptions, learn
    from lamina.training.progress import Progress

    wanted, out = _learn_options(options, LearnOptions)
    show = None if options.quiet else (lambda title: Progress(sys.stderr, title))
    document = learn(
        wanted, out=out, overwrite=options.overwrite, resume=bool(options.resume), listener=show, command=command
    )
    page = write_report(document["run"])
    for warning in document["warnings"]:
        _say(f"warning: {warning}")
    if options.json:
        _print_json(_learn_answer(document))
        return
    _print_results(document)
    if document["results"]:
        print(summary_sentence(read_records(document["run"])))
    print(f"report: {page}")


def _learn_options(options: argparse.Namespace, kind: Any) -> tuple[Any, str | None]:
    """The study's options; those of a run that is resumed by its folder come from its settings."""
    if isinstance(options.resume, str):
        if options.data is not None:
            raise SettingError("--resume RUN takes all settings from the run; expected no data beside it")
        from lamina.studies.run_folder import read_settings

        settings = read_settings(Path(options.resume))
        try:
            hidden = None if settings["hidden"] is None else tuple(settings["hidden"])
            return kind(**{**settings, "hidden": hidden}), options.resume
        except (KeyError, TypeError):
            raise FileFormatError(
                f"{options.resume}/settings.json does not hold the options of 'lamina learn': it was altered; "
                f"restore it"
            ) from None
    if options.data is None:
        raise SettingError("no data given; expected a data set's name, a file or a folder: see 'lamina learn --help'")
    if options.resume and not options.out:
        raise SettingError("--resume needs to know the run; expected --resume RUN, or --out RUN beside it")
    return kind(**{f.name: getattr(options, f.name) for f in dataclasses.fields(kind)}), options.out


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


def _predict(options: argparse.Namespace, command: str) -> None:
    from lamina.core.storage import write_bytes
    from lamina.studies.apply import predict

    answer = predict(options.folder, options.data, label=options.label, device=options.device)
    if options.json:
        _print_json(answer)
        return
    header = ",".join(["predicted", *(_csv(f"p({name})") for name in answer["classes"])])
    pairs = zip(answer["predicted"], answer["probabilities"], strict=True)
    rows = [f"{_csv(name)},{','.join(f'{p:.6g}' for p in probabilities)}" for name, probabilities in pairs]
    text = "\n".join([header, *rows]) + "\n"
    if options.out:
        write_bytes(Path(options.out), text.encode())
        print(f"{len(rows)} rows: {options.out}")
    else:
        sys.stdout.write(text)
    if answer["error"] is not None:
        _say(f"error against the given labels: {100 * answer['error']:.2f} %")


def _csv(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def _encode(options: argparse.Namespace, command: str) -> None:
    from lamina.core.storage import write_array
    from lamina.studies.apply import encode

    codes = encode(options.folder, options.data, layer=options.layer, label=options.label, device=options.device)
    out = Path(options.out or "codes.npy")
    write_array(out, codes)
    answer = {"out": str(out), "shape": list(codes.shape)}
    _print_json(answer) if options.json else print(f"{codes.shape[0]} rows of {codes.shape[1]} features: {out}")


def _sample(options: argparse.Namespace, command: str) -> None:
    from lamina.core.storage import write_array
    from lamina.studies.apply import sample, sample_shape

    rows = sample(options.folder, options.n, steps=options.steps, seed=options.seed, device=options.device)
    out = Path(options.out or ("samples.png" if options.grid else "samples.npy"))
    if options.grid:
        from lamina.report.picture import write_grid

        write_grid(out, rows, sample_shape(options.folder))
    else:
        write_array(out, rows)
    answer = {"out": str(out), "shape": list(rows.shape)}
    _print_json(answer) if options.json else print(f"{rows.shape[0]} samples of {rows.shape[1]} values: {out}")


def _report(options: argparse.Namespace, command: str) -> None:
    from lamina.report import write_report

    page = write_report(options.folder)
    _print_json({"report": str(page)}) if options.json else print(f"report: {page}")


def _data(options: argparse.Namespace, command: str) -> None:
    from lamina import data

    if options.name is None:
        known = {name: data.describe(name) for name in data.names()}
        if options.json:
            _print_json(known)
            return
        for name, about in known.items():
            where = about.get("folder") or "not here: 'lamina data NAME --fetch' downloads it"
            print(f"{name:10}{about['what']} ({where})")
        return
    named = options.name in data.names() and not Path(options.name).exists()
    answer: dict = dict(data.describe(options.name)) if named else {}
    if not named or options.fetch or answer.get("folder") or not answer.get("files"):
        answer |= _look_at(data.load(options.name) if named else data.read(options.name, label=options.label))
    if options.json:
        _print_json(answer)
        return
    for key, value in answer.items():
        print(f"{key:14}{value if not isinstance(value, (dict, list)) else json.dumps(value, ensure_ascii=False)}")


def _look_at(dataset: Any) -> dict:
    from lamina.core.checks import value_range

    low, high = value_range(dataset.X) if dataset.X.dtype.kind in "fiub" else (None, None)
    labelled = 0 if dataset.y is None else int((dataset.y >= 0).sum())
    return {
        "rows": dataset.n_rows,
        "test rows": 0 if dataset.X_test is None else len(dataset.X_test),
        "features": dataset.n_features,
        "shape": list(dataset.shape),
        "values": [low, high],
        "labelled": labelled,
        "classes": list(dataset.classes),
        "groups": 0 if dataset.groups is None else len(set(dataset.groups.tolist())),
    }


def _bench(options: argparse.Namespace, command: str) -> None:
    from lamina.studies.benchmark import bench_rbm

    answer = bench_rbm(repeats=options.repeats, seed=options.seed, device=options.device)
    if options.json:
        _print_json(answer)
        return
    print(f"{answer['what']} ({answer['threads']} threads, {answer['device']}, median of {answer['repeats']})")
    for batch in answer["batches"]:
        print(f"\nbatch {batch['batch_size']}{'ms per step':>36}{'× limit':>10}")
        for row in batch["rows"]:
            print(f"  {row['name']:34}{row['milliseconds']:9.2f}{row['ratio']:10.2f}")
    for note in answer["notes"]:
        print(note)


if __name__ == "__main__":
    sys.exit(main())
