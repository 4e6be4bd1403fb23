"""Dates: only the parts that vary, and one reading of d/m/y."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from trainwright.features.base import Array, Context
from trainwright.features.date import DateFeature, DateOptions

HERE = Context()


def fitted(values: pl.Series, **options: object) -> DateFeature:
    feature = DateFeature("day", DateOptions.model_validate(options))
    feature.fit(values, HERE)
    return feature


def dense(feature: DateFeature, values: pl.Series) -> Array:
    array = feature.encode(values, HERE).arrays["dense"]
    assert isinstance(array, np.ndarray)
    return array


def test_parts_that_do_not_vary_are_left_out() -> None:
    mondays = pl.Series(["2024-01-01", "2024-02-05", "2024-03-04"])
    assert fitted(mondays).state()["parts"] == ["day", "month"]
    hours = pl.Series(["2024-01-01 10:00", "2024-01-01 12:00"])
    assert fitted(hours).state()["parts"] == ["hour"]
    assert fitted(hours).spec() == {"dense": 3, "bins": [None] * 3}


def test_cycles_close() -> None:
    feature = fitted(pl.Series(["2024-01-01 00:00", "2024-01-01 06:00", "2024-01-01 23:59"]))
    midnight, _, almost = dense(
        feature, pl.Series(["2024-01-01 00:00", "2024-01-01 06:00", "2024-01-01 23:59"])
    )
    assert np.abs(midnight[1:3] - almost[1:3]).max() < 0.01
    sunday, monday = dense(
        fitted(pl.Series(["2024-01-07", "2024-01-08"])), pl.Series(["2024-01-07", "2024-01-08"])
    )
    assert monday[1:3] == pytest.approx([0, 1], abs=1e-6)
    assert np.hypot(*(sunday[1:3] - monday[1:3])) == pytest.approx(2 * np.sin(np.pi / 7), abs=1e-6)


def test_the_trend_counts_days() -> None:
    days = pl.Series([dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(101)])
    feature = fitted(days)
    trend = dense(feature, days)[:, 0]
    assert trend[50] == 0
    np.testing.assert_allclose(np.diff(trend), 1 / np.arange(101).std(), rtol=1e-4)
    assert dense(feature, pl.Series([dt.date(2300, 1, 1)]))[0, 0] == 10


def test_round_trip_to_the_day_and_to_the_second() -> None:
    days = pl.Series([dt.date(1950 + 3 * n, 1 + n % 12, 1 + n) for n in range(28)])
    assert fitted(days).decode(fitted(days).encode(days, HERE)).cast(pl.Date).to_list() == days.to_list()
    moments = pl.Series([dt.datetime(2024, 5, 1 + n, n, 2 * n, 30) for n in range(20)])
    decoded = fitted(moments).decode(fitted(moments).encode(moments, HERE))
    assert ((decoded - moments).dt.total_milliseconds().abs() < 1_000).all()


def test_day_and_month_are_told_from_the_values() -> None:
    for values, month in ((["25/12/2024", "3/4/2024"], 4), (["12/25/2024", "3/4/2024"], 3)):
        feature = fitted(pl.Series(values))
        assert feature.notes() == ()
        assert feature.decode(feature.encode(pl.Series(values), HERE)).dt.month()[1] == month


def test_doubt_about_day_and_month_is_said() -> None:
    assert "nothing tells day/month from month/day" in fitted(pl.Series(["3/4/2024", "5/6/2024"])).notes()[0]
    assert fitted(pl.Series(["3/4/2024"]), order="dmy").notes() == ()
    both = fitted(pl.Series(["25/12/2024", "26/12/2024", "12/25/2024"]))
    assert "only day/month/year fits 2 values, only month/day/year 1" in both.notes()[0]
    assert both.encode(pl.Series(["12/25/2024"]), HERE).counts["not dates"] == 1


def test_what_is_no_date_is_missing_and_counted() -> None:
    feature = fitted(pl.Series(["2024-01-01", "2024-05-09", "someday", None]))
    assert "not dates, counted as missing: 1, such as 'someday'" in feature.notes()
    encoded = feature.encode(pl.Series(["never", None, "2024-01-01"]), HERE)
    assert encoded.counts == {"not dates": 1}
    assert (
        dense(feature, pl.Series(["never", None])).tolist() == [[0] * (feature.spec()["dense"] - 1) + [1]] * 2
    )
