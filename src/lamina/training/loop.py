"""The one loop: everything that learns, learns here.

It owns the order of the data, schedules, history, progress, validation and early stopping, checkpoints and exact
resume, Ctrl-C, the watch for divergence, and the sum over processes. A rule (see `lamina.training.rules`) says only
what a batch teaches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DataError, DivergenceError, Interrupted, SettingError
from lamina.core.random import Random
from lamina.training import checkpoint as files
from lamina.training import optimisers
from lamina.training.conjugate_gradients import MINIMISERS
from lamina.training.distributed import World, world
from lamina.training.history import EpochRecord, History
from lamina.training.interrupt import Interruptible
from lamina.training.penalties import WeightPenalty
from lamina.training.rules import GradientRule, ObjectiveRule, Rule, Setting, StatisticsRule
from lamina.training.schedules import Schedule, as_schedule
from lamina.training.sources import Batch, Source, as_source

WATCH_EVERY = 200  # steps between looks at the numbers: each look waits for the device
MONITOR_ROWS = 2000  # training rows that validation is compared with
HEALTH_ROWS = 256  # training rows on which the inside of the network is looked at


def fit(
    model: nn.Module,
    data: Any,
    rule: Rule,
    *,
    epochs: int,
    batch_size: int = 100,
    learning_rate: float | Schedule = 0.05,
    momentum: float | Schedule = 0.0,
    weight_decay: float = 0.0,
    optimiser: str = "sgd",
    penalties: Sequence[WeightPenalty] = (),
    validation: Any = None,
    patience: int | None = None,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    callbacks: Sequence[Any] = (),
    health: bool = False,
) -> History:
    """Train ``model`` in place by ``rule`` and return its `History`.

    ``data`` is an array (rows, features), NumPy, memory-mapped or torch; a tuple of arrays of equal length; or an
    iterable of batches that can be gone through once per epoch. ``learning_rate`` and ``momentum`` are numbers or
    `Schedule` objects over epochs; ``weight_decay`` and ``penalties`` (`L1`, `MaxNorm`) spare biases. With
    ``validation`` (same form as ``data``) and
    ``patience``, training stops once the rule's watched measure has not improved for that many epochs, and the best
    weights are put back. With ``checkpoint`` (a folder) the run can be killed at any moment and called again with the
    same arguments: it goes on and ends with the weights of an unbroken run, bit for bit. ``health`` looks inside the
    network after each epoch, on a few training rows, for `lamina.diagnose`: gradients, activity and weights of every
    layer (`EpochRecord.health`).

    Raises `DivergenceError` when numbers leave the finite range (the last good weights are kept in the model),
    `Interrupted` after Ctrl-C (state saved first), `DataError` and `SettingError` for what cannot be learnt from.
    """
    _check_settings(epochs, batch_size, weight_decay, patience, validation)
    _check_penalties(penalties, rule)
    place = check_device(device) if device is not None else next(model.parameters()).device
    processes = world()
    if place.type == "cuda" and place.index is None and processes.size > 1:
        place = torch.device("cuda", processes.local_rank)  # one device per process
    model.to(place)
    run = _Run(
        model=model,
        rule=rule,
        random=processes.random(random_state, place),
        world=processes,
        device=place,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=as_schedule(learning_rate),
        momentum=as_schedule(momentum),
        weight_decay=weight_decay,
        optimiser_name=optimiser,
        penalties=tuple(penalties),
        patience=patience,
        folder=None if checkpoint is None else Path(checkpoint),
        checkpoint_seconds=checkpoint_seconds,
        callbacks=callbacks,
        health=health,
    )
    run.prepare(data, validation)
    return run.run()


def _check_settings(epochs: int, batch_size: int, weight_decay: float, patience: int | None, validation: Any) -> None:
    check_number("epochs", epochs, low=0, integer=True)
    check_number("batch_size", batch_size, low=1, integer=True)
    check_number("weight_decay", weight_decay, low=0.0)
    if patience is not None:
        check_number("patience", patience, low=1, integer=True)
        if validation is None:
            raise SettingError("patience needs validation data to watch: pass validation=, or leave patience out")


def _check_penalties(penalties: Sequence[WeightPenalty], rule: Rule) -> None:
    for penalty in penalties:
        if not isinstance(penalty, WeightPenalty):
            raise SettingError(
                f"penalties holds {penalty!r}; expected penalties of weights such as L1(1e-4): those of activity are "
                f"handed to a rule as penalty="
            )
    if penalties and not isinstance(rule, GradientRule):
        raise SettingError(f"{type(rule).__name__} takes no gradient steps, which penalties need: leave penalties out")


class _Run:
    """One call of `fit`: settings, the pieces made from them, and how far it has come."""

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
        self.optimiser_name: str = settings["optimiser_name"]
        self.penalties: tuple[WeightPenalty, ...] = settings["penalties"]
        self.patience: int | None = settings["patience"]
        self.folder: Path | None = settings["folder"]
        self.checkpoint_seconds: float = settings["checkpoint_seconds"]
        self.callbacks: Sequence[Any] = settings["callbacks"]
        self.health: bool = settings["health"]
        self.dtype = next(self.model.parameters()).dtype
        self.state = files.Progressed()
        self.best: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.latest: dict[str, float] = {}  # measures that are no sums: of the latest maximisation
        self.good: list[Tensor] = []
        self.good_step = 0

    # before ---------------------------------------------------------------------------------------------------------

    def prepare(self, data: Any, validation: Any) -> None:
        self.source: Source = as_source(data, self.batch_size, self.random, self.device, self.dtype)
        self.monitored = self.source.spread(MONITOR_ROWS)
        self.validation = self._validation(validation)
        self.rule.check(self.model, self.monitored)
        setting = Setting(self.random.child("rule"), self.world, self.device, self.dtype, self.batch_size)
        self.step_random = setting.random.child("steps")
        self.rule.start(self.model, setting)
        self.learnt = self.rule.parameters(self.model)
        self.optimiser = self._make_optimiser()
        self._resume()
        self.world.take_first_(list(self.model.state_dict().values()))
        self._remember_good()
        self.saved_at = time.monotonic()

    def _validation(self, validation: Any) -> tuple[Tensor, ...]:
        if validation is None:
            return ()
        if isinstance(validation, tuple) and not validation:
            raise DataError("the validation data are empty: expected an array or a tuple of arrays")
        source = as_source(validation, self.batch_size, self.random, self.device, self.dtype)
        return source.spread(1 << 40 if source.n_rows is not None else MONITOR_ROWS)

    def _make_optimiser(self) -> optimisers.Optimiser | None:
        if isinstance(self.rule, GradientRule):
            for parameter in self.learnt:
                parameter.grad = torch.zeros_like(parameter)
            return optimisers.make(self.optimiser_name, self.learnt, self.weight_decay, self.device)
        if isinstance(self.rule, ObjectiveRule):
            return MINIMISERS[self.rule.minimiser](self.learnt, self.rule.searches)
        return None

    def _fingerprint(self) -> dict:
        spec = self.model.spec() if hasattr(self.model, "spec") else type(self.model).__name__
        return {
            "model": spec,
            "rule": self.rule.describe(),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": vars(self.learning_rate),
            "momentum": vars(self.momentum),
            "weight_decay": self.weight_decay,
            "optimiser": self.optimiser_name,
            "penalties": [penalty.describe() for penalty in self.penalties],
            "patience": self.patience,
            "seed": self.random.seed,
            "stream": list(self.random.names),
            "n_rows": self.source.n_rows,
        }

    def _resume(self) -> None:
        found = None if self.folder is None else files.read(self.folder, self._fingerprint())
        if found is None:
            return
        self.state, groups = found
        files.restore_model(self.model, groups["model"])
        if self.optimiser is not None and "optimiser" in groups:
            files.restore_optimiser(self.optimiser, groups["optimiser"])
        self.rule.load_state(groups.get("rule", {}))
        self.best = groups.get("best", {})
        self.latest = {name: float(value) for name, value in groups.get("latest", {}).items()}
        share = 1.0 if self.world.rank == 0 else 0.0  # the saved sums are those of all processes
        self.sums = {name: value.to(self.device) * share for name, value in groups.get("sums", {}).items()}

    # running --------------------------------------------------------------------------------------------------------

    def run(self) -> History:
        if self.state.finished:
            return self.state.history
        self._tell("on_start", self.epochs, self.state.epoch)
        try:
            with Interruptible() as interrupted:
                while self.state.epoch < self.epochs:
                    if self._out_of_patience():  # asked first: a resumed run may stand here
                        self.state.history.stopped = f"no improvement for {self.patience} epochs"
                        break
                    self._epoch(interrupted)
                    self._stop_if(interrupted)
        finally:
            self._tell("on_end")
        if self.best:
            files.restore_model(self.model, self.best)
        self.state.finished = True
        self._save()
        return self.state.history

    def _epoch(self, interrupted: Interruptible) -> None:
        began = time.perf_counter()
        if isinstance(self.rule, GradientRule):
            self._gradient_epoch(self.rule, interrupted)
        elif isinstance(self.rule, StatisticsRule):
            self._statistics_epoch(self.rule, interrupted)
        else:
            assert isinstance(self.rule, ObjectiveRule)
            self._objective_epoch(self.rule, interrupted)
        self.state.seconds += time.perf_counter() - began
        self._finish_epoch()

    def _gradient_epoch(self, rule: GradientRule, interrupted: Interruptible) -> None:
        assert self.optimiser is not None
        n_batches = self.source.n_batches
        gradients = [p.grad for p in self.learnt if p.grad is not None]
        for batch in self.source.batches(self.state.epoch, self.state.batch, self.world):
            now = self.state.epoch + (self.state.batch / n_batches if n_batches else 0.0)
            optimisers.set_rates(self.optimiser, self.learning_rate(now), self.momentum(now))
            self._add(rule.gradients(self.model, batch, self.state.step, self.step_random))
            self.world.sum_(gradients)
            for penalty in self.penalties:
                penalty.add_gradients(self.learnt)
            self.optimiser.step()
            for penalty in self.penalties:
                penalty.correct(self.learnt)
            self._after_step(batch, interrupted)

    def _statistics_epoch(self, rule: StatisticsRule, interrupted: Interruptible) -> None:
        """Passes with ``rule.every`` may be broken off after a maximisation; others go on to their end."""
        sums, waiting = rule.zero(), 0
        with torch.no_grad():
            for batch in self.source.batches(self.state.epoch, self.state.batch, self.world):
                self._add(rule.accumulate(self.model, batch, self.state.step, self.step_random))
                waiting += 1
                if waiting != rule.every:
                    self._count(batch)
                    continue
                self._maximise(rule, sums)
                sums, waiting = rule.zero(), 0
                self._after_step(batch, interrupted)
            if waiting:
                self._maximise(rule, sums)

    def _maximise(self, rule: StatisticsRule, sums: list[Tensor]) -> None:
        self.world.sum_(sums)
        for name, value in (rule.maximise(self.model) or {}).items():
            self.latest[name] = float(value)

    def _objective_epoch(self, rule: ObjectiveRule, interrupted: Interruptible) -> None:
        """One minimisation over all rows, or one over each batch, by an optimiser that evaluates as it needs."""
        for parameter in self.learnt:
            parameter.grad = torch.zeros_like(parameter)
        if not rule.per_batch:
            everything = lambda: self.source.batches(self.state.epoch, 0, self.world)  # noqa: E731 - gone through anew
            self._minimise(rule, everything, self._all_rows(), 1.0 if self.world.rank == 0 else 0.0)
            self.state.rows_seen = 1
            self.state.step += 1
            return
        for batch in self.source.batches(self.state.epoch, self.state.batch, self.world):
            self.optimiser.restart()  # type: ignore[union-attr]  # an objective's optimiser has it
            self._minimise(rule, partial(tuple, (batch,)), batch.total, len(batch.rows))
            self._after_step(batch, interrupted)

    def _minimise(self, rule: ObjectiveRule, batches: Callable[[], Iterable[Batch]], rows: int, weight: float) -> None:
        """One step over the ``rows`` of ``batches()``; its measures count with this process's ``weight``."""
        evaluations = 0

        def closure() -> Tensor:
            nonlocal evaluations
            evaluations += 1
            for parameter in self.learnt:
                parameter.grad.zero_()  # type: ignore[union-attr]  # made at the start of the epoch
            total = torch.zeros((), dtype=torch.float64, device=self.device)
            for batch in batches():
                if len(batch.rows):
                    part = rule.objective(self.model, batch) * (batch.total / rows)
                    part.backward()
                    total += part.detach()
            self._add_decay(total)
            self.world.sum_([total, *(p.grad for p in self.learnt if p.grad is not None)])
            return total

        value = float(self.optimiser.step(closure))  # type: ignore[union-attr, arg-type, call-arg]  # as above
        for name, number in (("objective", value), ("evaluations", evaluations)):
            self._add({name: torch.tensor(weight * number, dtype=torch.float64, device=self.device)})

    def _add_decay(self, total: Tensor) -> None:
        """Weight decay λ/2 ‖W‖² as a part of the objective and its gradients, this process's share of it."""
        share = self.weight_decay / self.world.size
        if not share:
            return
        with torch.no_grad():
            for parameter in self.learnt:
                if parameter.dim() >= 2:
                    parameter.grad.add_(parameter, alpha=share)  # type: ignore[union-attr]
                    total += share / 2 * (parameter**2).sum()

    def _all_rows(self) -> int:
        if self.source.n_rows is None:
            raise SettingError("an objective over all rows needs arrays, not an iterable of batches")
        return self.source.n_rows

    # bookkeeping ----------------------------------------------------------------------------------------------------

    def _add(self, measures: Mapping[str, Tensor]) -> None:
        for name, value in measures.items():
            if name in self.sums:
                self.sums[name] += value.detach()
            else:
                self.sums[name] = value.detach().to(torch.float64, copy=True)

    def _count(self, batch: Batch) -> None:
        self.state.step += 1
        self.state.batch += 1
        self.state.rows_seen += batch.total

    def _after_step(self, batch: Batch, interrupted: Interruptible) -> None:
        self._count(batch)
        look = self.state.step % WATCH_EVERY == 0
        if look:
            self._watch()
            self._save_if_due()
        if look or self.world.size == 1:  # several processes must stop at the same step
            self._stop_if(interrupted)

    def _finish_epoch(self) -> None:
        self._watch()
        names = sorted(self.sums)
        totals = [self.sums[name] for name in names]
        self.world.sum_(totals)
        measures = {n: float(t) / max(1, self.state.rows_seen) for n, t in zip(names, totals, strict=True)}
        measures |= self.latest
        if self.validation:
            few = tuple(m[: len(self.validation[0])] for m in self.monitored)
            with torch.no_grad():
                measures |= self.rule.validate(self.model, self.validation, few)
        record = EpochRecord(self.state.epoch + 1, self.state.step, self.state.seconds, measures, self._look_inside())
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
            self._save_if_due()
        self._tell("on_epoch", record, self.epochs)

    def _look_inside(self) -> dict[str, list[float]]:
        if not self.health:
            return {}
        every = max(1, len(self.monitored[0]) // HEALTH_ROWS)
        return self.rule.health(self.model, tuple(m[::every][:HEALTH_ROWS] for m in self.monitored))

    def _keep_best(self, measures: dict[str, float]) -> None:
        if self.patience is None:
            return
        watched = measures.get(self.rule.watched)
        if watched is not None and (self.state.best is None or watched < self.state.best):
            self.state.best = watched
            self.state.history.best_epoch = self.state.epoch
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _out_of_patience(self) -> bool:
        if self.patience is None or self.state.history.best_epoch is None:
            return False
        return self.state.epoch - self.state.history.best_epoch >= self.patience

    def _stop_if(self, interrupted: Interruptible) -> None:
        if not self.world.any(interrupted.asked, self.device):
            return
        self._watch()
        self._save()
        where = f"; {self.folder} holds the state to go on from" if self.folder else ""
        raise Interrupted(f"stopped after step {self.state.step} in epoch {self.state.epoch + 1}{where}")

    def _save_if_due(self) -> None:
        due = self.folder is not None and time.monotonic() - self.saved_at > self.checkpoint_seconds
        if self.world.any(due, self.device):
            self._save()

    def _save(self) -> None:
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
        if self.world.rank == 0:
            files.write(self.folder, self.state, groups, self._fingerprint())
        self.world.barrier()

    def _remember_good(self) -> None:
        if not self.good:
            self.good = [torch.empty_like(p) for p in self.learnt]
        torch._foreach_copy_(self.good, [p.detach() for p in self.learnt])
        self.good_step = self.state.step

    def _watch(self) -> None:
        """Raise `DivergenceError` where a measure or a weight is no finite number; else remember the weights."""
        bad = [name for name, value in self.sums.items() if not bool(torch.isfinite(value))]
        norms = torch._foreach_norm([p.detach() for p in self.learnt])
        lost = bool(bad) or not bool(torch.isfinite(torch.stack(norms)).all())
        if not self.world.any(lost, self.device):
            self._remember_good()
            return
        torch._foreach_copy_([p.detach() for p in self.learnt], self.good)
        rate = self.learning_rate(self.state.epoch)
        raise DivergenceError(
            f"training diverged between steps {self.good_step} and {self.state.step} "
            f"({', '.join(bad) or 'the weights'} left the finite range); the weights of step {self.good_step} are "
            f"kept: lower learning_rate (now {rate:g}) or check the scale of the data"
        )

    def _tell(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            listener = getattr(callback, event, None)
            if listener is not None:
                listener(*arguments)
