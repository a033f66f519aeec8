"""The one loop: everything that learns, learns here.

It owns the order of the data, schedules, history, progress, validation and early stopping, checkpoints and exact
resume, Ctrl-C, the watch for divergence, and the sum over processes. A rule (see `lamina.training.rules`) says only
what a batch teaches.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.training import checkpoint as files
from lamina.training import optimisers
from lamina.training.averaging import RunningAverage, WeightAverage, as_average
from lamina.training.bookkeeping import Bookkeeping
from lamina.training.conjugate_gradients import MINIMISERS
from lamina.training.distributed import world
from lamina.training.history import History
from lamina.training.interrupt import Interruptible
from lamina.training.objective_epoch import objective_epoch
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
    momentum: float | Schedule | None = None,
    weight_decay: float = 0.0,
    optimiser: str | optimisers.Choice = "sgd",
    penalties: Sequence[WeightPenalty] = (),
    validation: Any = None,
    patience: int | None = None,
    tolerance: float = 0.0,
    watch: str | None = None,
    averaging: float | WeightAverage | None = None,
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    callbacks: Sequence[Any] = (),
    health: bool | int = False,
) -> History:
    """Train ``model`` in place by ``rule`` and return its `History`.

    ``data`` is an array (rows, features), NumPy, memory-mapped or torch; a tuple of arrays of equal length; or an
    iterable of batches that can be gone through once per epoch. ``learning_rate`` and ``momentum`` are numbers or
    `Schedule` objects over epochs; ``weight_decay`` and ``penalties`` (`L1`, `MaxNorm`) spare biases.

    ``optimiser`` is a name or a record of `lamina.training.optimisers`: "sgd", "momentum", "nesterov" (these three take
    ``momentum``, by default 0, 0.9, 0.9), "adagrad", "rmsprop", "adam" (`Adam(beta1, beta2, eps)`), or "lbfgs", which
    minimises over all rows at once (the rule must offer ``as_objective()``; learning rate and batch size do not count).

    With ``validation`` (same form as ``data``) and ``patience``, training stops once the rule's watched measure has not
    fallen by more than ``tolerance`` for that many epochs in a row, and the weights of its lowest value are put back.
    ``watch`` names another measure; with one of training ("training loss") no validation data are needed.
    ``averaging`` (a decay such as 0.999, or a `WeightAverage`) has validation and the trained model take the running
    mean of the weights over the steps: a cheap gain in noisy runs.

    With ``checkpoint`` (a folder) the run can be killed at any moment and called again with the same arguments: it goes
    on and ends with the weights of an unbroken run, bit for bit. ``health`` looks inside the network after each epoch,
    on a few training rows, for `lamina.diagnose`: gradients, activity and weights of every layer
    (`EpochRecord.health`); a number n looks after every n-th epoch and the last.

    Raises `DivergenceError` when numbers leave the finite range (the last good weights are kept in the model),
    `Interrupted` after Ctrl-C (state saved first), `DataError` and `SettingError` for what cannot be learnt from.
    """
    _check_settings(epochs, batch_size, weight_decay, patience, tolerance)
    _check_watched(patience, validation, watch)
    choice = optimisers.as_choice(optimiser)
    rule = _suited(rule, choice)
    _check_steps(rule, penalties, averaging)
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
        momentum=as_schedule(choice.momentum if momentum is None else momentum),
        weight_decay=weight_decay,
        optimiser=choice,
        penalties=tuple(penalties),
        patience=patience,
        tolerance=tolerance,
        watch=watch,
        averaging=as_average(averaging),
        folder=None if checkpoint is None else Path(checkpoint),
        checkpoint_seconds=checkpoint_seconds,
        callbacks=callbacks,
        health=health,
    )
    run.prepare(data, validation)
    return run.run()


def _check_settings(epochs: int, batch_size: int, weight_decay: float, patience: int | None, tolerance: float) -> None:
    check_number("epochs", epochs, low=0, integer=True)
    check_number("batch_size", batch_size, low=1, integer=True)
    check_number("weight_decay", weight_decay, low=0.0)
    check_number("tolerance", tolerance, low=0.0)
    if patience is not None:
        check_number("patience", patience, low=1, integer=True)


def _check_watched(patience: int | None, validation: Any, watch: str | None) -> None:
    if patience is not None and validation is None and watch is None:
        raise SettingError("patience needs validation data to watch: pass validation=, or leave patience out")


def _suited(rule: Rule, choice: optimisers.Choice) -> Rule:
    """The rule, or, for an optimiser that works on all rows at once, the same as an objective."""
    if not (choice.full_batch and isinstance(rule, GradientRule)):
        return rule
    if not hasattr(rule, "as_objective"):
        raise SettingError(
            f"{type(rule).__name__} has no objective over all rows, which optimiser='lbfgs' minimises; expected a rule "
            f"with as_objective(), such as BackPropagation, or another optimiser"
        )
    return rule.as_objective()


def _check_steps(rule: Rule, penalties: Sequence[WeightPenalty], averaging: Any) -> None:
    """What works on gradient steps needs a rule that takes some."""
    for penalty in penalties:
        if not isinstance(penalty, WeightPenalty):
            raise SettingError(
                f"penalties holds {penalty!r}; expected penalties of weights such as L1(1e-4): those of activity are "
                f"handed to a rule as penalty="
            )
    if penalties and not isinstance(rule, GradientRule):
        raise SettingError(f"{type(rule).__name__} takes no gradient steps, which penalties need: leave penalties out")
    if averaging is not None and not isinstance(rule, GradientRule):
        raise SettingError(f"{type(rule).__name__} takes no gradient steps to average over: leave averaging out")


class _Run(Bookkeeping):
    """One call of `fit` on its way: the pieces made from its settings, and the three kinds of epoch."""

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
        self.averaged = None if self.averaging is None else RunningAverage(self.averaging, self.model)
        self.resume()
        self.world.take_first_(list(self.model.state_dict().values()))
        self.remember_good()
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
            return optimisers.make(self.choice, self.learnt, self.weight_decay, self.device)
        if isinstance(self.rule, ObjectiveRule):
            if isinstance(self.choice, optimisers.LBFGS):
                return self.choice.minimiser(self.learnt, self.rule.searches)
            return MINIMISERS[self.rule.minimiser](self.learnt, self.rule.searches)
        return None

    def run(self) -> History:
        if self.state.finished:
            return self.state.history
        self.note_start()
        self.tell("on_start", self.epochs, self.state.epoch)
        try:
            with Interruptible() as interrupted:
                while self.state.epoch < self.epochs:
                    reason = self.reason_to_stop()  # asked first: a resumed run may stand here
                    if reason is not None:
                        self.state.history.stopped = reason
                        break
                    self._epoch(interrupted)
                    self.stop_if(interrupted)
        finally:
            self.tell("on_end")
        if self.best:
            files.restore_model(self.model, self.best)
        elif self.averaged is not None:
            self.averaged.put_in_place()
        self.state.finished = True
        self.save()
        return self.state.history

    def _epoch(self, interrupted: Interruptible) -> None:
        began = time.perf_counter()
        if isinstance(self.rule, GradientRule):
            self._gradient_epoch(self.rule, interrupted)
        elif isinstance(self.rule, StatisticsRule):
            self._statistics_epoch(self.rule, interrupted)
        else:
            assert isinstance(self.rule, ObjectiveRule)
            objective_epoch(self, self.rule, lambda batch: self._after_step(batch, interrupted))
        self.state.seconds += time.perf_counter() - began
        self.finish_epoch()

    def _gradient_epoch(self, rule: GradientRule, interrupted: Interruptible) -> None:
        assert self.optimiser is not None
        n_batches = self.source.n_batches
        gradients = [p.grad for p in self.learnt if p.grad is not None]
        rate = self.learning_rate.given(self.state.history, self.watched)
        for batch in self.source.batches(self.state.epoch, self.state.batch, self.world):
            now = self.state.epoch + (self.state.batch / n_batches if n_batches else 0.0)
            optimisers.set_rates(self.optimiser, rate(now), self.momentum(now))
            self.add(rule.gradients(self.model, batch, self.state.step, self.step_random))
            self.world.sum_(gradients)
            for penalty in self.penalties:
                penalty.add_gradients(self.learnt)
            self.optimiser.step()
            for penalty in self.penalties:
                penalty.correct(self.learnt)
            if self.averaged is not None:
                self.averaged.update(now)
            self._after_step(batch, interrupted)

    def _statistics_epoch(self, rule: StatisticsRule, interrupted: Interruptible) -> None:
        """Passes with ``rule.every`` may be broken off after a maximisation; others go on to their end."""
        sums, waiting = rule.zero(), 0
        with torch.no_grad():
            for batch in self.source.batches(self.state.epoch, self.state.batch, self.world):
                self.add(rule.accumulate(self.model, batch, self.state.step, self.step_random))
                waiting += 1
                if waiting != rule.every:
                    self.count(batch)
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

    def _after_step(self, batch: Batch, interrupted: Interruptible) -> None:
        self.count(batch)
        look = self.state.step % WATCH_EVERY == 0
        if look:
            self.check_finite()
            self.save_if_due()
        if look or self.world.size == 1:  # several processes must stop at the same step
            self.stop_if(interrupted)
