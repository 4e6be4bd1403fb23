"""Dates and times read from any column, as microseconds of wall-clock time since 1970.

A time zone is dropped, not converted: the hour that people lived in says more than the hour in Greenwich.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.values import as_text, is_missing_word

Array = npt.NDArray[Any]

SECOND = 1_000_000
DAY = 86_400 * SECOND

_SECOND = r"(?::(?P<second>\d{2}(?:[.,]\d{1,9})?))?"
_CLOCK = rf"(?P<hour>\d{{1,2}}):(?P<minute>\d{{2}}){_SECOND}\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
_TIME = rf"(?:(?:\s*T|[\s,]+){_CLOCK})?\s*(?:Z|UTC|GMT|[+-]\d{{2}}(?::?\d{{2}})?)?$"
_WEEKDAY = r"(?:[A-Za-z]{3,9}\.?,?\s+)?"
_NAME = r"(?P<name>[A-Za-z]{3})[a-z]*\.?"
_YEAR = r"(?P<year>\d{4})"
_DAY = r"(?P<day>\d{1,2})"
_DIGITS = r"(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?"
_YEAR_LAST = rf"^(?P<first>\d{{1,2}})[-/.](?P<other>\d{{1,2}})[-/.](?P<year>\d{{4}}|\d{{2}}){_TIME}"
_PATTERNS = (
    rf"^{_YEAR}(?:[-/.]|\s*年\s*)(?P<month>\d{{1,2}})(?:(?:[-/.]|\s*月\s*){_DAY}?\s*日?)?{_TIME}",
    rf"^{_YEAR}(?P<month>\d{{2}})(?P<day>\d{{2}})(?:[T ]?{_DIGITS})?Z?$",
    _YEAR_LAST,
    rf"^{_WEEKDAY}{_DAY}(?:st|nd|rd|th)?[-\s]+{_NAME},?[-\s]+{_YEAR}{_TIME}",
    rf"^{_WEEKDAY}{_NAME}\s+{_DAY}(?:st|nd|rd|th)?,?\s+{_YEAR}{_TIME}",
    rf"^{_CLOCK}$",
    r"^(?P<seconds>\d{9,10}(?:\.\d+)?)$",
    r"^(?P<milliseconds>\d{12,13})$",
    rf"^{_YEAR}$",
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class Moments:
    """Moments read from a column.

    Attributes:
        moments: int64 [rows], microseconds since 1970-01-01 00:00 of wall-clock time; 0 where there is none.
        missing: bool [rows], nothing there.
        strays: bool [rows], what is there but is not a date.
    """

    moments: Array
    missing: Array
    strays: Array


def as_moments(values: pl.Series, *, day_first: bool = False) -> Moments:
    """Read a column as dates: ISO 8601, y/m/d, d/m/y or m/d/y, month names, clock times, Unix time, years.

    Args:
        values: the column.
        day_first: read 3/4/2024 as the third of April, not the fourth of March.
    """
    kind = values.dtype
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        local = values.dt.replace_time_zone(None) if isinstance(kind, pl.Datetime) else values
        found = local.cast(pl.Datetime("us")).to_physical()
    elif kind == pl.Time:
        found = values.to_physical() // 1000
    else:
        return _from_text(as_text(values), day_first)
    missing = found.is_null().to_numpy()
    return Moments(found.fill_null(0).to_numpy(), missing, np.zeros(len(values), dtype=bool))


def day_first_evidence(values: pl.Series) -> tuple[int, int, int]:
    """Return how many values can only be day/month/year, only month/day/year, or either."""
    if values.dtype != pl.String:
        return 0, 0, 0
    groups = values.str.strip_chars().str.extract_groups(_YEAR_LAST).struct.unnest()
    first, other = (groups[name].cast(pl.Int64) for name in ("first", "other"))
    day_first = int(((first > 12) & (other <= 12)).sum())
    month_first = int(((first <= 12) & (other > 12)).sum())
    return day_first, month_first, int(((first <= 12) & (other <= 12) & (first != other)).sum())


def _from_text(text: pl.Series, day_first: bool) -> Moments:
    text = text.str.strip_chars()
    missing = is_missing_word(text).fill_null(True).to_numpy()
    moments = np.zeros(len(text), dtype=np.int64)
    unread = ~missing
    for pattern in _PATTERNS:
        rows = np.flatnonzero(unread)
        if not len(rows):
            break
        groups = text.gather(rows).str.extract_groups(pattern).struct.unnest()
        matched = np.logical_or.reduce([groups[name].is_not_null().to_numpy() for name in groups.columns])
        found, valid = _built(groups.filter(matched), day_first)
        rows = rows[matched]
        moments[rows[valid]] = found[valid]
        unread[rows[valid]] = False
    return Moments(moments, missing, unread)


def _built(groups: pl.DataFrame, day_first: bool) -> tuple[Array, Array]:
    """Return microseconds since 1970 and whether there is such a day and time."""
    if "seconds" in groups.columns or "milliseconds" in groups.columns:
        name, unit = ("seconds", SECOND) if "seconds" in groups.columns else ("milliseconds", 1000)
        return (groups[name].cast(pl.Float64) * unit).round().cast(pl.Int64).to_numpy(), np.ones(
            len(groups), dtype=bool
        )
    parts = {name: groups[name] for name in groups.columns}
    if "first" in parts:
        parts["day"], parts["month"] = parts["first"], parts["other"]
        if not day_first:
            parts["day"], parts["month"] = parts["month"], parts["day"]
    year = _number(parts, "year", 1970, len(groups))
    if "year" in parts:
        # Two digits as POSIX reads them: 69 to 99 are the last century's.
        short = (parts["year"].str.len_bytes() == 2).to_numpy()
        year = np.where(short, np.where(year < 69, 2000, 1900) + year, year)
    month = _number(parts, "month", 1, len(groups))
    if "name" in parts:
        names = parts["name"].str.to_lowercase()
        month = names.replace_strict(_MONTHS, range(1, 13), default=0, return_dtype=pl.Int64).to_numpy()
    day = _number(parts, "day", 1, len(groups))
    hour, minute = _number(parts, "hour", 0, len(groups)), _number(parts, "minute", 0, len(groups))
    valid = (year >= 1) & (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60)
    if "half" in parts:
        half = parts["half"].str.slice(0, 1).str.to_lowercase()
        is_half, afternoon = half.is_not_null().to_numpy(), (half == "p").fill_null(False).to_numpy()
        valid &= ~is_half | ((hour >= 1) & (hour <= 12))
        hour = np.where(is_half, hour % 12 + 12 * afternoon, hour)
    second = np.zeros(len(groups))
    if "second" in parts:
        second = parts["second"].str.replace(",", ".").cast(pl.Float64).fill_null(0.0).to_numpy()
    valid &= second < 61  # a leap second is the last one again
    second = np.minimum(second, 59.999999)
    first_of_month = (year - 1970).astype("M8[Y]").astype("M8[M]") + np.where(valid, month - 1, 0)
    length = ((first_of_month + 1).astype("M8[D]") - first_of_month.astype("M8[D]")).astype(np.int64)
    valid &= (day >= 1) & (day <= length)
    days = first_of_month.astype("M8[D]").astype(np.int64) + day - 1
    clock = (hour * 3600 + minute * 60) * SECOND + np.round(second * SECOND).astype(np.int64)
    return days * DAY + clock, valid


def _number(parts: Mapping[str, pl.Series], name: str, default: int, rows: int) -> Array:
    if name not in parts:
        return np.full(rows, default, dtype=np.int64)
    return parts[name].cast(pl.Int64).fill_null(default).to_numpy()
