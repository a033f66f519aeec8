"""Verbs and options of the command line."""

from __future__ import annotations

import argparse
from typing import Any

from lamina.cli import apply, compare, diagnose, learn, look, reproduce
from lamina.cli.printing import say

VERBS = {
    "learn": (
        "learn layers from all rows, then use the labels there are; baselines beside it; report.html",
        "lamina learn digits --labels 100\n  lamina learn recordings.csv --label species --labels all --groups site\n"
        "  lamina learn digits --labels 100 --layer denoising\n"
        "  lamina learn digits --model dbm",
    ),
    "compare": (
        "several kinds of layers on the same rows, labels and sizes: which suits these data? report.html",
        "lamina compare digits --labels 100\n"
        "  lamina compare rows.csv --label species --layers rbm,denoising,sparse-coding --repeats 5",
    ),
    "diagnose": (
        "what is wrong with a run, on what evidence, and which option to change",
        "lamina diagnose runs/digits-100",
    ),
    "predict": (
        "classes of new rows, by a finished run",
        "lamina predict runs/digits-100 new.csv --out classes.csv",
    ),
    "encode": ("features of new rows, by a finished run", "lamina encode runs/digits-100 new.npy --out codes.npy"),
    "sample": (
        "draw rows from the model of a run",
        "lamina sample runs/digits-100 -n 100 --grid --out samples.png\n"
        "  lamina sample runs/digits-dbn --clamp label=7 --grid\n"
        "  lamina sample runs/digits-dbm --clamp rows.npy",
    ),
    "report": ("draw report.html again from a run's records", "lamina report runs/digits-100"),
    "reproduce": (
        "follow a paper end to end: its numbers beside those measured here, every deviation, report.html",
        "lamina reproduce --list\n  lamina reproduce hopfield1982_capacity --quick",
    ),
    "data": ("list data sets, or look at one", "lamina data mnist\n  lamina data recordings.csv"),
    "bench": ("time Lamina against the limit of this machine and its peers", "lamina bench rbm"),
}


# Kinds of layer, written out so that --help needs no torch; a test holds them against `lamina.training.layer_kinds`.
_KINDS = ("rbm", "autoencoder", "denoising", "sparse", "contractive", "sparse-coding", "predictive-sparse")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        say(f"lamina: {message}; see '{self.prog} --help'")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    from lamina import __version__

    top = _Parser(
        prog="lamina",
        description="Learns layers of features from unlabelled signals, one layer at a time.",
        epilog="example:\n  lamina learn digits --labels 100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"lamina {__version__}")
    verbs = top.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)
    for name, add in (
        ("learn", _add_learn),
        ("compare", _add_compare),
        ("diagnose", _add_diagnose),
        ("predict", _add_predict),
        ("encode", _add_encode),
        ("sample", _add_sample),
        ("report", _add_report),
        ("reproduce", _add_reproduce),
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
    return top


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected layer sizes such as 500,500,2000") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _labels(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of labels or 'all'") from None


def _add_learn(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("data", nargs="?", help="a data set's name, a .npy .npz .csv .parquet file, a folder of images")
    verb.add_argument(
        "--model",
        metavar="KIND",
        help="learn a generative model instead: rbm, classification-rbm, dbn, dbm, convolutional-rbm, vae",
    )
    verb.add_argument(
        "--layer",
        default="rbm",
        metavar="KIND",
        help=f"kind of layers: {', '.join(_KINDS)} (default rbm)",
    )
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
    _add_reading(verb)
    verb.add_argument("--label-curve", action="store_true", help="errors for several numbers of labels too")
    _add_run_folder(verb, "run folder (default: a new one below runs/)")
    verb.set_defaults(run=learn.run)


def _add_reading(verb: argparse.ArgumentParser) -> None:
    """How to read the user's data."""
    verb.add_argument("--units", default="auto", help="visible units: auto (default), bernoulli, gaussian")
    verb.add_argument("--constant", default="refuse", help="constant columns: refuse (default) or keep")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="where the labels are; blanks are unlabelled rows")
    verb.add_argument("--groups", metavar="COLUMN", help="rows of one group stay on one side of every split")
    verb.add_argument("--test", metavar="FILE|FRACTION", help="test rows (default: the official part, or 0.2)")


