"""Learn a generative model from a user's data, and show what it has learnt: how probable it finds rows that it has not
seen, what it draws, what it fills in.

The run folder has the layout of `lamina.studies.learn`: settings first, then checkpoints, the model, metrics, records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamina.core.checks import check_device
from lamina.core.errors import DivergenceError, SettingError, nearest_names
from lamina.core.figures import pack
from lamina.core.random import Random
from lamina.data import draw_labels
from lamina.metrics import error_rate
from lamina.models.energy import DBN, ClassificationRBM
from lamina.storage import save
from lamina.studies.diagnose import diagnosis_of
from lamina.studies.environment import environment, peak_megabytes
from lamina.studies.generative_pictures import Pictures
from lamina.studies.generators import KINDS, Generator
from lamina.studies.goodness import Effort, Goodness, Material, goodness, trace_value
from lamina.studies.lesson import Lesson
from lamina.studies.memo import Memo
from lamina.studies.options import check_shared
from lamina.studies.pictures import held_out
from lamina.studies.preparation import Prepared, open_data, prepare
from lamina.studies.recorder import Listener, Recorder
from lamina.studies.run_folder import open_run, write_records, write_scaling
from lamina.studies.trace import Trace

MEASURED_ROWS = 10_000  # held-out rows that a likelihood is averaged over
TRACED_ROWS = 500
TRAIN_ROWS = 5000  # training rows for base rates
CAREFUL, QUICK = Effort(), Effort(temperatures=400, chains=50, conservative=0)


@dataclass(frozen=True)
class GenerateOptions:
    """What a user may ask of `generate`; the command line's options have the same names."""

    data: str
    model: str
    labels: int | str = "all"
    hidden: tuple[int, ...] | None = None
    epochs: int | None = None
    units: str = "auto"
    constant: str = "refuse"
    label: str | None = None
    groups: str | None = None
    test: str | None = None
    seed: int = 0
    device: str | None = None

    def check(self) -> None:
        """Raise `SettingError` for values outside their limits."""
        if self.model not in KINDS:
            raise SettingError(f"--model is {self.model!r}; {nearest_names(self.model, list(KINDS))}")
        check_shared(self)


def generate(
    options: GenerateOptions,
    *,
    out: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    listener: Listener | None = None,
    command: str = "",
) -> dict:
    """Run the study and return its records (what ``records.json`` holds, plus ``run``, the folder).

    ``listener(title)`` gives a callback of the loop that shows progress. Raises what `open_data`, `prepare` and
    `lamina.fit` raise, and `SettingError` or `LabelError` where the data are nothing for this kind of model.
    """
    options.check()
    check_device(options.device)
    dataset = open_data(options.data, label=options.label, groups=options.groups, test=options.test, seed=options.seed)
    prepared = prepare(dataset, units=options.units, constant=options.constant)
    lesson = _lesson(options, prepared)
    KINDS[options.model](lesson)  # refuses what it cannot learn from before a folder is made
    folder = open_run(out, f"{dataset.name}-{options.model}", asdict(options), overwrite=overwrite, resume=resume)
    document, arrays = _Study(options, prepared, lesson, folder, Recorder(folder, listener)).run()
    document = {"command": command, **document}
    write_records(folder, document, arrays)
    return {**document, "run": str(folder)}


def _lesson(options: GenerateOptions, prepared: Prepared) -> Lesson:
    y = prepared.y
    if y is not None and prepared.has_labels and options.labels != "all":
        shown = draw_labels(y, options.labels, options.seed, prepared.dataset.groups)
        y = np.where(np.isin(np.arange(len(y)), shown), y, -1)
    return Lesson(
        X=prepared.X,
        y=y if prepared.has_labels else None,
        n_classes=prepared.n_classes,
        shape=tuple(prepared.dataset.shape),
        units=prepared.scaling.units,
        hidden=options.hidden,
        epochs=options.epochs,
        seed=options.seed,
        device=options.device,
        checkpoint=Path(),
        callbacks=lambda title: (),
    )


