"""Which kind of layer for these data: several kinds learnt from the same rows, and judged on the same labels.

Every repeat draws its own labels and learns all layers from its own seed, so that the spread over repeats holds both.
Within a repeat all kinds share rows, labels, sizes and seed. Two protocols for each kind (a softmax head on the frozen
code; layers and head trained whole on the labelled rows), the baselines once per repeat. Every finished piece is kept,
so that a comparison that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DivergenceError, LabelError, SettingError, nearest_names
from lamina.core.figures import pack
from lamina.metrics import spread
from lamina.studies import baselines, defaults, protocols
from lamina.studies.answers import error_on_test, predict_rows
from lamina.studies.code_statistics import code_statistics
from lamina.studies.compared_pictures import compared_figures, pictures_of
from lamina.studies.described import describe_data
from lamina.studies.diagnose import diagnosis_of
from lamina.studies.drawn_labels import check_label_number, draw_rows
from lamina.studies.environment import environment, peak_megabytes
from lamina.studies.layers import Layers, is_perceptron, title_of
from lamina.studies.memo import Memo, Piece
from lamina.studies.options import check_shared
from lamina.studies.pictures import examples
from lamina.studies.preparation import Prepared, open_data, prepare
from lamina.studies.recorder import Listener, Recorder
from lamina.studies.run_folder import open_run, write_records, write_scaling
from lamina.studies.task import Task, task_of
from lamina.training import History
from lamina.training.layer_kinds import KINDS, layered

FROZEN, TUNED = "frozen features", "fine-tuned"
PROTOCOLS = {
    FROZEN: "a softmax head on the frozen code of the top layer",
    TUNED: "layers and softmax head trained whole on the labelled rows, with dropout",
}
BASELINES: dict[str, tuple[Callable[[Task], Any], str]] = {
    "without pre-training": (
        lambda task: baselines.network_without_pretraining(task)[0],
        "the same layer sizes from random weights, ReLU and dropout",
    ),
    "logistic regression": (baselines.logistic_regression, "on the raw input"),
    "pca + svm": (baselines.pca_svm, "up to 50 principal directions, RBF kernel"),
}
SEEDLESS = ("logistic regression", "pca + svm")  # with all labels drawn, no repeat changes them
MOST_LAYERS = 2  # unless told: a comparison is about kinds of layer, and learns them many times


@dataclass(frozen=True)
class CompareOptions:
    """What a user may ask of `compare`; the command line's options have the same names."""

    data: str
    layers: tuple[str, ...] | None = None
    labels: int | str = "all"
    repeats: int = 3
    hidden: tuple[int, ...] | None = None
    epochs: int | None = None
    units: str = "auto"
    constant: str = "refuse"
    label: str | None = None
    groups: str | None = None
    test: str | None = None
    seed: int = 0
    device: str | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of layer to compare: all of them unless told."""
        return tuple(KINDS) if self.layers is None else tuple(self.layers)

    def check(self) -> None:
        """Raise `SettingError` for values outside their limits."""
        for kind in self.kinds:
            if kind not in KINDS:
                raise SettingError(f"--layers holds {kind!r}; {nearest_names(str(kind), list(KINDS))}")
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise SettingError(f"--layers is {','.join(self.kinds)!r}; expected kinds of layer, each of them once")
        check_number("--repeats", self.repeats, low=1, integer=True)
        check_shared(self)


def compare(
    options: CompareOptions,
    *,
    out: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    listener: Listener | None = None,
    command: str = "",
) -> dict:
    """Run the comparison and return its records (what ``records.json`` holds, plus ``run``, the folder).

    ``listener(title)`` gives a callback of the loop that shows progress. Raises `LabelError` where test rows have no
    labels to judge by, and what `lamina.studies.learn` raises.
    """
    options.check()
    check_device(options.device)
    dataset = open_data(options.data, label=options.label, groups=options.groups, test=options.test, seed=options.seed)
    prepared = prepare(dataset, units=options.units, constant=options.constant)
    check_label_number(options.labels, options.seed, prepared)
    if not prepared.has_labels or prepared.y_test is None or not (prepared.y_test >= 0).any():
        raise LabelError(
            f"{dataset.name} has no labels to judge by; expected labelled training and test rows: name their column "
            f"with --label, or learn features with 'lamina learn {options.data} --layer KIND'"
        )
    name = f"{dataset.name}-{options.labels}-compare"
    folder = open_run(out, name, asdict(options), overwrite=overwrite, resume=resume)
    document, arrays = _Comparison(options, prepared, folder, Recorder(folder, listener)).run()
    document = {"kind": "comparison", "title": f"Kinds of layer on {dataset.name}", "command": command, **document}
    write_records(folder, document, arrays)
    return {**document, "run": str(folder)}


class _Comparison:
    """One call of `compare`: the data, the folder, and what has been done so far."""

    def __init__(self, options: CompareOptions, prepared: Prepared, folder: Path, recorder: Recorder) -> None:
        self.options, self.data, self.folder, self.recorder = options, prepared, folder, recorder
        self.memo = Memo(folder / "checkpoint" / "pieces")
        n_rows, n_features = prepared.X.shape
        self.n_labels = len(draw_rows(prepared, options.labels, options.seed))
        hidden = options.hidden or defaults.choose_hidden(n_rows, n_features)[:MOST_LAYERS]
        self.plans = {
            kind: defaults.plan(n_rows, n_features, self.n_labels, hidden, options.epochs, kind)
            for kind in options.kinds
        }
        self.layers = {
            kind: Layers(prepared, plan, recorder, folder, options.device) for kind, plan in self.plans.items()
        }
        self.pictures: dict[str, dict[str, np.ndarray]] = {}

    def run(self) -> tuple[dict, dict[str, np.ndarray]]:
        write_scaling(self.folder, self.data.scaling)
        found: dict[str, list[dict]] = {}
        for repeat in range(self.options.repeats):
            for kind in self.options.kinds:
                for part, document in self._kind(kind, repeat).items():
                    found.setdefault(f"{kind}, {part}", []).append(document)
            for name in BASELINES:
                if self.options.labels != "all" or repeat == 0 or name not in SEEDLESS:
                    found.setdefault(name, []).append(self._baseline(name, repeat))
        figures, arrays = pack(compared_figures(self.data, self.pictures))
        return self._document(found, figures), {**examples(self.data, self.options.seed), **arrays}

    # one repeat -----------------------------------------------------------------------------------------------------

    def _kind(self, kind: str, repeat: int) -> dict[str, dict]:
        """What one kind gave in one repeat: its layers, and the errors of the two protocols."""
        seed = self.options.seed + repeat
        learnt, arrays = self._piece(kind, "layers", repeat, lambda: self._learn(kind, seed))
        if repeat == 0:
            self.pictures[kind] = arrays
            for title, history in zip(self.layers[kind].names, learnt["histories"], strict=True):
                self.recorder.add(f"{kind}, {title}", "pretrain", History.from_dict(history))
        frozen, _ = self._piece(kind, FROZEN, repeat, lambda: self._judge(kind, seed, _frozen))
        tuned, _ = self._piece(kind, TUNED, repeat, lambda: self._judge(kind, seed, self._fine_tune(kind, repeat)))
        self.layers[kind].forget(kind, seed)
        return {"layers": learnt, FROZEN: frozen, TUNED: tuned}

    def _stack(self, kind: str, seed: int) -> Any:
        return self.layers[kind](kind, seed, checkpoint=f"layers-{kind}-seed-{seed}", prefix=f"{kind}, seed {seed}, ")

    def _learn(self, kind: str, seed: int) -> Piece:
        stack = self._stack(kind, seed)
        seconds = self.layers[kind].seconds[kind, seed]
        histories = [history.to_dict() for history in self.layers[kind].histories[kind, seed]]
        codes = code_statistics(self.data, stack, self.options.seed)
        document = {"seconds": seconds, "codes": codes, "histories": histories, "perceptron": is_perceptron(stack)}
        return document, pictures_of(self.data, stack, self.options.seed)

    def _judge(self, kind: str, seed: int, fit: Callable[[Task], Any]) -> Piece:
        return self._judged(self._task(seed, self._stack(kind, seed)), fit)

    def _baseline(self, name: str, repeat: int) -> dict:
        seed = self.options.seed + repeat
        kind = self.options.kinds[0]
        sizes = (self.data.X.shape[1], *self.plans[kind].hidden)
        untrained = layered(kind, sizes, self.data.scaling.units)  # baselines never look at it

        def work() -> Piece:
            return self._judged(self._task(seed, untrained), BASELINES[name][0])

        return self._piece("baseline", name, repeat, work)[0]

    def _judged(self, task: Task, fit: Callable[[Task], Any]) -> Piece:
        began = perf_counter()
        error = error_on_test(self.data, predict_rows(fit(task), self.data.X_test))
        return {"error": error, "seconds": perf_counter() - began}, {}

    def _task(self, seed: int, stack: Any) -> Task:
        rows = draw_rows(self.data, self.options.labels, seed)
        plan = self.plans[self.options.kinds[0]]
        return task_of(self.data, rows, stack, plan, seed, self.options.device)

    def _fine_tune(self, kind: str, repeat: int) -> Callable[[Task], Any]:
        checkpoint = self.folder / "checkpoint" / f"fine-tuning-{kind}-{repeat}"

        def fit(task: Task) -> Any:
            callbacks = self.recorder.callbacks(f"{kind}, seed {task.seed}, fine-tuning")
            try:
                return protocols.fine_tuned(task, "supervised", checkpoint=checkpoint, callbacks=callbacks)[0]
            except DivergenceError as error:
                raise self.recorder.add_diverged(error, "finetune") from None

        return fit

    def _piece(self, kind: str, part: str, repeat: int, work: Callable[[], Piece]) -> Piece:
        document, arrays = self.memo(f"{kind}-{repeat}-{part}", work)
        self.recorder.timing.append({"stage": f"{kind}: {part}, repeat {repeat + 1}", "seconds": document["seconds"]})
        return document, arrays

    # records --------------------------------------------------------------------------------------------------------

    def _document(self, found: dict[str, list[dict]], figures: list[dict]) -> dict:
        options = self.options
        env = environment(options.device)
        compared = [_compared(kind, found[f"{kind}, layers"]) for kind in options.kinds]
        results = []
        for entry in compared:
            kind = entry["layer"]
            for protocol, what in PROTOCOLS.items():
                rectified = protocol == TUNED and not entry["perceptron"]
                words = (
                    "rectified units that start in the directions of the atoms, trained whole" if rectified else what
                )
                results.append(_result(kind, protocol, found[f"{kind}, {protocol}"], words, entry["seconds"]))
        results += [_result(None, name, found[name], what, 0.0) for name, (_, what) in BASELINES.items()]
        return {
            "lamina": env.pop("lamina"),
            "data": describe_data(self.data, self.n_labels),
            "repeats": options.repeats,
            "compared": compared,
            "results": results,
            "figures": figures,
            "curves": self.recorder.curves,
            "diagnosis": diagnosis_of(self.recorder.histories),
            "settings": {**asdict(options), "plan": self._plan()},
            "environment": env,
            "seed": options.seed,
            "timing": self.recorder.timing,
            "memory": {"peak_mb": peak_megabytes()},
            "notes": self._notes(),
            "warnings": list(self.data.warnings),
        }

    def _plan(self) -> dict:
        """What was decided by the data's size: the same for all kinds but for the passes of pre-training."""
        plan = asdict(self.plans[self.options.kinds[0]])
        return {**plan, "pretrain_epochs": {kind: plan.pretrain_epochs for kind, plan in self.plans.items()}}

    def _notes(self) -> list[str]:
        options = self.options
        drawn = "all labels each time" if options.labels == "all" else "labels drawn anew"
        return [
            f"units: {self.data.scaling.units}, since {self.data.scaling.why}",
            f"{options.repeats} repeat(s): {drawn}, and all layers learnt anew from another seed; within a repeat all "
            f"kinds share rows, labels, sizes and seed",
            "settings were chosen on the drawn labels alone; test labels were read for the errors alone. Whoever picks "
            "a kind by this table has used them to choose: the error of the kind picked is then a little too good",
            f"the s.d. is over repeats; that the {len(self.data.X_test):,} test rows are a sample too is not in it",
        ]


