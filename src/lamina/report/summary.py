"""The run in one sentence, which says so when Lamina is not the best."""

from collections.abc import Mapping
from typing import Any

from lamina.report.quantities import count, counted, is_number, percent, percent_decimals
from lamina.report.records import Records

#: Results that rest on Lamina's own layers; everything else in the table is a baseline.
OWN_PROTOCOLS = ("lamina", "frozen features")

Result = Mapping[str, Any]


def is_baseline(result: Result) -> bool:
    """False for Lamina's own protocols; a result may say so itself with ``baseline``: true or false."""
    return bool(result.get("baseline", str(result["name"]).lower() not in OWN_PROTOCOLS))


def summary_sentence(records: Records) -> str:
    """Plain sentences: Lamina's error and that of the best baseline, or what was learnt without labels."""
    measured = [result for result in records.part("results") if is_number(result.get("error_mean"))]
    if not measured:
        return _without_errors(records)
    own, others = measured[0], measured[1:]
    decimals = percent_decimals(result["error_mean"] for result in measured)
    error = percent(own["error_mean"], decimals)
    opening = f"{_labels(records)} {_display_name(own)}{_on_layers(records)} errs on {error} % of the test rows"
    baselines = [result for result in others if is_baseline(result)]
    sentences = [opening + (_against(own, min(baselines, key=_error), decimals) if baselines else "") + "."]
    if baselines:
        sentences.append(_draws_won(own, min(baselines, key=_error)))
    protocols = [result for result in others if not is_baseline(result)]
    if protocols:
        sentences.append(_own_rival(own, min(protocols, key=_error), decimals))
    return " ".join(sentence for sentence in sentences if sentence)


def _error(result: Result) -> float:
    return result["error_mean"]


def _display_name(result: Result) -> str:
    return "Lamina" if str(result["name"]).lower() == "lamina" else str(result["name"])


def _on_layers(records: Records) -> str:
    """The kind of layer, where it is not the usual one."""
    layer = records.part("layer")
    if not layer.get("title") or layer.get("kind") == "rbm":
        return ""
    return f" (layers: {layer['title']})"


def _labels(records: Records) -> str:
    n_labels, n_train = records.data.get("n_labels"), records.data.get("n_train")
    if not is_number(n_labels):
        return "On these data"
    if n_labels == n_train and n_labels > 1:
        return f"With all {counted(n_labels, 'label')}"
    return f"With {counted(n_labels, 'label')}"


def _against(own: Result, best: Result, decimals: int) -> str:
    ours, theirs = percent(own["error_mean"], decimals), percent(best["error_mean"], decimals)
    if ours == theirs:
        return f", as does the best baseline, {best['name']}"
    if own["error_mean"] < best["error_mean"]:
        return f"; the best baseline, {best['name']}, on {theirs} %"
    return f", worse than the best baseline, {best['name']}, which errs on {theirs} %"


def _draws_won(own: Result, best: Result) -> str:
    """In how many draws Lamina errs less, where both were measured on the same draws."""
    ours, theirs = own.get("errors") or [], best.get("errors") or []
    if len(ours) < 2 or len(ours) != len(theirs) or not all(map(is_number, [*ours, *theirs])):
        return ""
    won = sum(a < b for a, b in zip(ours, theirs, strict=True))
    if won == len(ours):
        return f"Lamina errs less in each of the {len(ours)} draws."
    if won == 0:
        return f"Lamina errs less in none of the {len(ours)} draws."
    return f"Lamina errs less in {won} of the {len(ours)} draws."


def _own_rival(own: Result, rival: Result, decimals: int) -> str:
    if rival["error_mean"] >= own["error_mean"]:
        return ""
    error = percent(rival["error_mean"], decimals)
    return f"Another use of the same layers, {rival['name']}, does better: {error} %."


def _without_errors(records: Records) -> str:
    name, n_train = records.data.get("name", "the data"), records.data.get("n_train")
    rows = f"{count(n_train)} rows of {name}" if is_number(n_train) else str(name)
    n_labels = records.data.get("n_labels")
    if not is_number(n_labels):
        return f"Lamina learnt layers of features from {rows}."
    if n_labels:
        return f"Lamina learnt from {rows}; no errors on test rows were recorded."
    return f"Lamina learnt layers of features from {rows} without any label, so there are no errors to report."
