"""One epoch of an objective: handed, with its gradient, to a minimiser that evaluates it as often as it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.training.bookkeeping import Bookkeeping
from lamina.training.rules import ObjectiveRule
from lamina.training.sources import Batch


def objective_epoch(run: Bookkeeping, rule: ObjectiveRule, after_batch: Callable[[Batch], None]) -> None:
    """One minimisation over all rows, or one over each batch, after each of which ``after_batch`` is called."""
    for parameter in run.learnt:
        parameter.grad = torch.zeros_like(parameter)
    if not rule.per_batch:
        everything = lambda: run.source.batches(run.state.epoch, 0, run.world)  # noqa: E731 - gone through anew
        _minimise(run, rule, everything, _all_rows(run), 1.0 if run.world.rank == 0 else 0.0)
        run.state.rows_seen = 1
        run.state.step += 1
        return
    for batch in run.source.batches(run.state.epoch, run.state.batch, run.world):
        run.optimiser.restart()  # type: ignore[union-attr]  # an objective's optimiser has it
        _minimise(run, rule, partial(tuple, (batch,)), batch.total, len(batch.rows))
        after_batch(batch)


def _minimise(
    run: Bookkeeping, rule: ObjectiveRule, batches: Callable[[], Iterable[Batch]], rows: int, weight: float
) -> None:
    """One step over the ``rows`` of ``batches()``; its measures count with this process's ``weight``."""
    evaluations = 0

    def closure() -> Tensor:
        nonlocal evaluations
        evaluations += 1
        for parameter in run.learnt:
            parameter.grad.zero_()  # type: ignore[union-attr]  # made at the start of the epoch
        total = torch.zeros((), dtype=torch.float64, device=run.device)
        for batch in batches():
            if len(batch.rows):
                part = rule.objective(run.model, batch) * (batch.total / rows)
                part.backward()
                total += part.detach()
        _add_decay(run, total)
        run.world.sum_([total, *(p.grad for p in run.learnt if p.grad is not None)])
        return total

    value = float(run.optimiser.step(closure))  # type: ignore[union-attr, arg-type, call-arg]  # as above
    for name, number in (("objective", value), ("evaluations", evaluations)):
        run.add({name: torch.tensor(weight * number, dtype=torch.float64, device=run.device)})


def _add_decay(run: Bookkeeping, total: Tensor) -> None:
    """Weight decay λ/2 ‖W‖² as a part of the objective and its gradients, this process's share of it."""
    share = run.weight_decay / run.world.size
    if not share:
        return
    with torch.no_grad():
        for parameter in run.learnt:
            if parameter.dim() >= 2:
                parameter.grad.add_(parameter, alpha=share)  # type: ignore[union-attr]
                total += share / 2 * (parameter**2).sum()


def _all_rows(run: Bookkeeping) -> int:
    if run.source.n_rows is None:
        raise SettingError("an objective over all rows needs arrays, not an iterable of batches")
    return run.source.n_rows