def _frozen(task: Task) -> Any:
    return protocols.frozen_features(task)[0]


def _compared(kind: str, pieces: Sequence[dict]) -> dict:
    """What the layers of one kind are like, means over the repeats: the top code's sparsity, what is lost in it."""
    tops = [piece["codes"][-1] for piece in pieces]
    return {
        "layer": kind,
        "title": title_of(kind),
        "perceptron": pieces[0]["perceptron"],
        "units": sum(code["units"] for code in pieces[0]["codes"]),
        "dead": float(np.mean([sum(code["dead"] for code in piece["codes"]) for piece in pieces])),
        "seconds": float(np.mean([piece["seconds"] for piece in pieces])),
        **{name: _mean(top[name] for top in tops) for name in ("error_train", "error_test", "near_zero", "hoyer")},
    }


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _result(kind: str | None, protocol: str, pieces: Sequence[dict], what: str, shared: float) -> dict:
    errors = [piece["error"] for piece in pieces]
    over = spread(errors)
    return {
        "name": protocol if kind is None else f"{kind}, {protocol}",
        "layer": kind,
        "protocol": protocol,
        "error_mean": over.mean,
        "error_sd": over.sd,
        "seconds": shared + float(np.mean([piece["seconds"] for piece in pieces])),
        "errors": errors,
        "what": what,
    }
