"""A callback that follows the likelihood while a machine learns: overfitting and lost modes, seen as they happen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.random import Random, as_random
from lamina.inference.betas import Betas
from lamina.inference.likelihood import log_likelihood
from lamina.inference.partition import LogPartition, estimate_log_partition
from lamina.inference.rows import as_rows
from lamina.training.history import EpochRecord

MOST_ROWS = 2000


class LikelihoodMonitor:
    """Estimates log Z every ``every`` epochs, and after the last, and adds measures to that epoch's record.

    ``fit(rbm, X, rule, callbacks=[LikelihoodMonitor(rbm, X, validation=V, every=5)])`` leaves in the `History`:
    "log-likelihood" (mean of log p over rows of ``data``, nats), "validation log-likelihood", "free-energy gap" (mean
    F(validation) − mean F(data): it grows with overfitting and needs no Z; Hinton 2010, section 6), "log Z",
    "effective sample size" and "trusted" (1 or 0: whether the weights of the chains speak against the estimate).
    Up to 2,000 evenly spaced rows of each set are looked at.

    ``model`` is the one that is trained, any that `log_partition` takes and that has ``free_energy``; ``method`` "ais"
    (``betas``, ``n_chains``: a quick estimate, too low a log Z on average, so that likelihoods look too good) or
    "exact". It gives no warnings: look at "trusted". Numbers are keyed by the epoch, so that a resumed run estimates
    what an unbroken one does; a checkpoint that was written just before the estimate lacks that epoch's. The weights
    never depend on it. `estimates` holds the full records of this process by epoch.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        validation: Any = None,
        *,
        every: int = 1,
        method: str = "ais",
        betas: Betas = 1000,
        n_chains: int = 100,
        random_state: int | Random | None = 0,
    ) -> None:
        check_number("every", every, low=1, integer=True)
        self.model, self.every, self.method = model, int(every), method
        self.rows = as_rows(model, _few(data))
        self.validation = None if validation is None else as_rows(model, _few(validation))
        self.betas, self.n_chains = betas, n_chains
        self.random = as_random(random_state).child("likelihood monitor")
        self.estimates: dict[int, LogPartition] = {}

    def on_epoch(self, record: EpochRecord, epochs: int) -> None:
        if record.epoch % self.every == 0 or record.epoch == epochs:
            record.measures.update(self.measure(record.epoch))

    @torch.no_grad()
    def measure(self, epoch: int) -> dict[str, float]:
        """The measures of the model as it is now; ``epoch`` keys the random numbers."""
        found = estimate_log_partition(
            self.model,
            self.method,
            n_chains=self.n_chains,
            betas=self.betas,
            random_state=self.random.child(epoch),
            data_mean=self.rows.mean(0),
        )
        self.estimates[epoch] = found
        train = log_likelihood(self.model, self.rows, found)
        measures = {"log-likelihood": float(train.mean())}
        if self.validation is not None:
            held_out = log_likelihood(self.model, self.validation, found)
            measures["validation log-likelihood"] = float(held_out.mean())
            measures["free-energy gap"] = float(train.mean() - held_out.mean())  # log Z drops out
        measures |= {"log Z": found.log_z, "trusted": float(found.trusted)}
        if found.n_chains:
            measures["effective sample size"] = found.effective_sample_size
        return measures


def _few(data: Any) -> Any:
    """At most `MOST_ROWS` evenly spaced rows."""
    if isinstance(data, Tensor):
        return data[torch.linspace(0, len(data) - 1, min(len(data), MOST_ROWS)).round().long()]
    return data[:: -(-len(data) // MOST_ROWS)] if len(data) else data
