"""The classic decision tree: bad on training data? Why? Good there and bad on validation data? What then?

Every question looks at a few symptoms (`lamina.studies.symptoms`) and answers with the evidence and how far it lies
beyond its threshold, or with None. Questions are asked in the order of the tree, and each knows what was found before
it: gradients that vanish because all units are saturated are an effect, and are ranked below their cause (`EXPLAINS`).

Thresholds are one table, set by looking at runs on one data set (MNIST) and judged on two others: see the recipe
``doctor``. Known limits: the causes of two sicknesses at once may be told in the wrong order; without health and facts
only curves speak, and most causes of bad training look alike in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lamina.studies.case import Case
from lamina.studies.symptoms import Symptoms, hidden_sizes

#: name → value, and what lies beyond it.
THRESHOLDS: dict[str, float] = {
    "bad": 0.10,  # above: share of chance that is left of the training error
    "bad loss": 0.25,  # above: share of chance that is left of the training loss, where no error is known
    "behind": 1.25,  # above: validation error / error of the nearest neighbour or the linear classifier ...
    "behind by": 0.03,  # ... and this much more
    "growing": 10.0,  # above: last loss / loss of the first epoch or chance, of a run that diverges
    "input rms": 8.0,  # above: inputs are larger than units bear
    "small input rms": 0.02,  # below: inputs are too small to move a unit
    "input spread": 30.0,  # above: one column drowns the others
    "imbalance": 8.0,  # above: rows of the largest class / of the smallest
    "missed": 0.40,  # above: share of the rare classes' validation rows that are wrong
    "contradictions": 0.10,  # above: share of rows that contradict neighbours who agree
    "rows per class": 20.0,  # at least, for contradictions to mean anything
    "saturated at start": 0.40,  # above: share of saturated units before the first step
    "saturated": 0.80,  # above: the same at the end
    "dead at start": 0.40,  # above: share of dead units before the first step
    "dead": 0.50,  # above: the same at the end
    "peak": 2.5,  # above: highest loss / the larger of first loss and chance
    "rough": 0.5,  # above: steps upward / range of the loss
    "decay": 0.02,  # below: relative gradient of the first layer / the largest
    "dropout": 0.70,  # above: probability to drop a unit
    "gain kept": 0.50,  # below: weights at the end / at the start
    "pull": 0.40,  # above: the gradient asks for larger weights and nothing else
    "still learning": 0.10,  # above: agreement of the gradients of two halves of the rows, at the end
    "gradient kept": 0.20,  # above: gradient at the end / at the start, of a run that has not ended
    "unmoved": 0.10,  # below: change of the weights' size, of a rate that is too small
    "risen": 0.05,  # at most: share by which a loss that hardly moves may seem to rise (it begins on fewer rows)
    "slow": 8.0,  # above: epochs to halve the loss, beyond those that were done
    "flat": 1.0,  # above: epochs to halve the loss / epochs done
    "gap": 0.16,  # above: (validation − training error)/chance
    "rise": 2.0,  # above: last validation loss / lowest
    "rising gap": 0.12,  # above: the gap, where the validation loss rises too
    "energy gap": 1.5,  # above: gap of free energies at the end / at the middle of unsupervised training
}

#: cause → effects that it explains.
EXPLAINS: dict[str, tuple[str, ...]] = {
    "unscaled inputs": (
        "diverging", "rate too large", "saturated units", "dead units", "vanishing gradients", "rate too small",
        "stopped too early", "too small a network", "over-regularised", "overfitting", "label noise",
    ),
    "diverging": ("rate too large", "saturated units", "dead units", "vanishing gradients", "too small a network"),
    "class imbalance": ("stopped too early", "too small a network", "overfitting", "rate too small", "dead units"),
    "label noise": ("overfitting", "too small a network", "stopped too early", "class imbalance", "linear units"),
    "linear units": ("too small a network", "overfitting", "stopped too early"),
    "saturated units": (
        "vanishing gradients", "dead units", "too small a network", "stopped too early", "rate too small",
        "overfitting",
    ),
    "dead units": ("vanishing gradients", "rate too small", "stopped too early", "too small a network", "overfitting"),
    "rate too large": ("saturated units", "dead units", "vanishing gradients", "too small a network", "overfitting"),
    "over-regularised": (
        "dead units", "vanishing gradients", "too small a network", "stopped too early", "rate too small",
    ),
    "vanishing gradients": ("dead units", "rate too small", "stopped too early", "too small a network"),
    "rate too small": ("stopped too early", "too small a network"),
    "stopped too early": ("too small a network",),
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """``strength`` is evidence / threshold, at least 1; ``evidence`` are sentences with the numbers."""

    strength: float
    evidence: tuple[str, ...]


Answer = Seen | None
Question = Callable[[Symptoms, Case], Answer]


def ask(symptoms: Symptoms, case: Case) -> dict[str, Seen]:
    """Answers by name of sickness, in the order of the tree."""
    found: dict[str, Seen] = {}
    for name, question in SUPERVISED.items() if case.supervised else UNSUPERVISED.items():
        seen = question(symptoms, case)
        if seen is not None:
            found[name] = seen
    if not found and case.supervised and is_bad(symptoms):
        found["cause not seen"] = Seen(1.0, (_bad_words(symptoms),))
    return found


def causes_of(name: str, found: dict[str, Seen]) -> list[str]:
    """Which of the sicknesses ``found`` explain ``name``, the strongest cause first; of two that explain each other the
    one that was asked for first."""
    order = list(found)
    causes = [c for c in order if name in EXPLAINS.get(c, ())]
    return [c for c in causes if c not in EXPLAINS.get(name, ()) or order.index(c) < order.index(name)]


# what is bad ---------------------------------------------------------------------------------------------------------


def is_bad(s: Symptoms) -> bool:
    """Bad on training data."""
    if "error left" in s:
        return s["error left"] > THRESHOLDS["bad"]
    return s.get("loss left", 0.0) > THRESHOLDS["bad loss"]


def is_behind(s: Symptoms) -> bool:
    """Worse on validation data than the simplest classifiers on the same rows."""
    if "validation" not in s or "reference" not in s:
        return False
    far = max(THRESHOLDS["behind"] * s["reference"], s["reference"] + THRESHOLDS["behind by"])
    return s["validation"] > far


def _bad_words(s: Symptoms) -> str:
    if "error" in s:
        words = f"an error of {_percent(s['error'])} is left on the training rows"
        return words + (f" (chance: {_percent(s['chance error'])})" if "chance error" in s else "")
    return f"a loss of {s['loss']:.3g} is left on the training rows, {_percent(s['loss left'])} of what it began with"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.2g} %"


def _above(s: Symptoms, name: str, threshold: str | None = None) -> float | None:
    """Symptom / threshold where it is above, else None."""
    limit = THRESHOLDS[threshold or name]
    return s[name] / limit if name in s and s[name] > limit else None


def _below(s: Symptoms, name: str, threshold: str | None = None) -> float | None:
    limit = THRESHOLDS[threshold or name]
    return limit / max(s[name], 1e-12) if name in s and s[name] < limit else None


# questions -----------------------------------------------------------------------------------------------------------


def diverging(s: Symptoms, case: Case) -> Answer:
    if s["broken"]:
        words = case.stopped.removeprefix("diverged: ") or "a loss is no finite number"
        return Seen(100.0, (words,))
    losses = case.values("training loss")
    base = max(s.get("first loss", 0.0), s.get("chance loss", 0.0), losses[0] if losses else 0.0)
    if len(losses) > 1 and base > 0 and losses[-1] > THRESHOLDS["growing"] * base and losses[-1] > 0.9 * max(losses):
        return Seen(losses[-1] / base, (f"the training loss grew from {base:.3g} to {losses[-1]:.3g}",))
    return None


def unscaled_inputs(s: Symptoms, case: Case) -> Answer:
    if not (s["broken"] or is_bad(s) or is_behind(s)):
        return None
    ratio = _above(s, "input rms")
    if ratio:
        return Seen(
            2 * ratio, (f"inputs have size {s['input rms']:.3g} (root of the mean square); units bear about 1",)
        )
    ratio = _below(s, "input rms", "small input rms")
    if ratio:
        return Seen(
            2 * ratio, (f"inputs have size {s['input rms']:.2g} (root of the mean square); units need about 1",)
        )
    ratio = _above(s, "input spread")
    if ratio:
        return Seen(2 * ratio, (f"one column varies {s['input spread']:.0f} times as much as the median column",))
    return None


def class_imbalance(s: Symptoms, case: Case) -> Answer:
    ratio = _above(s, "imbalance")
    missed = _above(s, "missed")
    if not ratio or not missed:
        return None
    counts = [c for c in case.facts["class_counts"] if c > 0]
    return Seen(
        missed * math.sqrt(ratio) * 2,
        (
            f"the largest class has {max(counts):,} of {sum(counts):,} rows, the smallest {min(counts):,}",
            f"{_percent(s['missed'])} of the rare classes' validation rows are wrong",
        ),
    )


def label_noise(s: Symptoms, case: Case) -> Answer:
    ratio = _above(s, "contradictions")
    if not ratio or s.get("rows per class", 0.0) < THRESHOLDS["rows per class"]:
        return None
    return Seen(
        3 * ratio,
        (f"{_percent(s['contradictions'])} of the rows whose neighbours agree on a label carry another one",),
    )


def linear_units(s: Symptoms, case: Case) -> Answer:
    model = case.settings.get("model")
    hidden = hidden_sizes(case)
    if not isinstance(model, dict) or model.get("activation") != "identity" or not hidden or s["broken"]:
        return None
    words = [f"{len(hidden)} hidden layer{'s' if len(hidden) > 1 else ''} of linear units: together no more than none"]
    if "validation" in s and "reference" in s:
        words.append(f"validation error {_percent(s['validation'])}, nearest neighbours {_percent(s['reference'])}")
    return Seen(5.0, tuple(words))


def saturated_units(s: Symptoms, case: Case) -> Answer:
    if not (is_bad(s) or is_behind(s)):
        return None
    for name, when in (("saturated at start", "before the first step"), ("saturated", "at the end")):
        ratio = _above(s, name)
        if ratio:
            layer, n = _worst_layer(case, "saturated", start=name != "saturated")
            share = _percent(s[name])
            words = f"{share} of the units of hidden layer {layer} of {n} are at their limits {when}"
            return Seen(2 * ratio if name != "saturated" else ratio, (words, *_gain_words(case, layer)))
    return None


def _worst_layer(case: Case, measure: str, *, start: bool) -> tuple[int, int]:
    values = case.at_start(measure) if start else case.at_end(measure)
    known = [-1.0 if math.isnan(v) else v for v in values]
    return 1 + known.index(max(known)), len(known)


def _gain_words(case: Case, layer: int) -> tuple[str, ...]:
    gains = case.at_end("weight gain")
    return (f"its weights are {gains[layer - 1]:.2g} times the size that fits",) if len(gains) >= layer else ()


def dead_units(s: Symptoms, case: Case) -> Answer:
    if not (is_bad(s) or is_behind(s)):
        return None
    for name, when in (("dead at start", "before the first step"), ("dead", "at the end")):
        ratio = _above(s, name)
        if ratio:
            layer, n = _worst_layer(case, "dead", start=name != "dead")
            words = [f"{_percent(s[name])} of the units of hidden layer {layer} of {n} answer no row {when}"]
            if name == "dead" and "dead at start" in s:
                words.append(f"before the first step it was {_percent(s['dead at start'])}: they died in training")
            return Seen(2 * ratio if name != "dead" else ratio, tuple(words))
    return None


def rate_too_large(s: Symptoms, case: Case) -> Answer:
    sick_from_start = _above(s, "saturated at start") or _above(s, "dead at start")
    if s["broken"] or sick_from_start or _dropout(case) > THRESHOLDS["dropout"]:
        return None  # these make a loss jump by themselves
    peak, rough = _above(s, "peak"), _above(s, "rough")
    if peak and is_bad(s):
        losses = case.values("training loss")
        worst = losses.index(max(losses)) + 1
        base = max(s["first loss"], s.get("chance loss", 0.0))
        return Seen(3 * peak, (f"the training loss jumped to {max(losses):.3g} in epoch {worst}, from {base:.3g}",))
    if rough and is_bad(s):
        return Seen(rough, (f"the training loss goes up and down: {s['rough']:.1f} times its range upward",))
    return None


def over_regularised(s: Symptoms, case: Case) -> Answer:
    if not is_bad(s):
        return None
    dropped = _dropout(case)
    if dropped > THRESHOLDS["dropout"]:
        return Seen(10.0, (f"dropout of {dropped:g}: {_percent(1 - dropped)} of the units are left at each step",))
    kept = _below(s, "gain kept")
    if kept and s.get("pull", 0.0) > THRESHOLDS["pull"]:
        decay = case.settings.get("weight_decay")
        words = [f"the weights shrank to {s['gain kept']:.2g} of their size at the start"]
        words += [f"weight decay is {decay:g}"] if decay else []
        return Seen(3 * kept, tuple(words))
    return None


def _dropout(case: Case) -> float:
    model = case.settings.get("model")
    found = [model.get(name) for name in ("dropout", "input_dropout")] if isinstance(model, dict) else []
    return max((float(v) for v in found if isinstance(v, (int, float))), default=0.0)


def vanishing_gradients(s: Symptoms, case: Case) -> Answer:
    ratio = _below(s, "decay")
    if not ratio or not is_bad(s):
        return None
    n = len(case.at_start("relative gradient") or case.at_end("relative gradient"))
    return Seen(ratio, (f"layer 1 of {n} gets {s['decay']:.1g} of the gradient, relative to its weights",))


def _where_it_began(s: Symptoms) -> bool:
    """Whether the weights and the gradient are still what they were: all halves of the rows ask for the same step."""
    same_way = s.get("agreement", 1.0) > THRESHOLDS["still learning"]
    return (
        same_way
        and s.get("gradient kept", 1.0) > THRESHOLDS["gradient kept"]
        and s.get("moved", 0.0) < THRESHOLDS["unmoved"]
    )


def rate_too_small(s: Symptoms, case: Case) -> Answer:
    if not is_bad(s) or s["broken"] or "halving" not in s or not _where_it_began(s):
        return None
    beyond = s["halving"] / (THRESHOLDS["slow"] + s["epochs"])
    if beyond <= 1 or s.get("fallen", 0.0) < (-THRESHOLDS["risen"] if "moved" in s else 1e-9):
        return None
    words = [f"the training loss fell by {_percent(max(0.0, s['fallen']))} in {s['epochs']:.0f} epochs"]
    if "gradient kept" in s:
        words.append(f"the gradient is still {_percent(s['gradient kept'])} of what it was at the start")
    if "moved" in s:
        words.append(f"the size of the weights has changed by {_percent(s['moved'])}")
    return Seen(2 * beyond, tuple(words))


def stopped_too_early(s: Symptoms, case: Case) -> Answer:
    if not is_bad(s) or s["broken"] or "halving" not in s:
        return None
    limit = THRESHOLDS["slow"] + s["epochs"]
    if s["halving"] >= limit or case.best_epoch is not None:
        return None
    words = f"after {s['epochs']:.0f} epochs the training loss still halves within {max(1.0, s['halving']):.0f} more"
    return Seen(limit / s["halving"], (words, _bad_words(s)))


def too_small(s: Symptoms, case: Case) -> Answer:
    """What is left where training has come to its end with nothing else to see."""
    if not is_bad(s) or s["broken"] or s.get("moved", 1.0) < THRESHOLDS["unmoved"] or "halving" not in s:
        return None
    if "moved" not in s and s.get("loss left", 1.0) > 0.9:
        return None  # stuck at chance, and nobody looked inside: it could be anything
    flat = s["halving"] / (THRESHOLDS["flat"] * max(1.0, s["epochs"]))
    if flat <= 1:
        return None
    words = [f"the training loss has settled at {s['loss']:.3g}", _bad_words(s)]
    if "narrowest" in s:
        words.append(f"the narrowest hidden layer has {s['narrowest']:.0f} units")
    return Seen(min(flat, 10.0), tuple(words))


def overfitting(s: Symptoms, case: Case) -> Answer:
    if is_bad(s) and s.get("train", 1.0) / s.get("chance error", 1.0) > THRESHOLDS["bad"]:
        return None
    ratio = _above(s, "gap")
    if not ratio and s.get("rise", 1.0) > THRESHOLDS["rise"]:
        ratio = _above(s, "gap", "rising gap")
    if not ratio:
        return None
    words = [f"{_percent(s['train'])} of the training rows are wrong and {_percent(s['validation'])} of the others"]
    if s.get("rise", 1.0) > 1.05:
        losses = case.values("validation loss")
        lowest = losses.index(min(losses)) + 1
        words.append(f"the validation loss was lowest in epoch {lowest} and has risen by {_percent(s['rise'] - 1)}")
    return Seen(3 * ratio, tuple(words))


# layers learnt without labels ----------------------------------------------------------------------------------------


def unstable(s: Symptoms, case: Case) -> Answer:
    rough, peak = _above(s, "rough"), _above(s, "peak")
    if s["broken"] or not (rough or peak) or s.get("fallen", 1.0) > 0.5:
        return None
    return Seen(rough or peak or 1.0, ("the training curve goes up and down, or ends above where it began",))


def unfinished(s: Symptoms, case: Case) -> Answer:
    if s["epochs"] < 2 or s["broken"] or s.get("halving", math.inf) >= s["epochs"]:
        return None
    words = f"after {s['epochs']:.0f} epochs the training curve still halves within {max(1.0, s['halving']):.0f} more"
    return Seen(s["epochs"] / s["halving"], (words,))


def energies_part(s: Symptoms, case: Case) -> Answer:
    gaps = case.values("free-energy gap")
    middle = gaps[len(gaps) // 2] if len(gaps) > 4 else 0.0
    held, own = case.values("validation reconstruction error"), case.values("reconstruction error")
    worse = bool(held) and held[-1] > 1.1 * min(held)
    if middle > 0 and gaps[-1] > THRESHOLDS["energy gap"] * middle and gaps[-1] > gaps[-2]:
        words = f"free energies of validation and training rows part: {middle:.3g} nats half-way, {gaps[-1]:.3g} now"
        return Seen(gaps[-1] / middle, (words,))
    if worse and own and own[-1] < own[0]:
        return Seen(held[-1] / min(held), (f"validation rows are rebuilt worse ({held[-1]:.3g}) than before",))
    return None


SUPERVISED: dict[str, Question] = {
    "diverging": diverging,
    "unscaled inputs": unscaled_inputs,
    "class imbalance": class_imbalance,
    "label noise": label_noise,
    "linear units": linear_units,
    "saturated units": saturated_units,
    "dead units": dead_units,
    "rate too large": rate_too_large,
    "over-regularised": over_regularised,
    "vanishing gradients": vanishing_gradients,
    "rate too small": rate_too_small,
    "stopped too early": stopped_too_early,
    "too small a network": too_small,
    "overfitting": overfitting,
}
UNSUPERVISED: dict[str, Question] = {
    "diverging": diverging,
    "rate too large": unstable,
    "stopped too early": unfinished,
    "overfitting": energies_part,
}
