"""Variational learning: ascend the evidence lower bound, or the importance-weighted one, by a sampled gradient.

The problem: the bound is an expectation over q(h | v), whose own parameters are learnt too. Two estimators of its
gradient, both unbiased (see equations 127 to 129 of ``docs/mathematics.md``):

- *reparametrised* (Kingma & Welling 2014): h = mean + σ ε with ε of fixed distribution, so that the gradient passes
  through the sample. Small variance; needs a decoder that can be differentiated.
- *score function* (Williams 1992, "REINFORCE"): E_q[(f(h) − b) ∇ log q(h)], which asks only for values f(h) of what is
  averaged; the baseline b, independent of h, changes the variance alone.

The KL term is taken in closed form with both. With ``importance`` K > 1 the bound of Burda, Grosse, Salakhutdinov
(2016) is ascended instead: E log (1/K) Σ_k p(v, h_k)/q(h_k | v), which is tighter for every larger K.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.core.random import Random
from lamina.training.loss_rule import LossRule
from lamina.training.rules import Setting
from lamina.training.sources import Batch

ESTIMATORS = ("reparametrised", "score-function")
BASELINES = ("none", "running", "leave-one-out")
RUNNING = 0.9  # what the running mean keeps of itself at each step


class Variational(LossRule):
    """Descends −ELBO(v) = β KL(q(h|v) ‖ p(h)) − E_q[log p(v|h)], the expectation from ``samples`` draws a row.

    ``beta`` other than 1 weighs the KL term (Higgins et al. 2017): no bound of log p(v) where it is below 1.
    ``importance`` K > 1: the importance-weighted bound, ``samples`` estimates of K draws each. ``baseline`` belongs to
    the score function: "none"; "running", the running mean of log p(v|h) over the batches before this one;
    "leave-one-out", the mean over the row's other draws (``samples`` of at least 2).

    Measures: ``bound`` (nats a row; −loss where β = 1), ``kl``. Validation: the ELBO with draws fixed once.
    Raises `SettingError` where settings contradict, `DataError` for rows that the likelihood cannot give.
    Cost: one pass of the encoder and samples × importance passes of the decoder, a row.
    """

    watched = "validation loss"

    def __init__(
        self,
        estimator: str = "reparametrised",
        *,
        samples: int = 1,
        beta: float = 1.0,
        importance: int = 1,
        baseline: str = "none",
    ) -> None:
        if estimator not in ESTIMATORS:
            raise SettingError(f"estimator is {estimator!r}; {nearest_names(str(estimator), list(ESTIMATORS))}")
        if baseline not in BASELINES:
            raise SettingError(f"baseline is {baseline!r}; {nearest_names(str(baseline), list(BASELINES))}")
        check_number("samples", samples, low=1, integer=True)
        check_number("importance", importance, low=1, integer=True)
        check_number("beta", beta, low=0.0)
        self.estimator, self.baseline = estimator, baseline
        self.samples, self.importance, self.beta = int(samples), int(importance), float(beta)
        self._check_together()
        self.mean = torch.zeros((), dtype=torch.float64)

    def _check_together(self) -> None:
        if self.importance > 1 and (self.estimator != "reparametrised" or self.beta != 1.0):
            raise SettingError(
                f"importance is {self.importance} with estimator {self.estimator!r} and beta {self.beta:g}; expected "
                f"'reparametrised' and 1: the importance-weighted bound has no KL term to weigh, and no baseline here"
            )
        if self.baseline != "none" and self.estimator != "score-function":
            raise SettingError(f"baseline is {self.baseline!r}; expected 'none' with the reparametrised estimator")
        if self.baseline == "leave-one-out" and self.samples < 2:
            raise SettingError("baseline 'leave-one-out' with samples=1; expected samples of at least 2")

    def start(self, model: nn.Module, setting: Setting) -> None:
        if self.baseline == "running" and setting.world.size > 1:
            raise SettingError(
                "the running baseline is the mean of one process's rows; expected one process, or 'leave-one-out'"
            )
        self.mean = torch.zeros((), dtype=torch.float64, device=setting.device)

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean} if self.baseline == "running" else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if "mean" in state:
            self.mean = state["mean"].to(self.mean.device, torch.float64)

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        model.check(values[0])

    # the loss -------------------------------------------------------------------------------------------------------

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        v = batch.values[0]
        mean, log_variance = model.posterior(v)
        if self.importance > 1:
            return self._importance_loss(model, v, mean, log_variance, random)
        kl = model.kl(mean, log_variance).sum()
        if self.estimator == "reparametrised":
            h = _draws(mean, log_variance, self.samples, random)
            likelihood = model.log_p_v_given_h(v, h)
            surrogate = likelihood.sum() / self.samples
        else:
            h = _draws(mean.detach(), log_variance.detach(), self.samples, random)
            likelihood = model.log_p_v_given_h(v, h)
            signal = self._signal(likelihood.detach())
            score = (signal * model.log_q_h(h, mean, log_variance)).sum()
            surrogate = (likelihood.sum() + score) / self.samples
        bound = likelihood.detach().sum() / self.samples - kl.detach()
        return self.beta * kl - surrogate, {"bound": bound, "kl": kl}

    def _importance_loss(
        self, model: Any, v: Tensor, mean: Tensor, log_variance: Tensor, random: Random
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        h = _draws(mean, log_variance, self.samples * self.importance, random)
        log_w = model.log_p_v_given_h(v, h) + model.log_p_h(h) - model.log_q_h(h, mean, log_variance)
        log_w = log_w.unflatten(0, (self.samples, self.importance))
        bound = (torch.logsumexp(log_w, 1) - math.log(self.importance)).sum() / self.samples
        return -bound, {"bound": bound, "kl": model.kl(mean, log_variance).sum()}

    def _signal(self, likelihood: Tensor) -> Tensor:
        """log p(v | h) less the baseline, (samples, n); the running mean then moves on."""
        if self.baseline == "leave-one-out":
            return (likelihood - likelihood.mean(0)) * (self.samples / (self.samples - 1))
        if self.baseline == "none":
            return likelihood
        signal = likelihood - self.mean.to(likelihood)
        self.mean = self.mean * RUNNING + likelihood.mean(dtype=torch.float64) * (1 - RUNNING)
        return signal

    # measures -------------------------------------------------------------------------------------------------------

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        bound = _bound(model, values[0])
        return {"validation loss": -bound, "validation bound": bound}

    def describe(self) -> dict:
        names = ("estimator", "samples", "beta", "importance", "baseline")
        return {"rule": "Variational", **{name: getattr(self, name) for name in names}}


def _draws(mean: Tensor, log_variance: Tensor, samples: int, random: Random) -> Tensor:
    """``samples`` draws of q a row, (samples, n, n_hidden), differentiable in both arguments.

    Random numbers are keyed by row, so the draws of a row do not depend on how rows are spread over processes.
    """
    n, n_hidden = mean.shape
    noise = random.normal((n, samples * n_hidden), mean.dtype, mean.device)
    noise = noise.view(n, samples, n_hidden).transpose(0, 1)
    return torch.addcmul(mean, (0.5 * log_variance).exp(), noise)


@torch.no_grad()
def _bound(model: Any, v: Tensor) -> float:
    """Mean ELBO of the rows, one draw each, the same draws every time."""
    random = Random(0, ("validation",))
    total = 0.0
    for part in v.split(2000):
        mean, log_variance = model.posterior(part)
        h = model.reparametrise(mean, log_variance, random)
        total += float((model.log_p_v_given_h(part, h) - model.kl(mean, log_variance)).double().sum())
    return total / len(v)
