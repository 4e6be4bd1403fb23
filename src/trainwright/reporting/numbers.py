"""How figures are written: as many digits as a reader can use, the same in every language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NONE = "–"


def number(value: float | None, *, like: float | None = None) -> str:
    """Return a figure with about four telling digits: 0.983, 12.41, 48,213, 0.00033; an en dash for none.

    Args:
        value: the figure.
        like: a figure beside it, whose decimal places it takes over, so that the two compare at a glance.
    """
    if value is None or not math.isfinite(value):
        return NONE
    beside = value if like is None or not math.isfinite(like) or like == 0 else like
    size = abs(beside)
    if size < 1e-12:  # nothing but rounding
        return "0"
    if size < 1e-6:
        return f"{value:.1e}"
    text = f"{value:,.{_decimals(size)}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text


def _decimals(size: float) -> int:
    if size >= 1000:
        return 0
    if size >= 1:
        return 3 - math.floor(math.log10(size))
    return 3 if size >= 0.0005 else 1 + math.ceil(-math.log10(size))


def signed(value: float | None, *, like: float | None = None) -> str:
    """Return a difference with its sign, a true minus among them."""
    text = number(value, like=like)
    if value is None or text == NONE:
        return text
    return f"−{text[1:]}" if text.startswith("-") else f"+{text}"


def plain(value: Any) -> str:
    """Return a value of the data as one writes it: floats without noise, labels with commas between."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(plain(each) for each in value)
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"
    return str(value)


def count(value: float | None) -> str:
    """Return a whole number with thousands set apart."""
    return NONE if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """Return a share of 1 as a percentage: 0 %, <0.1 %, 4.2 %, 37 %."""
    if share is None or not math.isfinite(share):
        return NONE
    points = share * 100
    if points in {0.0, 100.0} or 10 <= points < 99.5:
        return f"{points:.0f}\u00a0%"
    return "<0.1\u00a0%" if points < 0.1 else f"{min(points, 99.9):.1f}\u00a0%"


def interval(figure: Mapping[str, Any]) -> str:
    """Return `low – high` of a figure that has an interval, or nothing."""
    low, high, value = figure.get("low"), figure.get("high"), figure["value"]
    return "" if low is None or high is None else f"{number(low, like=value)} – {number(high, like=value)}"


def duration(seconds: float | None) -> str:
    """Return a time in the two largest units that matter: 0.4 s, 38 s, 4 min 12 s, 2 h 5 min."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{whole} s"


def clip(value: object, longest: int) -> str:
    """Return text with at most `longest` characters; what was cut shows as an ellipsis."""
    text = str(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
