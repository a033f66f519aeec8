"""The main job: learn layers from all rows, use the few labels there are, and put the baselines beside the result.

Reads data, chooses units, sizes and epochs by looking at the rows (never at labels beyond the N that were asked for),
pre-trains a stack once, of machines or of another kind of layer, then runs the three protocols and the baselines for
each draw of labels. Every finished piece is kept, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DivergenceError, SettingError, nearest_names
from lamina.metrics import spread
from lamina.models import MLP, Stack
from lamina.storage import save
from lamina.studies import baselines, defaults, protocols
from lamina.studies.answers import NETWORKS, error_on_test, predict_rows
from lamina.studies.code_statistics import code_statistics
from lamina.studies.described import describe_data, describe_rows
from lamina.studies.diagnose import diagnosis_of
from lamina.studies.drawn_labels import check_label_number, draw_rows
from lamina.studies.environment import environment, peak_megabytes
from lamina.studies.facts import data_facts
from lamina.studies.layers import Layers, is_stochastic, title_of
from lamina.studies.memo import Memo, Piece
from lamina.studies.options import check_shared
from lamina.studies.pictures import gather
from lamina.studies.preparation import Prepared, open_data, prepare
from lamina.studies.recorder import Listener, Recorder
from lamina.studies.run_folder import open_run, write_records, write_scaling
from lamina.studies.task import Task, task_of
from lamina.training import History
from lamina.training.layer_kinds import KINDS

PROTOCOLS = ("all", "fine-tuned", "frozen", "scratch")
CURVE = (1, 3, 10, 30, 100)  # labels per class at which the label curve is measured

# name in the results, the protocol it belongs to (None: a baseline that always runs), what it is
METHODS = (
    ("lamina", "fine-tuned", "layers learnt without labels, then trained whole"),
    ("frozen features", "frozen", "layers learnt without labels, a softmax head on their code"),
    ("without pre-training", "scratch", "the same layer sizes from random weights, ReLU and dropout"),
    ("logistic regression", None, "on the raw input"),
    ("pca + svm", None, "up to 50 principal directions, RBF kernel"),
)


# baselines that no seed changes once all labels are drawn: fitted once, whatever the repeats
SEEDLESS = ("logistic regression", "pca + svm")


CAPTIONS = {
    "code_2d": "t-SNE of the top code of held-out rows; the layers never saw a label.",
    "confusion": "First draw of labels, main method.",
    "mistakes": "First draw of labels, main method.",
}
SAMPLED = {
    "samples": "25 steps of Gibbs sampling in the top layer, begun at training rows, then means downward. Layers "
    "learnt by one-step contrastive divergence know the neighbourhood of the rows; longer chains leave it.",
}


@dataclass(frozen=True)
class LearnOptions:
    """What a user may ask of `learn`; the command line's options have the same names."""

    data: str
    labels: int | str = "all"
    repeats: int = 1
    hidden: tuple[int, ...] | None = None
    epochs: int | None = None
    protocol: str = "all"
    way: str = "auto"
    units: str = "auto"
    constant: str = "refuse"
    label: str | None = None
    groups: str | None = None
    test: str | None = None
    label_curve: bool = False
    seed: int = 0
    device: str | None = None
    layer: str = "rbm"

    def check(self) -> None:
        """Raise `SettingError` for values outside their limits."""
        if self.layer not in KINDS:
            raise SettingError(f"--layer is {self.layer!r}; {nearest_names(str(self.layer), list(KINDS))}")
        if self.protocol not in PROTOCOLS:
            raise SettingError(f"--protocol is {self.protocol!r}; {nearest_names(self.protocol, list(PROTOCOLS))}")
        if self.way not in ("auto", *protocols.WAYS):
            raise SettingError(f"--way is {self.way!r}; {nearest_names(self.way, ['auto', *protocols.WAYS])}")
        check_number("--repeats", self.repeats, low=1, integer=True)
        check_shared(self)


def learn(
    options: LearnOptions,
    *,
    out: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    listener: Listener | None = None,
    command: str = "",
) -> dict:
    """Run the study and return its records (what ``records.json`` holds, plus ``run``, the folder).

    ``listener(title)`` gives a callback of the loop that shows progress. Raises what `open_data`, `prepare` and
    `lamina.fit` raise; a folder is made only once the data are known to be usable.
    """
    options.check()
    check_device(options.device)
    dataset = open_data(options.data, label=options.label, groups=options.groups, test=options.test, seed=options.seed)
    prepared = prepare(dataset, units=options.units, constant=options.constant)
    check_label_number(options.labels, options.seed, prepared)
    folder = open_run(
        out, _name(options, prepared), asdict(options), overwrite=overwrite, resume=resume, later={"layer": "rbm"}
    )
    study = _Study(options, prepared, folder, Recorder(folder, listener))
    document, arrays = study.run()
    document = {"title": f"Layers learnt from {dataset.name}", "command": command, **document}
    write_records(folder, document, arrays)
    return {**document, "run": str(folder)}


