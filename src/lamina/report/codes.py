"""What the code of each layer is like: a table, with a small histogram of the activations in every row."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from lamina.report.elements import Column, paragraph, section, table, text
from lamina.report.quantities import MISSING, count, is_number, percent, significant
from lamina.report.records import Records

_WIDTH, _HEIGHT = 132, 36


def codes_section(records: Records) -> str:
    """Activity, sparsity, dead units and reconstruction error of every layer, or nothing where they were not kept."""
    codes = records.part("codes")
    if not codes:
        return ""
    words = (
        "Activations of every layer on the training rows. Near zero: at most 1 % of the layer’s largest. Hoyer’s "
        "sparsity is 0 where all units are equally active on a row, 1 where a single one is. A dead unit is near zero "
        "on every row looked at. The error is the mean square per value of rows that went up to the layer and down. "
        "Heights of the bars are square roots of shares."
    )
    return section("codes", "The codes", paragraph(words, "lead"), code_table(codes))


def code_table(codes: Sequence[Mapping[str, Any]]) -> str:
    """HTML table: one row per layer, from the bottom up."""
    held_out = any(is_number(code.get("error_test")) for code in codes)
    columns = [Column("layer"), Column("activations"), Column("mean activity", True), Column("near zero, %", True)]
    columns += [Column("sparsity", True), Column("dead units", True), Column("error, training", True)]
    columns += [Column("error, held out", True)] if held_out else []
    rows = []
    for code in codes:
        cells = [text(f"{code['layer']}: {count(code.get('units'))} units"), small_histogram(code)]
        cells += [text(significant(code.get("mean_activity"), 2)), text(percent(code.get("near_zero")))]
        cells += [text(sparsity_words(code.get("hoyer"))), text(dead_words(code.get("dead"), code.get("units")))]
        cells.append(text(significant(code.get("error_train"))))
        cells += [text(significant(code.get("error_test")))] if held_out else []
        rows.append(cells)
    return table(columns, rows, caption="Code of each layer", class_="codes")


def sparsity_words(value: Any) -> str:
    """``0.62``, or a dash for a layer of one unit."""
    return f"{value:.2f}" if is_number(value) else MISSING


def dead_words(dead: Any, units: Any) -> str:
    """``3 (1.5 %)``."""
    if not is_number(dead):
        return MISSING
    share = f" ({percent(dead / units)} %)" if is_number(units) and units and dead else ""
    return count(dead) + share


def small_histogram(code: Mapping[str, Any]) -> str:
    """Shares of the activations as bars (SVG by hand), the axis from the lowest to the highest value; zero is marked.

    Heights are square roots of the shares: in a sparse code one bar would hide all others.
    """
    found = code.get("histogram") or {}
    shares = [share for share in found.get("shares") or [] if is_number(share)]
    low, high = found.get("low"), found.get("high")
    if not shares or not is_number(low) or not is_number(high) or high <= low:
        return MISSING
    tallest = max(*shares, 1e-12) ** 0.5
    step = _WIDTH / len(shares)
    bars = "".join(
        f'<rect x="{k * step + 0.4:.1f}" y="{_HEIGHT - size:.1f}" width="{step - 0.8:.1f}" height="{size:.1f}"/>'
        for k, size in enumerate(_HEIGHT * max(share, 0) ** 0.5 / tallest for share in shares)
        if size > 0.05
    )
    zero = ""
    if low < 0 < high:
        at = -low / (high - low) * _WIDTH
        zero = f'<path d="M{at:.1f} 0V{_HEIGHT}"/>'
    ends = [significant(value, 2).replace("-", "−") for value in (low, high)]
    name = html.escape(f"histogram of activations from {ends[0]} to {ends[1]}")
    svg = f'<svg class="bars" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">{zero}{bars}</svg>'
    return f'{svg}<span class="ends"><span>{ends[0]}</span><span>{ends[1]}</span></span>'
