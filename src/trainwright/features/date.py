"""Dates and times: where on the day, the week, the month and the year, and how far along."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from trainwright.data.moments import DAY, as_moments, day_first_evidence
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedFeature, LearnedInput, examples
from trainwright.features.scaling import mean_and_std

Part = Literal["hour", "weekday", "day", "month"]
PARTS: tuple[Part, ...] = ("hour", "weekday", "day", "month")
_REACH = 10.0
"""Spreads from the training median beyond which the trend stands still."""


class DateOptions(FeatureOptions):
    """Options of a date."""

    order: Literal["auto", "dmy", "mdy"] = Field(
        "auto",
        description="How 3/4/2024 is read: dmy the third of April, mdy the fourth of March; by the values.",
    )


class LearnedDate(LearnedInput):
    """What a date learned.

    Attributes:
        parts: cyclic parts that differ in training.
        center: training median in days since 1970.
        spread: standard deviation in days.
        indicator: whether training values were missing.
        day_first: how 3/4/2024 is read.
        clock: whether training values have a time of day.
    """

    parts: tuple[Part, ...]
    center: float
    spread: float = Field(gt=0)
    indicator: bool
    day_first: bool
    clock: bool


@FEATURES.register("date")
class DateFeature(LearnedFeature):
    """A date → dense [rows, d]: trend, sine and cosine of the parts that vary, and an indicator.

    The trend is (days - training median) / standard deviation. A missing date is all zeros, which no part
    of a real date is.
    """

    type = "date"
    modality = "table"
    Options = DateOptions
    Input = LearnedDate

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn the reading of d/m and m/d, the parts that vary, and the scale of the trend."""
        day_first, note = self._day_first(values)
        found = as_moments(values, day_first=day_first)
        known = found.moments[~(found.missing | found.strays)]
        turns = _turns(known)
        days = known / DAY
        notes = [note] if note else []
        if found.strays.any():
            shown = examples(values, found.strays)
            notes.append(f"not dates, counted as missing: {found.strays.sum():,}, such as {shown}")
        self.learned_ = LearnedDate(
            parts=tuple(part for part in PARTS if len(known) and np.ptp(turns[part]) > 0),
            center=float(np.median(days)) if len(days) else 0.0,
            spread=mean_and_std(days)[1],
            indicator=len(known) < len(values),
            day_first=day_first,
            clock=bool((known % DAY != 0).any()),
            notes=tuple(notes),
        )

    def _day_first(self, values: pl.Series) -> tuple[bool, str | None]:
        if self.options.order != "auto":
            return self.options.order == "dmy", None
        day_first, month_first, either = day_first_evidence(values)
        if day_first and month_first:
            reading = "day/month" if day_first >= month_first else "month/day"
            return day_first >= month_first, (
                f"only day/month/year fits {day_first:,} values, only month/day/year {month_first:,}; "
                f"all are read as {reading}/year"
            )
        if either and not day_first and not month_first:
            return (
                False,
                "nothing tells day/month from month/day: read as month/day/year; set order: dmy to change it",
            )
        return day_first > 0, None

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "dense"; what is not a date counts as missing."""
        learned: LearnedDate = self.learned_
        found = as_moments(values, day_first=learned.day_first)
        missing = found.missing | found.strays
        trend = (found.moments / DAY - learned.center) / learned.spread
        columns = [np.clip(trend, -_REACH, _REACH)]
        turns = _turns(found.moments)
        for part in learned.parts:
            columns += [np.sin(2 * np.pi * turns[part]), np.cos(2 * np.pi * turns[part])]
        dense = np.where(missing[:, None], 0.0, np.stack(columns, axis=1))
        if learned.indicator:
            dense = np.concatenate([dense, missing[:, None]], axis=1)
        counts = {"not dates": int(found.strays.sum())}
        if not learned.indicator:
            counts["missing, though never in training"] = int(missing.sum())
        counts = {what: count for what, count in counts.items() if count}
        return Encoded({"dense": dense.astype(np.float32)}, counts=counts)

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return datetimes as exact as the float32 trend is: to the day without a time of day."""
        learned: LearnedDate = self.learned_
        dense = encoded.arrays["dense"]
        assert not isinstance(dense, Ragged)
        days = dense[:, 0].astype(np.float64) * learned.spread + learned.center
        moments = np.round((days if learned.clock else np.round(days)) * DAY).astype(np.int64)
        values = pl.Series(self.name, moments).cast(pl.Datetime("us"))
        return values.set(pl.Series(dense[:, -1] > 0.5), None) if learned.indicator else values

    def spec(self) -> dict[str, Any]:
        """Return {"dense": d, "bins": [None, …]}."""
        width = 1 + 2 * len(self.learned_.parts) + self.learned_.indicator
        return {"dense": width, "bins": [None] * width}


def _turns(moments: Array) -> dict[Part, Array]:
    """Return how far each cycle has turned, from 0 to 1, float64 [rows]."""
    days = moments // DAY
    dates = days.astype("M8[D]")
    months = dates.astype("M8[M]")
    return {
        "hour": (moments % DAY) / DAY,
        "weekday": ((days + 3) % 7) / 7,  # 1970-01-01 was a Thursday
        "day": (dates - months.astype("M8[D]")).astype(np.int64) / 31,
        "month": months.astype(np.int64) % 12 / 12,
    }