def facts_of(task: Task) -> dict[str, Any]:
    """What the labelled rows of ``task`` say of themselves, for the doctor."""
    if len(task.y) < 2:
        return {}
    return data_facts(task.X_labelled, task.y, n_unlabelled=len(task.X) - len(task.y))


def held_out_error(choice: list[dict]) -> dict[str, float]:
    """The error of the chosen way on the labelled rows that its trials held out."""
    errors = [tried["cv_error"] for tried in choice if tried["chosen"] and tried["cv_error"] is not None]
    return {"held-out error": errors[0]} if errors else {}


def _name(options: LearnOptions, prepared: Prepared) -> str:
    """What the run folder is called unless told: the data, the labels, and the layers where they are no machines."""
    parts = [prepared.dataset.name]
    parts += [str(options.labels)] if prepared.has_labels else []
    parts += [options.layer] if options.layer != "rbm" else []
    return "-".join(parts)


class _Study:
    """One call of `learn`: the data, the folder, and what has been done so far."""

    def __init__(self, options: LearnOptions, prepared: Prepared, folder: Path, recorder: Recorder) -> None:
        self.options, self.data, self.folder, self.recorder = options, prepared, folder, recorder
        self.memo = Memo(folder / "checkpoint" / "pieces")
        n_labels = self._count_labels()
        self.plan = defaults.plan(
            len(prepared.X), prepared.X.shape[1], n_labels, options.hidden, options.epochs, options.layer
        )
        self.n_labels = n_labels
        self.layers = Layers(prepared, self.plan, recorder, folder, options.device)
        self._noted: set[int] = set()
        self.facts: dict[str, Any] = {}  # of the labelled rows of the first draw, for the doctor

    def _count_labels(self) -> int:
        if not self.data.has_labels:
            return 0
        return len(draw_rows(self.data, self.options.labels, self.options.seed))

    def run(self) -> tuple[dict, dict[str, np.ndarray]]:
        write_scaling(self.folder, self.data.scaling)
        stack = self.stack(self.options.seed)
        save(stack, self.folder / "stack", self._about())
        results: list[dict] = []
        predicted = None
        choice: list[dict] = []
        if self.data.has_labels:
            results, predicted, choice = self.results(self.options.labels, first=True)
        else:
            save(stack, self.folder, self._about())
        with self.recorder.timed("statistics of the codes"):
            codes = code_statistics(self.data, stack, self.options.seed)
        curve = self.label_curve() if self.options.label_curve and self.data.has_labels else []
        with self.recorder.timed("pictures for the report"):
            arrays = gather(self.data, stack, predicted, self.options.seed)
        return {**self._document(results, choice, curve), "codes": codes}, arrays

    # learning without labels ----------------------------------------------------------------------------------------

    def stack(self, seed: int) -> Stack:
        """Layers learnt from all training rows with ``seed``: made once."""
        kind = self.options.layer
        stack = self.layers(kind, seed, checkpoint=f"layers-seed-{seed}")
        if seed not in self._noted:
            self._noted.add(seed)
            stage = f"learning {len(stack)} layers without labels, seed {seed}"
            self.recorder.timing.append({"stage": stage, "seconds": self.layers.seconds[kind, seed]})
            if seed == self.options.seed:
                for title, history in zip(self.layers.names, self.layers.histories[kind, seed], strict=True):
                    self.recorder.add(title, "pretrain", history)
        return stack

    # with labels ----------------------------------------------------------------------------------------------------

    def task(self, labels: int | str, draw: int) -> Task:
        """The labels of one draw. With all labels drawn, draws differ by the seed of the layers instead."""
        seed = self.options.seed + draw
        rows = draw_rows(self.data, labels, seed)
        stack = self.stack(seed if labels == "all" else self.options.seed)
        return task_of(self.data, rows, stack, self.plan, seed, self.options.device)

    def results(self, labels: int | str, first: bool) -> tuple[list[dict], np.ndarray | None, list[dict]]:
        """Errors of every method over the draws; predictions and choice of the first draw's main method."""
        found: dict[str, list[dict]] = {}
        predicted, choice = None, []
        for draw in range(self.options.repeats):
            task = self.task(labels, draw)
            if first and draw == 0:
                self.facts = facts_of(task)
            for name, _, _ in self._methods():
                if labels == "all" and draw > 0 and name in SEEDLESS:
                    continue
                keep = first and draw == 0
                document, arrays = self._piece(name, task, f"{labels}-{draw}-{name}", keep)
                found.setdefault(name, []).append(document)
                if predicted is None:
                    predicted, choice = arrays["predicted"], document["choice"]
                    self.facts |= held_out_error(choice)
        return [self._summary(name, found[name], what) for name, _, what in self._methods()], predicted, choice

    def _methods(self) -> list[tuple[str, str | None, str]]:
        wanted = self.options.protocol
        return [m for m in METHODS if m[1] is None or wanted in ("all", m[1])]

    def _piece(self, name: str, task: Task, key: str, keep: bool) -> Piece:
        document, arrays = self.memo(key, lambda: self._do(name, task, key, keep))
        stage = f"{name}, {len(task.y)} labels, seed {task.seed}"
        self.recorder.timing.append({"stage": stage, "seconds": document["seconds"]})
        if keep and document["history"]:
            self.recorder.add(document["title"], "finetune", History.from_dict(document["history"]))
        return document, arrays

    def _do(self, name: str, task: Task, key: str, keep: bool) -> Piece:
        began = perf_counter()
        fitted, about = self._fit(name, task, key)
        predicted = predict_rows(fitted, self.data.X_test)
        if keep and name == self._methods()[0][0] and isinstance(fitted, NETWORKS):
            save(fitted, self.folder, self._about())
        document = {"choice": [], "history": None, "title": "", "detail": {}, **about}
        document |= {"error": error_on_test(self.data, predicted), "seconds": perf_counter() - began}
        return document, {"predicted": predicted}

    def _fit(self, name: str, task: Task, key: str) -> tuple[Any, dict]:
        """The fitted method ``name`` and what is worth keeping of how it came about."""
        if name == "lamina":
            return self._fine_tune(task, key)
        if name == "frozen features":
            fitted, detail = protocols.frozen_features(task)
            return fitted, {"detail": detail}
        if name == "without pre-training":
            fitted, detail = baselines.network_without_pretraining(task)
            return fitted, {"detail": detail}
        if name == "logistic regression":
            return baselines.logistic_regression(task), {}
        return baselines.pca_svm(task), {}

    def _fine_tune(self, task: Task, key: str) -> tuple[MLP, dict]:
        if self.options.way == "auto":
            way, choice = protocols.choose_fine_tuning(task)
        else:
            way, choice = self.options.way, []
        checkpoint = self.folder / "checkpoint" / f"fine-tuning-{key}".replace(" ", "-")
        title = f"fine-tuning: {way}"
        callbacks = self.recorder.callbacks(f"{title}, {len(task.y)} labels, seed {task.seed}")
        try:
            network, history = protocols.fine_tuned(task, way, checkpoint=checkpoint, callbacks=callbacks)
        except DivergenceError as error:
            raise self.recorder.add_diverged(error, "finetune") from None
        return network, {"detail": {"way": way}, "choice": choice, "title": title, "history": history.to_dict()}

    def _summary(self, name: str, pieces: list[dict], what: str) -> dict:
        errors = [p["error"] for p in pieces]
        known = None not in errors
        over = spread(errors) if known else None
        shared = float(np.mean(list(self.layers.seconds.values()))) if name in ("lamina", "frozen features") else 0.0
        ways = sorted({p["detail"]["way"] for p in pieces if "way" in p["detail"]})
        return {
            "name": name,
            "error_mean": over.mean if over else None,
            "error_sd": over.sd if over else None,
            "seconds": shared + float(np.mean([p["seconds"] for p in pieces])),
            "errors": errors,
            "what": what + (f" ({', '.join(ways)})" if ways else ""),
        }

    def label_curve(self) -> list[dict]:
        """Errors at 1, 3, 10, 30, 100 labels per class, as far as there are labels."""
        available = int((np.asarray(self.data.y) >= 0).sum())
        sizes = [c * self.data.n_classes for c in CURVE if c * self.data.n_classes <= available]
        return [{"n_labels": n, "results": self.results(n, first=False)[0]} for n in sizes]

    # records --------------------------------------------------------------------------------------------------------

    def _about(self) -> dict:
        return describe_rows(self.data.dataset)

    def _document(self, results: list[dict], choice: list[dict], curve: list[dict]) -> dict:
        options = self.options
        env = environment(options.device)
        sampled = is_stochastic(self.stack(options.seed))
        return {
            "lamina": env.pop("lamina"),
            "data": describe_data(self.data, self.n_labels),
            "layer": {"kind": options.layer, "title": title_of(options.layer), "filters": self._filters()},
            "repeats": options.repeats,
            "results": results,
            "label_curve": curve,
            "curves": self.recorder.curves,
            "facts": self.facts,
            "diagnosis": diagnosis_of(self.recorder.histories, self.facts),
            "choice": choice,
            "settings": {**asdict(options), "plan": asdict(self.plan)},
            "environment": env,
            "seed": options.seed,
            "timing": self.recorder.timing,
            "memory": {"peak_mb": peak_megabytes()},
            "captions": {**CAPTIONS, **(SAMPLED if sampled else {})},
            "notes": self._notes(),
            "warnings": list(self.data.warnings),
        }

    def _filters(self) -> str:
        return "atoms" if hasattr(self.stack(self.options.seed)[0], "D") else "weights"

    def _notes(self) -> list[str]:
        options = self.options
        notes = [f"units: {self.data.scaling.units}, since {self.data.scaling.why}"]
        if self.data.has_labels and options.repeats > 1:
            if options.labels == "all":
                notes.append(f"{options.repeats} repeats: all labels each time, other seeds, layers learnt anew")
            else:
                notes.append(
                    f"{options.repeats} draws of labels; the layers were learnt once, since all draws share their rows"
                )
        if self.data.has_labels:
            notes.append("settings were chosen on the drawn labels alone; test labels were read once, for the errors")
        return notes
