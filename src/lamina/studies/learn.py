"""The main job: learn layers from all rows, use the few labels there are, and put the baselines beside the result.

Reads data, chooses units, sizes and epochs by looking at the rows (never at labels beyond the N that were asked for),
pre-trains a stack once, then runs the three protocols and the baselines for each draw of labels. Every finished
piece is kept, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DivergenceError, LabelError, SettingError, nearest_names
from lamina.core.random import Random
from lamina.data import draw_labels
from lamina.metrics import error_rate, spread
from lamina.models import MLP, RBM, Stack
from lamina.storage import save
from lamina.studies import baselines, defaults, protocols
from lamina.studies.environment import environment, peak_megabytes
from lamina.studies.memo import Memo, Piece
from lamina.studies.pictures import gather
from lamina.studies.preparation import Prepared, open_data, prepare
from lamina.studies.recorder import Listener, Recorder
from lamina.studies.run_folder import open_run, write_records, write_scaling
from lamina.studies.task import Task
from lamina.training import ContrastiveDivergence, History, pretrain, warm_momentum
from lamina.training.greedy import default_learning_rate
from lamina.units import Bernoulli, Gaussian

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
    "samples": "25 steps of Gibbs sampling in the top layer, begun at training rows, then means downward. Layers "
    "learnt by one-step contrastive divergence know the neighbourhood of the rows; longer chains leave it.",
    "confusion": "First draw of labels, main method.",
    "mistakes": "First draw of labels, main method.",
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

    def check(self) -> None:
        """Raise `SettingError` for values outside their limits."""
        if self.protocol not in PROTOCOLS:
            raise SettingError(f"--protocol is {self.protocol!r}; {nearest_names(self.protocol, list(PROTOCOLS))}")
        if self.way not in ("auto", *protocols.WAYS):
            raise SettingError(f"--way is {self.way!r}; {nearest_names(self.way, ['auto', *protocols.WAYS])}")
        if self.constant not in ("refuse", "keep"):
            raise SettingError(f"--constant is {self.constant!r}; expected refuse or keep")
        check_number("--repeats", self.repeats, low=1, integer=True)
        check_number("--seed", self.seed, low=0, integer=True)
        if self.labels != "all":
            check_number("--labels", self.labels, low=1, integer=True)
        for size in self.hidden or ():
            check_number("--hidden", size, low=1, integer=True)
        if self.epochs is not None:
            check_number("--epochs", self.epochs, low=1, integer=True)


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
    _check_label_number(options, prepared)
    name = f"{dataset.name}-{options.labels}" if prepared.has_labels else dataset.name
    folder = open_run(out, name, asdict(options), overwrite=overwrite, resume=resume)
    study = _Study(options, prepared, folder, Recorder(folder, listener))
    document, arrays = study.run()
    document = {"title": f"Layers learnt from {dataset.name}", "command": command, **document}
    write_records(folder, document, arrays)
    return {**document, "run": str(folder)}


def _check_label_number(options: LearnOptions, prepared: Prepared) -> None:
    if prepared.has_labels:
        if len(_draw(prepared, options.labels, options.seed)) < prepared.n_classes:
            raise LabelError(
                f"--labels {options.labels}: fewer labels than the {prepared.n_classes} classes; "
                f"expected at least one per class"
            )
    elif options.labels != "all":
        raise LabelError(
            f"--labels {options.labels} was given, but {prepared.dataset.name} has no labels: name their column with "
            f"--label, or leave --labels out to learn features"
        )


def _draw(prepared: Prepared, labels: int | str, seed: int) -> np.ndarray:
    """The one place where labels are drawn: row numbers of the ``labels`` rows that may be looked at."""
    assert prepared.y is not None
    return draw_labels(prepared.y, labels, seed, prepared.dataset.groups)


class _Study:
    """One call of `learn`: the data, the folder, and what has been done so far."""

    def __init__(self, options: LearnOptions, prepared: Prepared, folder: Path, recorder: Recorder) -> None:
        self.options, self.data, self.folder, self.recorder = options, prepared, folder, recorder
        self.memo = Memo(folder / "checkpoint" / "pieces")
        self.stacks: dict[int, Stack] = {}
        self.seconds_of_stack: dict[int, float] = {}
        n_labels = self._count_labels()
        self.plan = defaults.plan(len(prepared.X), prepared.X.shape[1], n_labels, options.hidden, options.epochs)
        self.n_labels = n_labels

    def _count_labels(self) -> int:
        if not self.data.has_labels:
            return 0
        return len(_draw(self.data, self.options.labels, self.options.seed))

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
        curve = self.label_curve() if self.options.label_curve and self.data.has_labels else []
        with self.recorder.timed("pictures for the report"):
            arrays = gather(self.data, stack, predicted, self.options.seed)
        return self._document(results, choice, curve), arrays

    # learning without labels ----------------------------------------------------------------------------------------

    def stack(self, seed: int) -> Stack:
        """Layers learnt from all training rows with ``seed``: made once."""
        if seed not in self.stacks:
            self.stacks[seed] = self._pretrain(seed)
        return self.stacks[seed]

    def _pretrain(self, seed: int) -> Stack:
        sizes = (self.data.X.shape[1], *self.plan.hidden)
        first = Gaussian(sizes[0]) if self.data.scaling.units == "gaussian" else Bernoulli(sizes[0])
        layers = [RBM(first if k == 0 else n, m) for k, (n, m) in enumerate(pairwise(sizes))]
        stack = Stack(layers)
        names = [f"layer {k + 1}: {n}-{m}" for k, (n, m) in enumerate(pairwise(sizes))]
        try:
            histories = pretrain(
                stack,
                self.data.X,
                lambda k: ContrastiveDivergence(sample_visible=False),
                epochs=self.plan.pretrain_epochs,
                batch_size=self.plan.batch_size,
                learning_rate=[
                    _falling_rate(layer, e) for layer, e in zip(layers, self.plan.pretrain_epochs, strict=True)
                ],
                momentum=warm_momentum(min(self.plan.pretrain_epochs)),
                weight_decay=2e-4,
                random_state=Random(seed).child("pre-training"),
                device=self.options.device,
                checkpoint=self.folder / "checkpoint" / f"layers-seed-{seed}",
                callbacks=lambda k: self.recorder.callbacks(names[k]),
            )
        except DivergenceError as error:
            raise DivergenceError(f"{self.recorder.title}: {error}") from None
        # The loop's own seconds, which a checkpoint keeps: the same whether or not the run was resumed.
        self.seconds_of_stack[seed] = sum(history.seconds for history in histories)
        stage = f"learning {len(layers)} layers without labels, seed {seed}"
        self.recorder.timing.append({"stage": stage, "seconds": self.seconds_of_stack[seed]})
        if seed == self.options.seed:
            for title, history in zip(names, histories, strict=True):
                self.recorder.add(title, "pretrain", history)
        return stack

    # with labels ----------------------------------------------------------------------------------------------------

    def task(self, labels: int | str, draw: int) -> Task:
        """The labels of one draw. With all labels drawn, draws differ by the seed of the layers instead."""
        seed = self.options.seed + draw
        dataset = self.data.dataset
        rows = _draw(self.data, labels, seed)
        groups = None if dataset.groups is None else dataset.groups[rows]
        plan = defaults.plan(
            len(self.data.X), self.data.X.shape[1], len(rows), self.plan.hidden, self.plan.pretrain_epochs
        )
        stack = self.stack(seed if labels == "all" else self.options.seed)
        y = np.asarray(self.data.y)[rows]
        return Task(self.data.X, rows, y, groups, self.data.n_classes, stack, plan, seed, self.options.device)

    def results(self, labels: int | str, first: bool) -> tuple[list[dict], np.ndarray | None, list[dict]]:
        """Errors of every method over the draws; predictions and choice of the first draw's main method."""
        found: dict[str, list[dict]] = {}
        predicted, choice = None, []
        for draw in range(self.options.repeats):
            task = self.task(labels, draw)
            for name, _, _ in self._methods():
                if labels == "all" and draw > 0 and name in SEEDLESS:
                    continue
                keep = first and draw == 0
                document, arrays = self._piece(name, task, f"{labels}-{draw}-{name}", keep)
                found.setdefault(name, []).append(document)
                if predicted is None:
                    predicted, choice = arrays["predicted"], document["choice"]
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
        predicted = _predict(fitted, self.data.X_test)
        if keep and name == self._methods()[0][0] and isinstance(fitted, MLP):
            save(fitted, self.folder, self._about())
        document = {"choice": [], "history": None, "title": "", "detail": {}, **about}
        document |= {"error": self._error(predicted), "seconds": perf_counter() - began}
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
        network, history = protocols.fine_tuned(task, way, checkpoint=checkpoint, callbacks=callbacks)
        return network, {"detail": {"way": way}, "choice": choice, "title": title, "history": history.to_dict()}

    def _error(self, predicted: np.ndarray) -> float | None:
        y = self.data.y_test
        if y is None or not (y >= 0).any():
            return None
        return error_rate(y[y >= 0], predicted[y >= 0])

    def _summary(self, name: str, pieces: list[dict], what: str) -> dict:
        errors = [p["error"] for p in pieces]
        known = None not in errors
        over = spread(errors) if known else None
        shared = float(np.mean(list(self.seconds_of_stack.values()))) if name in ("lamina", "frozen features") else 0.0
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
        dataset = self.data.dataset
        names = dataset.feature_names
        return {
            "classes": list(dataset.classes),
            "shape": list(dataset.shape),
            "data": dataset.name,
            "feature_names": None if names is None else list(names),
        }

    def _document(self, results: list[dict], choice: list[dict], curve: list[dict]) -> dict:
        dataset, options = self.data.dataset, self.options
        n_test = 0 if self.data.X_test is None else len(self.data.X_test)
        env = environment(options.device)
        return {
            "lamina": env.pop("lamina"),
            "data": {
                "name": dataset.name,
                "n_train": len(self.data.X),
                "n_labels": self.n_labels,
                "n_test": n_test,
                "n_features": dataset.n_features,
                "shape": list(dataset.shape),
                "classes": list(dataset.classes),
                "units": self.data.scaling.units,
                "why_units": self.data.scaling.why,
                "source": dataset.source,
            },
            "repeats": options.repeats,
            "results": results,
            "label_curve": curve,
            "curves": self.recorder.curves,
            "choice": choice,
            "settings": {**asdict(options), "plan": asdict(self.plan)},
            "environment": env,
            "seed": options.seed,
            "timing": self.recorder.timing,
            "memory": {"peak_mb": peak_megabytes()},
            "captions": CAPTIONS,
            "notes": self._notes(),
            "warnings": list(self.data.warnings),
        }

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


def _falling_rate(layer: Any, epochs: int) -> Any:
    """The layer's learning rate, then a fifth of it for the last quarter of the epochs, to settle."""
    from lamina.training import Schedule

    rate = default_learning_rate(layer)
    return Schedule(((0.0, rate), (0.75 * epochs, rate / 5)))


def _predict(fitted: Any, X: Any) -> np.ndarray:
    if X is None or not len(X):
        return np.zeros(0, np.int64)
    if isinstance(fitted, MLP):
        return baselines.predict_codes(fitted, X)
    return np.concatenate([fitted.predict(np.asarray(X[k : k + 10_000])) for k in range(0, len(X), 10_000)])
