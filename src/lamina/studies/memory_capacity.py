"""How much a Hopfield network of Hebbian weights holds: measured on random patterns, with the theory beside it.

Two quantities of a network of N units that stores P random patterns, at the load α = P/N:

- the share of bits that are wrong after one step from a stored pattern. A bit flips where the sum of K = (P−1)(N−1)
  independent signs falls below −(N−1), so that its probability is a binomial tail at every N, and ½ erfc(√(N/2P)) as
  N grows (Hertz, Krogh and Palmer 1991, section 2.2);
- the overlap m with the stored pattern once the dynamics have come to rest. In the limit of many units, m = erf(y) with
  y (√(2α) + (2/√π) e^{−y²}) = erf(y), which has a solution y > 0 only up to α = 0.1379 (Amit, Gutfreund and Sompolinsky
  1985, replica-symmetric, at temperature 0).

(docs/mathematics.md, eq. 69.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize, special, stats
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference.recall import recall
from lamina.models.energy.hopfield import Hopfield
from lamina.training.hebbian import hebbian_field

ROWS_AT_ONCE = 1024
PASSES_BETWEEN_LOOKS = 10
RETRIEVED = 0.7  # overlap that parts the two groups: retrieved ones end above 0.9, lost ones near 0.3


def random_patterns(n_patterns: int, n: int, random: Random) -> Tensor:
    """Independent fair signs, (n_patterns, n) float32."""
    return random.bernoulli(torch.full((n_patterns, n), 0.5)).mul_(2).sub_(1)


# one step -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def one_step_error(patterns: Tensor) -> float:
    """Share of all bits of ``patterns`` (P, N) that flip when every unit is updated once from each stored pattern."""
    wrong = 0
    for rows in patterns.split(ROWS_AT_ONCE):
        wrong += int((rows * hebbian_field(patterns, rows) < 0).sum())
    return wrong / patterns.numel()


def one_step_error_probability(n: int, n_patterns: int) -> float:
    """P(Σ of (P−1)(N−1) fair signs < −(N−1)), exact for finite N; a field of 0 flips nothing."""
    signs = (n_patterns - 1) * (n - 1)
    return float(stats.binom.cdf(math.ceil((signs - (n - 1)) / 2) - 1, signs, 0.5))


def one_step_error_limit(load: float) -> float:
    """½ erfc(√(1/2α)), the same for N → ∞ at fixed ``load`` α."""
    return float(special.erfc(math.sqrt(1 / (2 * load))) / 2)


# recall -------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def overlaps_after_recall(
    n: int,
    loads: Sequence[float],
    n_probes: int,
    random: Random,
    *,
    passes: int = 200,
    give_up_below: float | None = None,
) -> np.ndarray:
    """Overlap with the stored pattern at rest, begun at the pattern itself: (len(loads), n_probes).

    One network to which patterns are added from load to load (rising); at each, ``n_probes`` of its patterns are let
    go asynchronously, in random order. With ``give_up_below``, a probe whose overlap has fallen below it is not
    followed to its end and keeps the overlap that it had then: it is lost. The weights are whole numbers (1/N is left
    out, which changes no sign), exact in float32.
    """
    check_number("n_probes", n_probes, low=1, high=round(min(loads) * n), integer=True)
    if list(loads) != sorted(loads):
        raise SettingError(f"the loads are {list(loads)}; expected rising ones: patterns are added, not taken away")
    network = Hopfield(n)
    patterns = torch.empty(0, n)
    rows = []
    for k, load in enumerate(loads):
        more = random_patterns(round(load * n) - len(patterns), n, random.child("patterns", k))
        network.W.addmm_(more.T, more).fill_diagonal_(0)
        patterns = torch.cat([patterns, more])
        chosen = torch.from_numpy(random.child("probes", k).permutation(len(patterns))[:n_probes])
        rows.append(_overlaps(network, patterns[chosen], random.child("order", k), passes, give_up_below))
    return np.stack(rows)


def _overlaps(
    network: Hopfield, patterns: Tensor, random: Random, passes: int, give_up_below: float | None
) -> np.ndarray:
    overlap = np.zeros(len(patterns))
    left, states, targets = np.arange(len(patterns)), patterns, patterns
    for look in range(-(-passes // PASSES_BETWEEN_LOOKS)):
        end = recall(network, states, passes=PASSES_BETWEEN_LOOKS, random_state=random.child(look), trace=False)
        m = (end.states * targets).mean(1)
        overlap[left] = m.numpy()
        going = (end.period == 0) & (m >= (-1.0 if give_up_below is None else give_up_below))
        left, states, targets = left[going.numpy()], end.states[going], targets[going]
        if not len(left):
            break
    return overlap


# theory of the overlap ----------------------------------------------------------------------------------------------


def load_at(y: float) -> float:
    """α at which m = erf(y) solves the mean-field equation: √(2α) = erf(y)/y − (2/√π) e^{−y²}."""
    root = special.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-(y**2))
    return root**2 / 2


def _largest_load() -> float:
    """The y at which `load_at` is largest."""
    found = optimize.minimize_scalar(
        lambda y: -load_at(y), bounds=(1.0, 3.0), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x)


def critical_load() -> tuple[float, float]:
    """The largest α with a retrieval solution, and the overlap there: 0.1379 and 0.967."""
    y = _largest_load()
    return float(load_at(y)), float(special.erf(y))


def mean_field_overlap(load: float) -> float:
    """m = erf(y) at ``load`` on the stable branch; 0 beyond the critical load."""
    y = _largest_load()
    if load > load_at(y):
        return 0.0
    return float(special.erf(optimize.brentq(lambda y: load_at(y) - load, y, 30.0)))


# from overlaps to a critical load -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HalfLoad:
    """Load at which half of the patterns are retrieved, and over how wide a range the share falls (one deviation)."""

    load: float
    width: float


def half_load(loads: Sequence[float], retrieved: np.ndarray, probes: np.ndarray | int) -> HalfLoad:
    """Maximum-likelihood fit of share(α) = Φ((α_half − α) / width) to counts ``retrieved`` (n_loads,) of ``probes``.

    Raises `DataError` where the share does not fall through ½ within the loads.
    """
    x, k = np.asarray(loads, float), np.asarray(retrieved, float)
    total = np.broadcast_to(np.asarray(probes, float), k.shape)
    share = k / total
    if share.max() < 0.5 or share.min() > 0.5:
        raise DataError(
            f"the retrieved share lies in [{share.min():.2f}, {share.max():.2f}]; expected loads on both sides"
        )

    def cost(theta: np.ndarray) -> float:
        z = (theta[0] - x) / math.exp(theta[1])
        return -float((k * special.log_ndtr(z) + (total - k) * special.log_ndtr(-z)).sum())

    start = np.array([np.interp(-0.5, -share, x), math.log((x[-1] - x[0]) / 6)])
    found = optimize.minimize(
        cost, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-7, "maxiter": 2000}
    )
    return HalfLoad(float(found.x[0]), float(math.exp(found.x[1])))


def bootstrap_half_load(loads: Sequence[float], overlaps: np.ndarray, random: Random, draws: int = 200) -> np.ndarray:
    """Half loads (draws,) of resampled ``overlaps`` (networks, loads, probes): networks, then probes within each."""
    generator = random.numpy()
    networks, _, probes = overlaps.shape
    kept = overlaps > RETRIEVED
    found = []
    for _ in range(draws):
        chosen = kept[generator.integers(networks, size=networks)]
        picks = generator.integers(probes, size=(networks, 1, probes))
        counts = np.take_along_axis(chosen, np.broadcast_to(picks, chosen.shape), 2).sum((0, 2))
        found.append(half_load(loads, counts, networks * probes).load)
    return np.array(found)


def extrapolate(
    sizes: Sequence[int], loads: np.ndarray, errors: np.ndarray, exponent: float
) -> tuple[float, float, float]:
    """Weighted least squares of α(N) = α_∞ + c N^{−exponent}: α_∞, c, and χ² per degree of freedom."""
    x = np.asarray(sizes, float) ** -exponent
    design = np.stack([np.ones_like(x), x], 1) / errors[:, None]
    solution, *_ = np.linalg.lstsq(design, loads / errors, rcond=None)
    residual = design @ solution - loads / errors
    return float(solution[0]), float(solution[1]), float((residual**2).sum() / max(1, len(x) - 2))
