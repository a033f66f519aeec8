"""Symptoms: what can be read off a case as a few numbers without a scale, whatever the data and the network.

A symptom that cannot be read (no labels, no health, no facts) is missing, and the doctor does not ask for it.

=================== ================================================================================================
symptom             what
=================== ================================================================================================
epochs              epochs that ended
broken              1 where numbers left the finite range
chance loss, error  of answering by the frequencies of the classes; by the most frequent class
first loss          before the first step, else over the first epoch
loss, loss left     training loss at the end; as a share of chance (else of the first loss)
error, error left   training error at the end, or validation error if lower (dropout, noise); as a share of chance
train, validation   errors at the end (at the best epoch where that one was put back)
reference           the error of the nearest neighbour or of the linear classifier on the same rows, the lower one
gap                 (validation − training error) / chance
rise                last validation loss / lowest
peak                highest loss of an epoch / the larger of first loss and chance
rough               sum of the steps upward of the training loss over the last `RECENT` epochs / its range over all, the
                    latter at least a tenth of chance (0 where the loss only falls)
halving             epochs that halve the training loss, by its slope over the last third (large: flat)
fallen              (first loss − last)/first
saturated, dead     share of units at the end, of the worst hidden layer; ``... at start`` before the first step
decay               relative gradient of the first layer / the largest of all layers, median over the epochs
agreement           cosine between gradients of two halves of the rows, median over layers, at the end
gradient kept       gradient norm at the end / at the start, whole network
pull                cosine between −gradient and weights at the end, mean over layers
gain, gain kept     smallest weight gain at the end; gain at the end / at the start, smallest over layers
moved               largest of |gain at the end / at the start − 1|
noise of dropout    training loss / loss of the same network without dropout, at the end
input rms, spread   as in `lamina.training.health`
narrowest           units of the narrowest hidden layer
contradictions      as in `lamina.studies.facts`
imbalance           rows of the largest class / rows of the smallest
missed              largest (1 − recall) among classes with less than half the rows of an even share
=================== ================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from lamina.studies.case import Case, is_finite, numbers

Symptoms = dict[str, float]
RECENT = 20  # epochs in which a loss that goes up and down is looked for: small noise adds up over many
NEVER = 1e6  # epochs to halve a loss that does not fall


def read_symptoms(case: Case) -> Symptoms:
    """All symptoms of ``case`` that can be read."""
    found: dict[str, float | None] = {"epochs": float(case.epochs), "broken": float(case.broken())}
    found |= _chance(case)
    found |= _of_losses(case, found)
    found |= _of_errors(case, found)
    found |= _of_health(case, found)
    found |= _of_facts(case)
    return {name: value for name, value in found.items() if value is not None and not math.isnan(value)}


def hidden_sizes(case: Case) -> list[int]:
    """Widths of the hidden layers, as far as the settings say."""
    model = case.settings.get("model")
    if not isinstance(model, dict):
        return []
    hidden = model["sizes"][1:-1] if isinstance(model.get("sizes"), list) else model.get("hidden")
    return [int(n) for n in hidden if is_finite(n)] if isinstance(hidden, list) else []


def end_of(values: Sequence[float]) -> float | None:
    """The mean of the last two values: an epoch alone is noisy."""
    return sum(values[-2:]) / len(values[-2:]) if values else None


def _chance(case: Case) -> dict[str, float | None]:
    counts = [c for c in numbers(case.facts.get("class_counts")) if c > 0]
    if len(counts) > 1:
        shares = [c / sum(counts) for c in counts]
        loss = -sum(p * math.log(p) for p in shares) if _is_classifier(case) else None
        return {"chance loss": loss, "chance error": 1 - max(shares)}
    model = case.settings.get("model")
    sizes = model.get("sizes") if isinstance(model, dict) else None
    n = (
        model.get("n_out", sizes[-1] if isinstance(sizes, list) and sizes else None)
        if isinstance(model, dict)
        else None
    )
    if _is_classifier(case) and isinstance(n, int) and n > 1:
        return {"chance loss": math.log(n), "chance error": 1 - 1 / n}
    return {}


def _is_classifier(case: Case) -> bool:
    return "training error" in case.series or "validation error" in case.series


#: Measures that learning lowers step by step. Those of maps and of Hebbian units are none: a map's quantisation error
#: follows the radius of the neighbourhood, and says nothing of a rate.
LOSSES = (
    "training loss",
    "objective",
    "reconstruction error",
    "training objective",
    "training reconstruction error",
    "training squared error",
    "squared error",
    "prediction error",
)


def training_losses(case: Case) -> list[float]:
    """Training loss per epoch, or the measure of the stage that stands for it; none where it records no such thing."""
    return next((case.values(name) for name in LOSSES if case.values(name)), [])


def _of_losses(case: Case, known: dict) -> dict[str, float | None]:
    losses = training_losses(case)
    if not losses:
        return {}
    start = case.at_start("loss")
    first = start[0] if start and math.isfinite(start[0]) else losses[0]
    if not start and len(losses) < 2:
        return {"loss": losses[0]}
    end = end_of(losses)
    chance = known.get("chance loss")
    assert end is not None  # there are losses
    base = chance or first
    spread = max(losses) - min(losses)
    upward = sum(max(0.0, b - a) for a, b in pairwise(losses[-RECENT:]))
    return {
        "first loss": first,
        "loss": end,
        "loss left": end / base if base > 0 else None,
        "peak": max(losses) / max(first, base) if max(first, base) > 0 else None,
        "rough": upward / max(spread, 0.1 * base) if base > 0 and len(losses) > 3 else 0.0,
        "halving": _halving([first, *losses] if len(losses) < 3 else losses),
        "fallen": (first - end) / first if first > 0 else None,
        "rise": _rise(case),
    }


def _halving(losses: Sequence[float]) -> float | None:
    """Epochs that halve the loss at the slope of the last third: ln 2 / mean of −Δ ln L."""
    if len(losses) < 2 or min(losses) <= 0:
        return None
    back = max(1, len(losses) // 3)
    per_epoch = (math.log(losses[-1 - back]) - math.log(losses[-1])) / back
    return min(NEVER, math.log(2) / per_epoch) if per_epoch > 0 else NEVER


def _rise(case: Case) -> float | None:
    losses = case.values("validation loss")
    lowest = min(losses, default=0.0)
    return losses[_last(case, losses)] / lowest if lowest > 0 else None


def _last(case: Case, values: Sequence[float]) -> int:
    """Position of the epoch whose weights were kept."""
    return case.best_epoch - 1 if case.best_epoch and case.best_epoch <= len(values) else len(values) - 1


def _of_errors(case: Case, known: dict) -> dict[str, float | None]:
    train, held = case.values("training error"), case.values("validation error")
    outside = case.facts.get("held-out error")
    validation: float | None = float(outside) if outside is not None and is_finite(outside) else None
    validation = held[_last(case, held)] if held else validation
    trained = end_of(train)
    chance = known.get("chance error")
    levels = [v for v in (trained, validation) if v is not None]
    told = [case.facts.get(name) for name in ("nearest error", "linear error")]
    references = [float(v) for v in told if v is not None and is_finite(v)]
    error = min(levels) if levels else None
    return {
        "train": trained,
        "validation": validation,
        "error": error,
        "error left": error / chance if error is not None and chance else None,
        "reference": min(references) if references else None,
        "gap": (levels[1] - levels[0]) / (chance or 1.0) if len(levels) == 2 else None,
    }


def worst(values: Sequence[float]) -> float | None:
    known = [v for v in values if not math.isnan(v)]
    return max(known) if known else None


def _of_health(case: Case, known: dict) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in ("saturated", "dead"):
        found[f"{name} at start"], found[name] = worst(case.at_start(name)), worst(case.at_end(name))
    decays = [d for d in map(_decay, (case.start, *case.health)) if d is not None]
    found["decay"] = median(decays) if decays else None
    found["agreement"] = _median(case.at_end("gradient agreement"))
    found["pull"] = _mean(case.at_end("pull"))
    begun, ended = _norm(case.at_start("gradient norm")), _norm(case.at_end("gradient norm"))
    found["gradient kept"] = ended / begun if begun and ended is not None else None
    gains = list(zip(case.at_start("weight gain"), case.at_end("weight gain"), strict=False))
    kept = [b / a for a, b in gains if a > 0 and math.isfinite(b)]
    found["gain"] = min((b for _, b in gains), default=None)
    found["gain kept"] = min(kept, default=None)
    found["moved"] = max((abs(k - 1) for k in kept), default=None)
    clean = case.at_end("loss")
    if clean and clean[0] > 0 and known.get("loss"):
        found["noise of dropout"] = known["loss"] / clean[0]
    for name in ("input rms", "input spread"):
        values = case.at_start(name) or case.at_end(name)
        found[name] = values[0] if values else None
    found["narrowest"] = min(map(float, hidden_sizes(case)), default=None)
    return found


def _decay(health: object) -> float | None:
    """Relative gradient of the first layer over the largest; of at least three layers."""
    values = numbers(health.get("relative gradient")) if isinstance(health, dict) else []
    largest = worst(values)
    if len(values) < 3 or not largest or math.isnan(values[0]):
        return None
    return values[0] / largest


def _norm(values: Sequence[float]) -> float | None:
    return math.sqrt(sum(v * v for v in values)) if values else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _of_facts(case: Case) -> dict[str, float | None]:
    facts = case.facts
    counts = [c for c in numbers(facts.get("class_counts")) if c > 0]
    found: dict[str, float | None] = {}
    if is_finite(facts.get("contradictions")):
        found["contradictions"] = facts["contradictions"]
    if len(counts) > 1:
        found["rows per class"] = sum(counts) / len(counts)
        found["imbalance"] = max(counts) / min(counts)
        found["missed"] = _missed(counts, numbers(facts.get("recall")))
    return found


def _missed(counts: Sequence[float], recall: Sequence[float]) -> float | None:
    if len(recall) != len(counts):
        return None
    even = sum(counts) / len(counts)
    lost = [1 - r for c, r in zip(counts, recall, strict=True) if c < even / 2 and not math.isnan(r)]
    return _mean(lost)
