"""Numbers as a reader wants them: percent, seconds, counts. Plain text in, plain text out, no HTML."""

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

MISSING = "–"


def is_number(value: Any) -> TypeGuard[float]:
    """True for a finite int or float (not bool): records may hold null or NaN for what was not measured."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def percent_decimals(fractions: Iterable[Any]) -> int:
    """Decimals for a column of errors in percent: two where the smallest is below 2 %, else one."""
    known = [value for value in fractions if is_number(value)]
    return 2 if known and min(known) < 0.02 else 1


def percent(fraction: Any, decimals: int = 1) -> str:
    """0.0812 → ``8.1``; the sign % is left to the caller (in a table it stands in the header)."""
    return f"{100 * fraction:.{decimals}f}" if is_number(fraction) else MISSING


def count(value: Any) -> str:
    """60000 → ``60,000``."""
    return f"{round(value):,}" if is_number(value) else MISSING


def counted(value: Any, noun: str) -> str:
    """1, "label" → ``1 label``; 100 → ``100 labels``."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def seconds(value: Any) -> str:
    """Seconds for a table column: ``0.42``, ``12.3``, ``1,234``."""
    if not is_number(value):
        return MISSING
    if value < 1:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def duration(value: Any) -> str:
    """Seconds in words for a single figure: ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if not is_number(value):
        return MISSING
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def significant(value: Any, digits: int = 3) -> str:
    """A quantity of unknown size, to ``digits`` significant digits: ``0.0123``, ``1.23e-06``."""
    return f"{value:.{digits}g}" if is_number(value) else MISSING


def shortened(name: Any, length: int) -> str:
    """``name`` in at most ``length`` characters, the last an ellipsis where something was cut."""
    name = str(name)
    return name if len(name) <= length else name[: length - 1] + "…"


def measure(value: Any, spread: Any = None) -> str:
    """A number for a table of measures: ``−86.34``, ``1.268``, ``12,345``, ``0.0012``, ``1.2e−07``.

    Two decimals from 10 on, three from 1 on, else four significant digits; where ``spread`` (its standard deviation)
    is given, as many decimals as show two digits of that.
    """
    if not is_number(value):
        return MISSING
    size = abs(value)
    if is_number(spread) and spread >= 1e-6:
        decimals = min(max(1 - math.floor(math.log10(spread)), 0), 7)
        return f"{value:,.{decimals}f}".replace("-", "−")
    if size and not 1e-4 <= size < 1e7:
        return f"{value:.3g}".replace("-", "−")
    decimals = 2 if size >= 10 else 3 if size >= 1 else 3 - math.floor(math.log10(size)) if size else 0
    words = f"{value:,.{1 if size >= 1000 else decimals}f}"
    if "." in words:
        words = words.rstrip("0").rstrip(".")
    return words.replace("-", "−")
