"""Which values of a column are dates."""

from __future__ import annotations

import polars as pl

from trainwright.data.moments import as_moments, day_first_evidence


def read_dates(values: pl.Series) -> pl.Series:
    """Return values as wall-clock datetimes, null where one is no date; they tell d/m/y from m/d/y."""
    day_first, month_first, _ = day_first_evidence(values)
    found = as_moments(values, day_first=day_first > month_first)
    moments = pl.Series(values.name, found.moments).cast(pl.Datetime("us"))
    return moments.set(pl.Series(found.missing | found.strays), None)