def _add_compare(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("data", nargs="?", help="a data set's name, a .npy .npz .csv .parquet file, a folder of images")
    verb.add_argument(
        "--layers", type=_names, metavar="KIND,KIND", help=f"kinds to compare (default all): {', '.join(_KINDS)}"
    )
    verb.add_argument("--labels", type=_labels, default="all", metavar="N", help="labels to draw, or 'all' (default)")
    verb.add_argument(
        "--repeats", type=int, default=3, metavar="R", help="draws of labels, each with layers learnt anew (default 3)"
    )
    verb.add_argument("--hidden", type=_sizes, metavar="200,200", help="layer sizes (default: two, by the data's size)")
    verb.add_argument("--epochs", type=int, help="passes of pre-training per layer (default: by the data's size)")
    _add_reading(verb)
    _add_run_folder(verb, "run folder (default: a new one below runs/)")
    verb.set_defaults(run=compare.run)


def _add_diagnose(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folders", nargs="+", metavar="RUN", help="run folders of 'lamina learn', 'compare', 'reproduce'")
    verb.set_defaults(run=diagnose.run)


def _add_rows(verb: argparse.ArgumentParser, what: str) -> None:
    verb.add_argument("folder", metavar="RUN", help="run folder of 'lamina learn'")
    verb.add_argument("data", help="rows: a file, a folder of images, or a data set's name")
    verb.add_argument("--out", metavar="FILE", help=what)


def _add_predict(verb: argparse.ArgumentParser) -> None:
    _add_rows(verb, "write class and probabilities to this .csv file")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="true labels, to print the error")
    verb.set_defaults(run=apply.predict)


def _add_encode(verb: argparse.ArgumentParser) -> None:
    _add_rows(verb, "write the codes to this .npy file (default: codes.npy)")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="where labels are, so that they are not taken for values")
    verb.add_argument("--layer", type=int, help="layer, from 1 at the bottom (default: the top)")
    verb.set_defaults(run=apply.encode)


def _add_sample(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", metavar="RUN", help="run folder of 'lamina learn' or 'lamina reproduce'")
    verb.add_argument("-n", type=int, help="number of samples (default 64, or the number of held rows)")
    verb.add_argument(
        "--steps", type=int, help="steps of Gibbs sampling (default 25 for layers, 1000 for generative models)"
    )
    verb.add_argument(
        "--clamp",
        action="append",
        metavar="label=CLASS|ROWS.npy",
        help="hold a class (several take turns), or the values of a .npy file that are not NaN; the rest is drawn",
    )
    verb.add_argument("--stage", metavar="NAME", help="which model of a recipe's run (default: the last)")
    verb.add_argument("--grid", action="store_true", help="write one picture of all samples (.png)")
    verb.add_argument("--out", metavar="FILE", help="default: samples.npy, samples.png with --grid")
    verb.set_defaults(run=apply.sample)


def _add_reproduce(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("name", nargs="?", metavar="NAME", help="the recipe; --list shows all")
    verb.add_argument("--list", action="store_true", help="list the recipes: paper, recorded numbers, full time")
    verb.add_argument("--quick", action="store_true", help="a small version, a minute or so: does everything run?")
    _add_run_folder(verb, "run folder (default: a new one, runs/NAME or runs/NAME-quick)")
    verb.set_defaults(run=reproduce.run)


def _add_run_folder(verb: argparse.ArgumentParser, out: str) -> None:
    verb.add_argument("--out", metavar="RUN", help=out)
    verb.add_argument("--overwrite", action="store_true", help="replace an existing run folder")
    verb.add_argument(
        "--resume", nargs="?", const=True, default=False, metavar="RUN", help="go on with a run that was stopped"
    )
    verb.add_argument("--quiet", action="store_true", help="no progress on standard error")


def _add_report(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", metavar="RUN", help="run folder of 'lamina learn' or 'lamina reproduce'")
    verb.set_defaults(run=apply.report)


def _add_data(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("name", nargs="?", help="a data set's name or a file of your own")
    verb.add_argument("--label", metavar="COLUMN|FILE", help="where the labels of your file are")
    verb.add_argument("--fetch", action="store_true", help="download the named data set if it is not here")
    verb.set_defaults(run=look.data)


def _add_bench(verb: argparse.ArgumentParser) -> None:
    what = (
        "rbm: one step of contrastive divergence; ais: one temperature of annealed importance sampling (784-500); "
        "sparse-coding: a dictionary learnt as well as scikit-learn's; som: a self-organising map, and minisom's; "
        "mlp: a perceptron on MNIST, and scikit-learn's"
    )
    verb.add_argument("what", choices=["rbm", "ais", "sparse-coding", "som", "mlp"], help=what)
    verb.add_argument("--repeats", type=int, default=7, help="measurements per figure, the median counts (default 7)")
    verb.set_defaults(run=look.bench)
