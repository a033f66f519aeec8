"""Bookkeeping of a run: measures, history, the best weights, checkpoints, and the watch for divergence.

`lamina.training.loop` moves a run on; what is written down of it, and what it can be resumed from, is here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import DivergenceError, Interrupted, SettingError
from lamina.core.random import Random
from lamina.core.storage import plain
from lamina.training import checkpoint as files
from lamina.training import optimisers
from lamina.training.averaging import RunningAverage, WeightAverage
from lamina.training.distributed import World
from lamina.training.history import EpochRecord
from lamina.training.improvement import stale_epochs
from lamina.training.interrupt import Interruptible
from lamina.training.penalties import WeightPenalty
from lamina.training.rules import Rule
from lamina.training.schedules import Schedule
from lamina.training.sources import Batch, Source

HEALTH_ROWS = 256  # training rows on which the inside of the network is looked at


class Bookkeeping:
    """One call of `fit`: its settings, how far it has come, and the records of it."""

    source: Source
    monitored: tuple[Tensor, ...]
    validation: tuple[Tensor, ...]
    learnt: list[nn.Parameter]
    optimiser: optimisers.Optimiser | None
    averaged: RunningAverage | None
    saved_at: float

    def __init__(self, **settings: Any) -> None:
        self.model: nn.Module = settings["model"]
        self.rule: Rule = settings["rule"]
        self.random: Random = settings["random"]
        self.world: World = settings["world"]
        self.device: torch.device = settings["device"]
        self.epochs: int = settings["epochs"]
        self.batch_size: int = settings["batch_size"]
        self.learning_rate: Schedule = settings["learning_rate"]
        self.momentum: Schedule = settings["momentum"]
        self.weight_decay: float = settings["weight_decay"]
        self.choice: optimisers.Choice = settings["optimiser"]
        self.penalties: tuple[WeightPenalty, ...] = settings["penalties"]
        self.patience: int | None = settings["patience"]
        self.watched: str = settings["watch"] or self.rule.watched
        self.tolerance: float = settings["tolerance"]
        self.averaging: WeightAverage | None = settings["averaging"]
        self.folder: Path | None = settings["folder"]
        self.checkpoint_seconds: float = settings["checkpoint_seconds"]
        self.callbacks: Sequence[Any] = settings["callbacks"]
        self.health = int(settings["health"])  # epochs between looks inside the network, 0 for none
        self.dtype = next(self.model.parameters()).dtype
        self.state = files.Progressed()
        self.best: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.latest: dict[str, float] = {}  # measures that are no sums: of the latest maximisation
        self.good: list[Tensor] = []
        self.good_step = 0

    # checkpoints ----------------------------------------------------------------------------------------------------

    def fingerprint(self) -> dict:
        spec = self.model.spec() if hasattr(self.model, "spec") else type(self.model).__name__
        return {
            "model": spec,
            "rule": self.rule.describe(),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate.describe(),
            "momentum": self.momentum.describe(),
            "weight_decay": self.weight_decay,
            "optimiser": self.choice.describe(),
            "penalties": [penalty.describe() for penalty in self.penalties],
            "patience": self.patience,
            "seed": self.random.seed,
            "stream": list(self.random.names),
            "n_rows": self.source.n_rows,
            **self._later_settings(),
        }

    def _later_settings(self) -> dict:
        """Settings that older checkpoints do not know, where they are not as these had them."""
        found: dict[str, Any] = {}
        if self.watched != self.rule.watched:
            found["watch"] = self.watched
        if self.tolerance:
            found["tolerance"] = self.tolerance
        if self.averaging is not None:
            found["averaging"] = self.averaging.describe()
        return found

    def resume(self) -> None:
        with Interruptible() as interrupted:  # Ctrl-C inside a library that reads would look like a damaged file
            found = None if self.folder is None else files.read(self.folder, self.fingerprint())
        if interrupted.asked:
            raise KeyboardInterrupt
        if found is None:
            return
        self.state, groups = found
        files.restore_model(self.model, groups["model"])
        if self.optimiser is not None and "optimiser" in groups:
            files.restore_optimiser(self.optimiser, groups["optimiser"])
        self.rule.load_state(groups.get("rule", {}))
        if self.averaged is not None:
            self.averaged.load_state(groups["average"])
        self.best = groups.get("best", {})
        self.latest = {name: float(value) for name, value in groups.get("latest", {}).items()}
        share = 1.0 if self.world.rank == 0 else 0.0  # the saved sums are those of all processes
        self.sums = {name: value.to(self.device) * share for name, value in groups.get("sums", {}).items()}

    def save_if_due(self) -> None:
        due = self.folder is not None and time.monotonic() - self.saved_at > self.checkpoint_seconds
        if self.world.any(due, self.device):
            self.save()

    def save(self) -> None:
        self.saved_at = time.monotonic()
        if self.folder is None:
            return
        sums = {name: value.clone() for name, value in self.sums.items()}
        self.world.sum_([sums[name] for name in sorted(sums)])
        groups = {
            "model": dict(self.model.state_dict()),
            "best": self.best,
            "optimiser": files.optimiser_tensors(self.optimiser),
            "rule": self.rule.state(),
            "sums": sums,
            "latest": {name: torch.tensor(value, dtype=torch.float64) for name, value in self.latest.items()},
        }
        if self.averaged is not None:
            groups["average"] = self.averaged.state()
        if self.world.rank == 0:
            files.write(self.folder, self.state, groups, self.fingerprint())
        self.world.barrier()

    # measures and history --------------------------------------------------------------------------------------------

    def add(self, measures: Mapping[str, Tensor]) -> None:
        for name, value in measures.items():
            if name in self.sums:
                self.sums[name] += value.detach()
            else:
                self.sums[name] = value.detach().to(torch.float64, copy=True)

    def count(self, batch: Batch) -> None:
        self.state.step += 1
        self.state.batch += 1
        self.state.rows_seen += batch.total

    def finish_epoch(self) -> None:
        self.check_finite()
        measures = self._measures()
        due = self.health and ((self.state.epoch + 1) % self.health == 0 or self.state.epoch + 1 == self.epochs)
        health = self._look_inside() if due else {}
        with self._averaged_weights():
            if self.validation:
                few = tuple(m[: len(self.validation[0])] for m in self.monitored)
                with torch.no_grad():
                    measures |= self.rule.validate(self.model, self.validation, few)
            record = EpochRecord(self.state.epoch + 1, self.state.step, self.state.seconds, measures, health)
            self.state.history.records.append(record)
            self.state.epoch, self.state.batch, self.state.rows_seen, self.state.seconds = (
                self.state.epoch + 1,
                0,
                0,
                0.0,
            )
            self.sums = {}
            self._keep_best(measures)
        if self.state.epoch < self.epochs:
            self.save_if_due()
        with self._averaged_weights():
            self.tell("on_epoch", record, self.epochs)

    def _measures(self) -> dict[str, float]:
        """The epoch's sums over the rows of all processes, per row, and what is no sum."""
        names = sorted(self.sums)
        totals = [self.sums[name] for name in names]
        self.world.sum_(totals)
        measures = {n: float(t) / max(1, self.state.rows_seen) for n, t in zip(names, totals, strict=True)}
        return measures | self.latest

    def _averaged_weights(self) -> AbstractContextManager[None]:
        return nullcontext() if self.averaged is None else self.averaged.in_place()

    def note_start(self) -> None:
        """Keep in the history what was asked for and, before the first step, what the network is like."""
        self.state.history.settings = plain(self.fingerprint())
        if self.state.step == 0 and not self.state.history.start:
            self.state.history.start = self._look_inside()

    def _look_inside(self) -> dict[str, list[float]]:
        if not self.health:
            return {}
        every = max(1, len(self.monitored[0]) // HEALTH_ROWS)
        return self.rule.health(self.model, tuple(m[::every][:HEALTH_ROWS] for m in self.monitored))

    def _keep_best(self, measures: dict[str, float]) -> None:
        if self.patience is None:
            return
        watched = measures.get(self.watched)
        if watched is None and self.watched != self.rule.watched:
            raise SettingError(
                f"watch is {self.watched!r}, which is not measured here; expected one of {', '.join(sorted(measures))}"
            )
        if watched is not None and (self.state.best is None or watched < self.state.best):
            self.state.best = watched
            self.state.history.best_epoch = self.state.epoch
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def reason_to_stop(self) -> str | None:
        """Why there should be no further epoch, or None."""
        history = self.state.history
        if self.patience is not None and history.best_epoch is not None:
            values = [value for value in history[self.watched] if value is not None]
            if stale_epochs(values, self.tolerance) >= self.patience:
                return f"no improvement for {self.patience} epochs"
        return self.learning_rate.exhausted(history, self.watched)

    # the watch -------------------------------------------------------------------------------------------------------

    def stop_if(self, interrupted: Interruptible) -> None:
        if not self.world.any(interrupted.asked, self.device):
            return
        self.check_finite()
        self.save()
        where = f"; {self.folder} holds the state to go on from" if self.folder else ""
        raise Interrupted(f"stopped after step {self.state.step} in epoch {self.state.epoch + 1}{where}")

    def remember_good(self) -> None:
        if not self.good:
            self.good = [torch.empty_like(p) for p in self.learnt]
        torch._foreach_copy_(self.good, [p.detach() for p in self.learnt])
        self.good_step = self.state.step

    def check_finite(self) -> None:
        """Raise `DivergenceError` where a measure or a weight is no finite number; else remember the weights."""
        bad = [name for name, value in self.sums.items() if not bool(torch.isfinite(value))]
        norms = torch._foreach_norm([p.detach() for p in self.learnt])
        lost = bool(bad) or not bool(torch.isfinite(torch.stack(norms)).all())
        if not self.world.any(lost, self.device):
            self.remember_good()
            return
        torch._foreach_copy_([p.detach() for p in self.learnt], self.good)
        rate = self.learning_rate.given(self.state.history, self.watched)(self.state.epoch)
        message = (
            f"training diverged between steps {self.good_step} and {self.state.step} "
            f"({', '.join(bad) or 'the weights'} left the finite range); the weights of step {self.good_step} are "
            f"kept: lower learning_rate (now {rate:g}) or check the scale of the data"
        )
        self.state.history.stopped = f"diverged: {message}"
        raise DivergenceError(message, history=self.state.history)

    def tell(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            listener = getattr(callback, event, None)
            if listener is not None:
                listener(*arguments)
