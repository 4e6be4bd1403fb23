"""Numbers: scales that outliers cannot spoil, and what is said about strays."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.features.base import Array, Context
from trainwright.features.number import NumberFeature, NumberOptions
from trainwright.foundation.errors import DataError

HERE = Context()
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def fitted(values: pl.Series, **options: object) -> NumberFeature:
    feature = NumberFeature("price", NumberOptions.model_validate(options))
    feature.fit(values, HERE)
    return feature


def dense(feature: NumberFeature, values: pl.Series) -> Array:
    array = feature.encode(values, HERE).arrays["dense"]
    assert isinstance(array, np.ndarray)
    return array


def test_standard_scaling_of_ordinary_values() -> None:
    values = pl.Series(np.random.default_rng(0).normal(50, 7, 1_000))
    feature = fitted(values)
    scaled = dense(feature, values)[:, 0]
    assert abs(scaled.mean()) < 1e-6
    assert abs(scaled.std() - 1) < 1e-6
    assert feature.notes() == (
        "standard scaling: no training value lies more than 5 standard deviations from the mean",
    )


def test_outliers_bring_ranks() -> None:
    values = pl.Series([*np.random.default_rng(0).normal(0, 1, 999), 1e9])
    feature = fitted(values)
    assert "quantile scaling" in feature.notes()[0]
    scaled = dense(feature, values)[:, 0]
    assert np.abs(scaled).max() < 4
    assert 0.9 < scaled.std() < 1.1
    np.testing.assert_array_equal(
        np.argsort(scaled, kind="stable"), np.argsort(values.to_numpy(), kind="stable")
    )


def test_ranks_of_a_column_of_zeros_keep_zero_near_zero() -> None:
    values = pl.Series([0.0] * 960 + list(np.geomspace(1, 1e6, 40)))
    scaled = dense(fitted(values, scaling="quantile"), pl.Series([0.0, 1e7, -5.0]))[:, 0]
    assert abs(scaled[0]) < 0.1
    assert scaled[1] == dense(fitted(values, scaling="quantile"), pl.Series([1e6]))[0, 0]
    assert scaled[2] == scaled[0]


def test_robust_scaling_bends_outliers_smoothly() -> None:
    values = pl.Series([*np.linspace(-1, 1, 101), 1e6])
    scaled = dense(fitted(values, scaling="robust"), pl.Series([0.01, 1e6, 1e12]))[:, 0]
    assert abs(scaled[0]) < 0.05
    assert 2.99 < scaled[1] <= scaled[2] <= 3.01


@given(st.lists(FINITE, min_size=1, max_size=40), st.lists(FINITE, min_size=1, max_size=5))
@settings(max_examples=60)
@pytest.mark.parametrize("scaling", ["auto", "standard", "robust", "quantile", "none"])
def test_any_numbers_give_finite_ordered_values(scaling: str, train: list[float], fresh: list[float]) -> None:
    feature = fitted(pl.Series(train), scaling=scaling)
    scaled = dense(feature, pl.Series(sorted(fresh)))[:, 0]
    assert np.isfinite(scaled).all()
    assert (np.diff(scaled) >= 0).all()


def test_strays_count_as_missing_and_are_named() -> None:
    train = pl.Series(["1", "2", "three", "inf", None])
    feature = fitted(train)
    assert "not numbers, counted as missing: 1, such as 'three'" in feature.notes()
    assert "infinite, counted as missing: 1" in feature.notes()
    encoded = feature.encode(train, HERE)
    assert encoded.counts == {"not numbers": 1, "infinite": 1}
    assert dense(feature, train)[2:].tolist() == [[0, 1]] * 3


def test_missing_values_without_an_indicator_become_the_median() -> None:
    feature = fitted(pl.Series([1.0, 2.0, 9.0]))
    assert feature.spec()["dense"] == 1
    encoded = feature.encode(pl.Series([None, 2.0]), HERE)
    assert encoded.counts == {"missing, though never in training": 1}
    assert dense(feature, pl.Series([None, 2.0]))[0] == dense(feature, pl.Series([2.0]))[0]


def test_bins_are_quantiles_of_what_is_encoded() -> None:
    values = pl.Series(np.random.default_rng(1).exponential(1, 5_000))
    feature = fitted(values)
    (edges,) = feature.spec()["bins"]
    assert len(edges) == 49
    inside, _ = np.histogram(dense(feature, values)[:, 0], edges)
    assert inside.min() > 90
    assert inside.max() < 120
    assert len(fitted(values, bins=8).spec()["bins"][0]) == 9
    assert len(fitted(values.head(100)).spec()["bins"][0]) == 11  # √100 bins


def test_bins_of_few_values_are_few() -> None:
    assert len(fitted(pl.Series([1, 2, 3, 4, 5] * 1_000)).spec()["bins"][0]) == 5
    assert fitted(pl.Series([0, 1] * 50)).spec()["bins"] == [None]
    assert fitted(pl.Series([0, 1] * 50), embedding="piecewise").spec()["bins"] != [None]
    assert fitted(pl.Series([1.0, 2, None]), embedding="periodic").spec() == {
        "dense": 2,
        "bins": [None, None],
        "periodic": [True, False],
    }


def test_target_is_standardised_without_limits() -> None:
    feature = NumberFeature("price")
    feature.fit_target(pl.Series(["10", "20", "30", "oops", None]), HERE)
    assert feature.target_spec() == {"mean": 20.0, "std": pytest.approx(8.164966)}
    scaled, broken = feature.encode_target(pl.Series(["20", "1e6", "oops", None, "inf"]))
    assert scaled[0] == 0
    assert scaled[1] == pytest.approx((1e6 - 20) / 8.164966)
    assert broken == {
        2: "the target 'oops' is not a number",
        3: "the target is missing",
        4: "the target 'inf' is infinite",
    }


def test_a_target_may_be_written_as_people_write() -> None:
    feature = NumberFeature("price")
    feature.fit_target(pl.Series(["$1,000", "$3,000", "(500)"]), HERE)
    scaled, broken = feature.encode_target(pl.Series(["1000", "$1,000.00", "1,00"]))
    assert scaled[0] == scaled[1]
    assert broken == {2: "the target '1,00' is not a number"}


@pytest.mark.parametrize("values", [["3", "3", None], ["x", None], []])
def test_a_target_that_does_not_vary_is_refused(values: list[str | None]) -> None:
    with pytest.raises(DataError, match="target 'price'"):
        NumberFeature("price").fit_target(pl.Series(values, dtype=pl.String), HERE)