class _Study:
    """One call of `generate`: the data, the folder, and the model."""

    def __init__(
        self, options: GenerateOptions, prepared: Prepared, lesson: Lesson, folder: Path, recorder: Recorder
    ) -> None:
        self.options, self.prepared, self.folder, self.recorder = options, prepared, folder, recorder
        self.lesson = dataclasses.replace(
            lesson, checkpoint=folder / "checkpoint", callbacks=recorder.callbacks, traced=self._traced
        )
        self.generator: Generator = KINDS[options.model](self.lesson)
        self.memo = Memo(folder / "checkpoint" / "pieces")
        self.random = Random(options.seed).child("measures")
        self.trace: Trace | None = None

    def run(self) -> tuple[dict, dict[str, np.ndarray]]:
        write_scaling(self.folder, self.prepared.scaling)
        model = self.generator.build()
        seconds = self._teach(model)
        save(model, self.folder, self._about())
        with self.recorder.timed("estimating the likelihood"):
            measured, _ = self.memo("measures", lambda: (self._measures(model), {}))
        pictures = Pictures(self.prepared, self.generator, model, self.options.seed)
        with self.recorder.timed("pictures for the report"):
            arrays = pictures.arrays()
            figures = pictures.figures({} if self.trace is None else self.trace.values)
        packed, more = pack(figures)
        return {**self._document(measured, seconds, model), "figures": packed}, {**arrays, **more}

    def _teach(self, model: Any) -> float:
        """Train, keep the curves, and return the seconds of the loop."""
        try:
            taught = self.generator.teach(model)
        except DivergenceError as error:
            raise self.recorder.add_diverged(error, "") from None
        for title, history in taught:
            self.recorder.add(title, "", history)
            self.recorder.timing.append({"stage": title, "seconds": history.seconds})
        return sum(history.seconds for _, history in taught)

    # measures -------------------------------------------------------------------------------------------------------

    def _traced(self, model: Any) -> Sequence[Any]:
        """The callback that follows the likelihood of ``model`` as it learns."""
        rows, train = self._binary(held_out(self.prepared)[:TRACED_ROWS]), self._binary(self.prepared.X[:TRAIN_ROWS])

        def estimate() -> float | None:
            like = next(model.parameters())
            with torch.no_grad():
                return trace_value(model, rows.to(like), train.to(like), QUICK, self.random.child("trace"))

        self.trace = Trace(self.folder / "checkpoint" / "trace.json", estimate)
        return [self.trace]

    @torch.no_grad()
    def _measures(self, model: Any) -> dict:
        """What the table of the report shows, and warnings."""
        like = next(model.parameters())
        rows, y = held_out(self.prepared), self._held_out_labels()
        few = self._binary(rows[:MEASURED_ROWS]).to(like)
        codes = None if y is None else torch.from_numpy(np.asarray(y[:MEASURED_ROWS], np.int64)).to(like.device)
        train = self._binary(self.prepared.X[:TRAIN_ROWS]).to(like)
        material = Material(few, codes, train, f"{self._what()} rows")
        found: Goodness = goodness(model, material, CAREFUL, self.random.child("likelihood"))
        given = torch.from_numpy(np.asarray(rows[:MEASURED_ROWS], np.float32)).to(like)
        error = float((given - self.generator.reconstruct(model, given)).square().mean())
        measured = [*found.measured, *self._classified(model, given, y)]
        measured.append({"what": "squared error of a reconstruction", "ours": error, "note": "mean over values"})
        return {"measured": measured, "warnings": found.warnings}

    def _classified(self, model: Any, rows: torch.Tensor, y: np.ndarray | None) -> list[dict]:
        classify = classifier_of(model)
        if classify is None or y is None or not (y >= 0).any():
            return []
        predicted = np.concatenate([classify(part).argmax(-1).cpu().numpy() for part in rows.split(1000)])
        y = y[: len(rows)]
        error = 100 * error_rate(y[y >= 0], predicted[y >= 0])
        note = "the class that the model finds most probable given the row"
        return [{"what": f"error on {self._what()} rows", "ours": error, "unit": "%", "note": note}]

    def _held_out_labels(self) -> np.ndarray | None:
        return self.prepared.y if held_out(self.prepared) is self.prepared.X else self.prepared.y_test

    def _what(self) -> str:
        return "training" if held_out(self.prepared) is self.prepared.X else "test"

    def _binary(self, rows: Any) -> torch.Tensor:
        """Rows as the model sees them: drawn once from their probabilities where units are binary."""
        values = torch.from_numpy(np.asarray(rows, np.float32))
        return self.random.child("binary rows").bernoulli(values.clamp(0, 1)) if self.lesson.binary else values

    # records --------------------------------------------------------------------------------------------------------

    def _about(self) -> dict:
        dataset = self.prepared.dataset
        names = dataset.feature_names
        return {
            "classes": list(dataset.classes),
            "shape": list(dataset.shape),
            "data": dataset.name,
            "feature_names": None if names is None else list(names),
            "from_rows": self.generator.from_rows,
            "steps": self.generator.deepest_step,
        }

    def _document(self, measured: dict, seconds: float, model: Any) -> dict:
        dataset, options, y = self.prepared.dataset, self.options, self.lesson.y
        env = environment(options.device)
        n_labels = int((y >= 0).sum()) if y is not None and classifier_of(model) is not None else 0
        return {
            "kind": "generative",
            "title": f"A {self.generator.title} learnt from {dataset.name}",
            "summary": self._summary(measured["measured"]),
            "lamina": env.pop("lamina"),
            "data": {
                "name": dataset.name,
                "n_train": len(self.prepared.X),
                "n_labels": n_labels,
                "n_test": 0 if self.prepared.X_test is None else len(self.prepared.X_test),
                "n_features": dataset.n_features,
                "shape": list(dataset.shape),
                "classes": list(dataset.classes),
                "units": self.prepared.scaling.units,
                "why_units": self.prepared.scaling.why,
                "source": dataset.source,
            },
            "measured": measured["measured"],
            "curves": self.recorder.curves,
            "diagnosis": diagnosis_of(self.recorder.histories),
            "settings": {**asdict(options), "chosen": self.generator.settings()},
            "environment": env,
            "seed": options.seed,
            "seconds": seconds,
            "timing": self.recorder.timing,
            "memory": {"peak_mb": peak_megabytes()},
            "filter_shape": list(self.generator.filter_shape) or None,
            "captions": {"samples": self._sample_words()},
            "notes": self._notes(),
            "warnings": [*self.prepared.warnings, *measured["warnings"]],
        }

    def _summary(self, rows: list[dict]) -> str:
        words = f"A {self.generator.title} learnt from {len(self.prepared.X):,} rows of {self.prepared.dataset.name}."
        likelihood = [row for row in rows if row.get("unit") == "nats per row"]
        errors = [row for row in rows if row.get("unit") == "%"]
        if likelihood:
            careful = [row for row in likelihood if "conservative" in row["what"]]
            words += f" It gives {self._what()} rows {likelihood[0]['ours']:.1f} nats each".replace("-", "−")
            words += " at least" if "bound" in likelihood[0]["what"] else ""
            if careful:
                words += f"; a conservative estimate says {careful[0]['ours']:.1f}".replace("-", "−")
            words += "."
        if errors:
            words += f" Asked for classes, it errs on {errors[0]['ours']:.2f} % of the {self._what()} rows."
        return words

    def _sample_words(self) -> str:
        if self.generator.independent:
            return "Independent draws; means of the visible units."
        begun = "rows of the data" if self.generator.from_rows else "the model's free units"
        return f"{self.generator.deepest_step:,} steps of Gibbs sampling from {begun}; means of the visible units."

    def _notes(self) -> list[str]:
        notes = []
        if self.lesson.binary:
            notes.append(
                "values in [0, 1] are probabilities: pixels are drawn anew for every batch, and the likelihood is that "
                "of binary rows drawn once"
            )
        else:
            notes.append("the likelihood is a density of standardised rows: add the log of the scale for another unit")
        if self.options.model == "dbn" and not getattr(self.generator, "labelled", False):
            notes.append("no label units: they need a class for every training row")
        if self.options.model == "convolutional-rbm":
            notes.append("no likelihood: annealing over all places of all filters is out of reach here")
        return notes


def classifier_of(model: Any) -> Any:
    """The function rows (n, n_visible) → class probabilities (n, n_classes) of a generative model, None without."""
    if isinstance(model, ClassificationRBM):
        return model.p_y_from_v
    if isinstance(model, DBN) and model.n_classes:
        return model.class_probabilities
    return None
