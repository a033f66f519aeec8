"""Filling in rows of a variational autoencoder: free values and codes drawn together, given the values that are held.

The problem: p(v_free | v_held) = ∫ p(v_free | h) p(h | v_held) dh, and p(h | v) is not known. A chain that draws h from
the encoder's q(h | v) and v from p(v | h) in turn (Rezende, Mohamed, Wierstra 2014) has not quite that distribution,
since q is no exact posterior. A proposal h' ~ q(h | v) that is accepted with probability

    min(1, [p(v, h') q(h | v)] / [p(v, h) q(h' | v)])

leaves it as it is (Mattei, Frellsen 2018): Metropolis within Gibbs. Where q is the posterior, all are accepted.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lamina.core.random import Random


@torch.no_grad()
def latent_gibbs(
    model: Any, v: Tensor, h: Tensor, random: Random, known: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One step from (v, h) to the next: h by Metropolis from q(h | v), then v ~ p(v | h) where ``known`` is False.

    ``v`` and ``known`` (n, n_visible), ``h`` (n, n_hidden); leaves p(v, h | v_known) invariant. Without ``known``, all
    of v is drawn anew.
    """
    mean, log_variance = model.posterior(v)
    proposal = model.reparametrise(mean, log_variance, random)

    def log_weight(code: Tensor) -> Tensor:
        return model.log_p_v_given_h(v, code) + model.log_p_h(code) - model.log_q_h(code, mean, log_variance)

    ratio = (log_weight(proposal) - log_weight(h)).unsqueeze(1)
    h = torch.where(random.uniform(ratio.shape, ratio.dtype, ratio.device).log() < ratio, proposal, h)
    drawn = model.sample_v_from_h(h, random)
    return (drawn if known is None else torch.where(known, v, drawn)), h
