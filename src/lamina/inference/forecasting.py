"""What follows, given a condition or a past: forecasts, generated sequences, exact log-likelihoods of frames.

All take a `ConditionalRBM` with conditions (n, n_condition), or a `TemporalRBM` with the conditions that its
``windows`` and ``condition`` give. E[v | x] is a sum over hidden states (docs/mathematics.md, eq. 48): exact for few
hidden units, else approached by mean-field iterations (deterministic, biased towards one mode) or by Gibbs sampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.core.random import Random, as_random
from lamina.models.energy import ConditionalRBM, TemporalRBM

METHODS = ["mean-field", "gibbs", "exact"]
STATES_AT_ONCE = 1 << 22  # numbers in the largest array of an enumeration


@torch.no_grad()
def forecast(
    model: Any,
    condition: Tensor,
    method: str = "mean-field",
    *,
    steps: int = 10,
    n_chains: int = 10,
    random_state: int | Random | None = None,
) -> Tensor:
    """E[v | x] for conditions (n, n_condition): (n, n_visible).

    ``"mean-field"`` iterates means ``steps`` times from the visible biases; ``"gibbs"`` averages E[v | h, x] over the
    last half of ``steps`` Gibbs steps of ``n_chains`` chains per condition; ``"exact"`` sums over all hidden states.
    """
    check_number("steps", steps, low=1, integer=True)
    check_number("n_chains", n_chains, low=1, integer=True)
    machine: ConditionalRBM = model.as_conditional()
    if method == "mean-field":
        return _mean_field(machine, condition, steps)
    if method == "gibbs":
        repeated = condition.repeat_interleave(n_chains, 0)
        means = _gibbs_mean(machine, repeated, steps, as_random(random_state).child("forecast"))
        return means.view(len(condition), n_chains, -1).mean(1)
    if method == "exact":
        return torch.cat([_exact_mean(machine, *part) for part in _with_all_hidden(machine, condition)])
    raise SettingError(f"method is {method!r}; {nearest_names(str(method), METHODS)}")


def _mean_field(machine: ConditionalRBM, x: Tensor, steps: int) -> Tensor:
    visible, hidden = machine.visible, machine.hidden
    bias_v, bias_h = machine.bias_v(x), machine.bias_h(x)
    v = visible.mean(bias_v)
    for _ in range(steps):
        h = hidden.mean_(bias_h + visible.interaction(v) @ machine.W)
        v = visible.mean_(bias_v + hidden.interaction(h) @ machine.W.T)
    return v


def _gibbs_mean(machine: ConditionalRBM, x: Tensor, steps: int, random: Random) -> Tensor:
    visible, hidden = machine.visible, machine.hidden
    bias_v, bias_h = machine.bias_v(x), machine.bias_h(x)
    _, v = visible.mean_and_sample_(bias_v.clone(), random)
    total, kept = torch.zeros_like(bias_v), steps - steps // 2
    for step in range(steps):
        h = hidden.sample(bias_h + visible.interaction(v) @ machine.W, random)
        v = bias_v + hidden.interaction(h) @ machine.W.T
        if step >= steps - kept:
            total += visible.mean(v)
        v = visible.sample(v, random)
    return total / kept


def _with_all_hidden(machine: ConditionalRBM, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Conditions (rows, 1, n_condition), few enough at a time, beside all hidden states (n_states, n_hidden)."""
    h = machine.hidden.states(machine.W.dtype).to(machine.W.device)
    rows = max(1, STATES_AT_ONCE // (len(h) * max(machine.n_visible, machine.n_hidden)))
    for part in x.split(rows):
        yield part.unsqueeze(1), h


def _exact_mean(machine: ConditionalRBM, x: Tensor, h: Tensor) -> Tensor:
    """Σ_h p(h | x) E[v | h, x]."""
    shares = torch.softmax(-machine.free_energy_h(h, x).double(), 1).to(x.dtype)
    return torch.einsum("ns,nsv->nv", shares, machine.mean_v_from_h(h, x))


@torch.no_grad()
def conditional_log_likelihood(model: Any, v: Tensor, condition: Tensor) -> Tensor:
    """log p(v | x) in nats for rows (n, n_visible) and conditions (n, n_condition): (n,) float64.

    Exact: −F(v | x) − log Z(x), log Z(x) summed over all hidden states for each row. For real-valued units a density.
    Cost: rows · 2^n_hidden · n_visible for Bernoulli hidden units; refused above 2^24 hidden states.
    """
    machine: ConditionalRBM = model.as_conditional()
    parts = _with_all_hidden(machine, condition)
    log_z = torch.cat([torch.logsumexp(-machine.free_energy_h(h, x).double(), 1) for x, h in parts])
    return -machine.free_energy(v, condition).double() - log_z


@torch.no_grad()
def generate(
    model: TemporalRBM,
    past: Tensor,
    n_frames: int,
    *,
    steps: int = 30,
    mean_last: bool = False,
    random_state: int | Random | None = None,
) -> Tensor:
    """``n_frames`` new frames after each past (n, n_lags, n_visible): (n, n_frames, n_visible), in order of time.

    Each frame is the end of ``steps`` Gibbs steps begun at the frame before it, and becomes part of the next frame's
    past. ``mean_last`` takes E[v | h, x] in place of the last visible draw, which keeps a noise of σ out of real-valued
    frames (as the paper's animations do) and makes them smoother than the model.
    """
    check_number("n_frames", n_frames, low=1, integer=True)
    check_number("steps", steps, low=1, integer=True)
    random = as_random(random_state).child("generate")
    model.condition(past)
    frames = []
    for _ in range(n_frames):
        frame = _next_frame(model, past, steps, mean_last, random)
        past = torch.cat([frame.unsqueeze(1), past[:, :-1]], 1)
        frames.append(frame)
    return torch.stack(frames, 1)


def _next_frame(model: TemporalRBM, past: Tensor, steps: int, mean_last: bool, random: Random) -> Tensor:
    machine = model.as_conditional()
    x = model.condition(past)
    visible, hidden = machine.visible, machine.hidden
    bias_v, bias_h = machine.bias_v(x), machine.bias_h(x)
    v = past[:, 0]
    for left in reversed(range(steps)):
        h = hidden.sample(bias_h + visible.interaction(v) @ machine.W, random)
        field = bias_v + hidden.interaction(h) @ machine.W.T
        v = visible.mean(field) if mean_last and not left else visible.sample(field, random)
    return v
