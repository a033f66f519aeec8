"""Why an undirected machine is easier to infer in: two causes that explain each other away, and two that do not.

A house jumps (bias −20) when a truck hits it or the earth quakes (biases −10; weights 20 each). In the directed net the
causes are independent until the house is seen to jump; then one of them is enough, and each makes the other unlikely.
In the restricted Boltzmann machine of the same weights and biases it is the other way round: the causes depend on each
other until the house is seen, and are independent then. A third net is directed like the first, but its causes have the
prior that the machine gives them, a *complementary prior*: it cancels the explaining away exactly, which is why a stack
of machines makes one directed net. All numbers are exact sums over four states of the causes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lamina.models.energy import RBM, DirectedLayer
from lamina.recipes.context import Context
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.units import Bernoulli

NAME = "explaining_away"
TITLE = "Explaining away, and how a machine avoids it"
PAPER = (
    "G. E. Hinton, S. Osindero, Y.-W. Teh (2006) A fast learning algorithm for deep belief nets. "
    "Neural Computation 18, 1527-1554, section 2 and figure 2"
)
MINUTES = 1

CAUSE_BIAS, EFFECT_BIAS, WEIGHT = -10.0, -20.0, 20.0
JUMP = torch.ones(1, dtype=torch.float64)
MODELS = ("directed", "undirected", "complementary prior")


def machine(scale: float = 1.0) -> RBM:
    """One visible unit (the house) and two hidden ones (truck, earthquake); all parameters times ``scale``."""
    rbm = RBM(1, 2, dtype=torch.float64)
    with torch.no_grad():
        rbm.W.fill_(WEIGHT * scale)
        rbm.b.fill_(EFFECT_BIAS * scale)
        rbm.c.fill_(CAUSE_BIAS * scale)
    return rbm


@torch.no_grad()
def joint(model: str, scale: float = 1.0) -> Tensor:
    """p(causes, effect) of one of the three models, (4, 2) float64: causes 00, 01, 10, 11; effect 0, 1."""
    rbm = machine(scale)
    h, v = Bernoulli(2).states(torch.float64), Bernoulli(1).states(torch.float64)
    machines = torch.softmax(-rbm.energy(v.expand(4, 2, 1), h[:, None].expand(4, 2, 2)).view(-1), 0).view(4, 2)
    if model == "undirected":
        return machines
    layer = DirectedLayer(1, 2, dtype=torch.float64).tie_to(rbm)
    causes = torch.softmax(h @ rbm.c, 0) if model == "directed" else machines.sum(1)
    jumps = layer.mean_v_from_h(h)
    return causes[:, None] * torch.cat([1 - jumps, jumps], 1)


def correlation(p: Tensor) -> float:
    """Correlation of the two causes under p (4,), normalised or not: cov / √(var · var)."""
    p = (p / p.sum()).double()
    first, second, both = float(p[2] + p[3]), float(p[1] + p[3]), float(p[3])
    # p11 p00 − p10 p01 is the covariance, without the cancellation of p11 − p1 p2
    covariance = both * float(p[0]) - float(p[2]) * float(p[1])
    return covariance / np.sqrt(first * (1 - first) * second * (1 - second))


def run(context: Context) -> Outcome:
    house = joint("directed")
    results = [Measured("p(house jumps | one cause)", float(house[1, 1] / house[1].sum()), published=0.5)]
    tables = []
    for model in MODELS:
        p = joint(model)
        before, after = p.sum(1), p[:, 1] / p[:, 1].sum()
        tables.append([before.view(2, 2).numpy(), after.view(2, 2).numpy()])
        results += [
            Measured(f"{model}: correlation of the causes, house unseen", correlation(before)),
            Measured(f"{model}: correlation of the causes, house jumps", correlation(after)),
            Measured(f"{model}: p(earthquake | house jumps)", float(after[1] + after[3])),
            Measured(f"{model}: p(earthquake | house jumps, truck)", float(after[3] / (after[2] + after[3]))),
        ]
        context.say(
            f"{model}: correlation of the causes {correlation(before):.4f}, given a jump {correlation(after):.4f}"
        )
    return Outcome(results, _deviations(), [context.seed], [_tables(tables), _curves(context.quick)], _notes())


def _tables(tables: list) -> Images:
    return Images(
        "p(truck, earthquake): house unseen, and house jumps",
        np.array(tables),
        MODELS,
        note="rows of a table: no truck, truck; columns: no earthquake, earthquake; black 0, white 1",
    )


def _curves(quick: bool) -> Lines:
    """Correlation given a jump as all weights and biases grow from 0 to those of the paper."""
    scales = np.linspace(0.01, 1.0, 12 if quick else 100)
    series = {}
    for model in MODELS:
        values = [correlation(joint(model, scale)[:, 1]) for scale in scales]
        series[model] = (scales, values)
    return Lines(
        "Correlation of the causes once the house has jumped",
        "weights and biases, as a share of the paper's",
        "correlation",
        series,
        note="two of the three curves lie on 0",
    )


def _deviations() -> list[str]:
    return [
        "The paper draws the directed net and says in words what its posterior is; the machine of the same weights and "
        "the complementary prior for it are added here. There is nothing to learn and no random number."
    ]


def _notes() -> list[str]:
    return [
        "In the directed net a jump leaves each cause at 1/2, and one all but excludes the other: independent causes, "
        "which is what fast inference gives, would miss this.",
        "Given the house, the machine's causes are independent, and both all but certain: the same weights say another "
        "thing in a machine.",
    ]
