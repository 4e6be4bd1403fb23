"""Sequences and vectors: lists of numbers of any length, and of one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from trainwright.features.base import Context, Encoded, Ragged
from trainwright.features.sequence import SequenceFeature, SequenceOptions
from trainwright.features.vector import VectorFeature, VectorOptions

HERE = Context()


def ragged(encoded: Encoded) -> Ragged:
    values = encoded.arrays["values"]
    assert isinstance(values, Ragged)
    return values


def test_sequences_are_standardised_by_all_training_numbers() -> None:
    feature = SequenceFeature("pulse")
    feature.fit(pl.Series(["1 2 3", "[4, 5]", None]), HERE)
    values = ragged(feature.encode(pl.Series(["3", "1,5", "", "x y", "[2, null]"]), HERE))
    assert values.lengths.tolist() == [1, 2, 0, 0, 2]
    np.testing.assert_allclose(values.values[:, 0], np.array([0, -2, 2, -1, 0]) / np.sqrt(2), rtol=1e-6)
    assert feature.spec() == {"width": 1, "max_length": 3}


def test_what_is_said_about_sequences() -> None:
    feature = SequenceFeature("pulse", SequenceOptions(max_length=2))
    feature.fit(pl.Series([[1.0, 2.0, 3.0]]), HERE)
    encoded = feature.encode(pl.Series([[1.0, 2.0, 3.0], [None, float("inf")], [1.0], None]), HERE)
    assert encoded.counts == {"truncated": 1, "numbers missing in sequences": 2}
    assert feature.encode(pl.Series(["hello"]), HERE).broken == {0: "this is not a list of numbers"}


@pytest.mark.parametrize("as_text", [False, True])
def test_steps_of_several_numbers(as_text: bool) -> None:
    train = pl.Series([[[1.0, 10.0], [3.0, 30.0]], [[2.0, 20.0]], None])
    fresh = pl.Series([[[2.0, 20.0]], [[1.0, 2.0, 3.0]], [], None])
    if as_text:
        train, fresh = (
            pl.Series([None if v is None else str(v) for v in values.to_list()]) for values in (train, fresh)
        )
    feature = SequenceFeature("gps")
    feature.fit(train, HERE)
    assert feature.spec() == {"width": 2, "max_length": 2}
    encoded = feature.encode(fresh, HERE)
    np.testing.assert_allclose(ragged(encoded).values, [[0, 0]], atol=1e-7)
    assert ragged(encoded).lengths.tolist() == [1, 0, 0, 0]
    assert list(encoded.broken) == [1]
    array = pl.Series([[[1.0, 10.0], [3.0, 30.0]]], dtype=pl.Array(pl.Float64, (2, 2)))
    assert ragged(feature.encode(array, HERE)).lengths.tolist() == [2]


def test_vectors_are_standardised_by_component() -> None:
    feature = VectorFeature("embedding")
    train = pl.Series([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]], dtype=pl.Array(pl.Float32, 2))
    feature.fit(train, HERE)
    dense = feature.encode(pl.Series([[4.0, 5.0], [0.0, 6.0]]), HERE).arrays["dense"]
    np.testing.assert_allclose(dense, [[np.sqrt(1.5), 0], [-np.sqrt(1.5), 1]], rtol=1e-6)


def test_the_width_is_what_most_rows_have() -> None:
    train = pl.Series(["1 2", "3 4", "5 6 7", None, "words"])
    feature = VectorFeature("embedding")
    feature.fit(train, HERE)
    assert feature.spec()["dense"] == 3  # two numbers and an indicator
    assert feature.encode(train, HERE).broken == {
        2: "a vector of 3 numbers where 2 are expected",
        4: "this is not a list of numbers",
    }
    wider = VectorFeature("embedding", VectorOptions(width=3))
    wider.fit(train, HERE)
    assert sorted(wider.encode(train, HERE).broken) == [0, 1, 4]


def test_huge_components_stay_finite() -> None:
    feature = VectorFeature("embedding")
    feature.fit(pl.Series([[1e300, 1.0], [-1e300, 1.0], [0.0, 1.0]]), HERE)
    dense = feature.encode(pl.Series([[1e300, 1.0], [-1e308, 1e308]]), HERE).arrays["dense"]
    assert np.isfinite(dense).all()
    assert np.abs(dense).max() <= 20
