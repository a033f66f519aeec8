"""When to stop, and how fast to go on: what is decided after every pass of `MLPClassifier` and `MLPRegressor`.

The rules are those of scikit-learn's perceptrons. A pass improves where the training loss falls below the lowest so far
by ``tol``, or, with early stopping, where the score on rows kept aside comes to at least the best so far and ``tol``.
More than ``n_iter_no_change`` passes in a row without that end the training; ``learning_rate="adaptive"`` divides the
rate by 5 instead, as long as it is above 10⁻⁶.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from lamina.training import EpochRecord, History
from lamina.training.schedules import Schedule

SMALLEST_RATE, CUT = 1e-6, 5.0


class Rate(Schedule):
    """A learning rate that is changed between passes: "invscaling" makes it first / (rows seen + 1)^power.

    ``stop`` is the reason to end training before another pass, if there is one.
    """

    def __init__(self, first: float, kind: str, power: float) -> None:
        self.first, self.kind, self.power = float(first), kind, float(power)
        self.value = self.first
        self.stop: str | None = None

    def given(self, history: History, watched: str) -> Schedule:
        return Schedule(((0.0, self.value),))

    def exhausted(self, history: History, watched: str) -> str | None:
        return self.stop

    def pass_ended(self, rows_seen: int) -> None:
        if self.kind == "invscaling":
            self.value = self.first / (rows_seen + 1) ** self.power

    def cut(self) -> bool:
        """Make the rate smaller; False where there is nothing more to gain that way."""
        if self.kind != "adaptive" or self.value <= SMALLEST_RATE:
            return False
        self.value /= CUT
        return True


class Convergence:
    """Listens to the loop: writes losses and scores into ``estimator`` and tells ``rate`` when to cut or stop.

    ``n_rows`` are those of a pass; ``loss`` turns the pass's measures into the loss as scikit-learn defines it;
    ``score`` gives the score on the rows kept aside, and ``keep`` takes note of the best weights.
    """

    def __init__(
        self,
        estimator: Any,
        n_rows: int,
        rate: Rate,
        loss: Callable[[dict[str, float]], float],
        score: Callable[[], float] | None = None,
        keep: Callable[[], None] | None = None,
    ) -> None:
        self.estimator, self.n_rows, self.rate = estimator, n_rows, rate
        self.loss, self.score, self.keep = loss, score, keep
        rate.stop = None

    def on_epoch(self, record: EpochRecord, epochs: int) -> None:
        fitted = self.estimator
        fitted.n_iter_ += 1
        fitted.t_ += self.n_rows
        fitted.loss_ = self.loss(record.measures)
        fitted.loss_curve_.append(fitted.loss_)
        self._say(f"Iteration {fitted.n_iter_}, loss = {fitted.loss_:.8f}")
        if self.score is None:
            self._count_loss(fitted)
        else:
            self.take_score(self.score())
        self.rate.pass_ended(fitted.t_)
        self._judge(fitted)

    def _count_loss(self, fitted: Any) -> None:
        stale = fitted.loss_ > fitted.best_loss_ - fitted.tol
        fitted._no_improvement_count = fitted._no_improvement_count + 1 if stale else 0
        fitted.best_loss_ = min(fitted.best_loss_, fitted.loss_)

    def take_score(self, score: float) -> None:
        """Count with a score (NaN is never better)."""
        fitted = self.estimator
        fitted.validation_scores_.append(score)
        self._say(f"Validation score: {score:f}")
        stale = score < fitted.best_validation_score_ + fitted.tol
        fitted._no_improvement_count = fitted._no_improvement_count + 1 if stale else 0
        if score > fitted.best_validation_score_:
            fitted.best_validation_score_ = score
            if self.keep is not None:
                self.keep()

    def diverged(self) -> None:
        """Count a pass whose numbers left the finite range."""
        fitted = self.estimator
        fitted.n_iter_ += 1
        fitted.t_ += self.n_rows
        fitted.loss_ = math.nan
        fitted.loss_curve_.append(math.nan)
        self.take_score(math.nan)

    def _judge(self, fitted: Any) -> None:
        if fitted._no_improvement_count <= fitted.n_iter_no_change:
            return
        what = "Training loss" if self.score is None else "Validation score"
        why = f"{what} did not improve more than tol={fitted.tol:f} for {fitted.n_iter_no_change} consecutive epochs."
        if self.rate.cut():
            fitted._no_improvement_count = 0
            self._say(f"{why} Setting learning rate to {self.rate.value:f}")
            return
        self.rate.stop = why
        self._say(f"{why} Stopping.")

    def _say(self, line: str) -> None:
        """scikit-learn's lines, on standard output as there."""
        if self.estimator.verbose:
            sys.stdout.write(line + "\n")
