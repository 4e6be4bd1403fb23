"""Categories, ordinals, booleans and sets: which level is which, and which are too rare."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.features.base import Context
from trainwright.features.boolean import PAIRS, BooleanFeature
from trainwright.features.category import CategoryFeature, CategoryOptions
from trainwright.features.levels import natural_order
from trainwright.features.ordinal import OrdinalFeature, OrdinalOptions
from trainwright.features.set import SetFeature, SetOptions
from trainwright.foundation.errors import DataError

HERE = Context()


def index(feature: CategoryFeature | BooleanFeature, values: list[object]) -> list[int]:
    return feature.encode(pl.Series(values, strict=False), HERE).arrays["index"][:, 0].tolist()


def test_levels_are_numbered_by_frequency_and_rare_ones_share_an_index() -> None:
    feature = CategoryFeature("city")
    feature.fit(pl.Series(["b", "b", "b", "a", "a", "once", None]), HERE)
    assert index(feature, ["b", "a", "once", "new", None, "NA"]) == [2, 3, 1, 1, 0, 0]
    assert feature.spec() == {"dense": 0, "index": [4]}
    assert feature.notes() == ("rare levels that share one index: 1 of 3",)
    assert feature.encode(pl.Series(["once", "new"]), HERE).counts == {"rare or unseen levels": 2}


def test_limits_on_levels() -> None:
    values = pl.Series([f"level {n}" for n in range(20) for _ in range(n + 1)])
    for options, levels in (({"min_count": 11}, 10), ({"max_levels": 3}, 3), ({"min_count": 1}, 20)):
        feature = CategoryFeature("c", CategoryOptions.model_validate(options))
        feature.fit(values, HERE)
        assert feature.spec()["index"] == [levels + 2]
    assert index(feature, ["level 19"]) == [2]


def test_many_rows_ask_for_more_uses_of_a_level() -> None:
    values = pl.Series(["often"] * 60_000 + ["five"] * 5 + ["seven"] * 7)
    feature = CategoryFeature("c")
    feature.fit(values, HERE)
    assert index(feature, ["often", "seven", "five"]) == [2, 3, 1]


def test_a_column_read_from_csv_fits_one_read_from_parquet() -> None:
    feature = CategoryFeature("c", CategoryOptions(min_count=1))
    feature.fit(pl.Series(["1.0", "2.0", None]), HERE)
    for values in ([1, 2, None], [1.0, 2.0, None], ["1", "2", ""]):
        assert index(feature, values) == [2, 3, 0]


def test_classes_are_all_levels_in_natural_order() -> None:
    feature = CategoryFeature("stars")
    feature.fit_target(pl.Series(["10", "9", "9", "1.0", None]), HERE)
    assert feature.target_spec() == {"classes": ["1", "9", "10"], "counts": [1, 2, 1]}
    codes, broken = feature.encode_target(pl.Series([9.0, 10, None, 3]))
    assert codes.tolist() == [1, 2, -1, -1]
    assert broken == {2: "the target is missing", 3: "the class '3.0' was not seen in training"}


@given(st.lists(st.integers(-999, 999), unique=True))
def test_natural_order_of_numbers_is_by_value(numbers: list[int]) -> None:
    assert natural_order([str(number) for number in numbers]) == [str(number) for number in sorted(numbers)]


def test_natural_order_of_words() -> None:
    assert natural_order(["item 10", "Item 2", "item 1", "apple"]) == ["apple", "item 1", "Item 2", "item 10"]
    assert natural_order(["$1,200", "$950", "(3)", "$1,000"]) == ["(3)", "$950", "$1,000", "$1,200"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "a", None], "only one class, 'a'"),
        ([None], "no training row has a class"),
        ([], "no training row"),
    ],
)
def test_targets_without_a_choice_are_refused(values: list[str | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CategoryFeature("y").fit_target(pl.Series(values, dtype=pl.String), HERE)


def test_a_target_of_too_many_classes_is_refused() -> None:
    feature = CategoryFeature("y", CategoryOptions(max_levels=10))
    with pytest.raises(DataError, match="there are 11 classes in 11 training rows"):
        feature.fit_target(pl.Series([str(n) for n in range(11)]), HERE)


def test_ordinals_know_their_place() -> None:
    feature = OrdinalFeature("size", OrdinalOptions(order=("S", "M", "L")))
    feature.fit(pl.Series(["L", "S", "M", "M", None]), HERE)
    encoded = feature.encode(pl.Series(["S", "M", "L", None, "XL"]), HERE)
    assert encoded.arrays["dense"].tolist() == [[-1], [0], [1], [0], [0]]
    assert encoded.arrays["index"].tolist() == [[2], [3], [4], [0], [1]]
    assert feature.notes() == ()
    feature.fit_target(pl.Series(["L", "S", "M"]), HERE)
    assert feature.target_spec()["classes"] == ["S", "M", "L"]


def test_ordinals_of_words_say_where_their_order_came_from() -> None:
    feature = OrdinalFeature("size")
    feature.fit_target(pl.Series(["low", "high", "middle"]), HERE)
    assert feature.target_spec()["classes"] == ["high", "low", "middle"]
    assert "alphabet (high, low, middle); set order" in feature.notes()[0]
    feature.fit_target(pl.Series([5, 1, 10]), HERE)
    assert feature.target_spec()["classes"] == ["1", "5", "10"]
    assert feature.notes() == ()


def test_an_order_must_name_every_level_once() -> None:
    for order, message in (
        (("S", "M"), "leaves out the level 'L'"),
        (("S", "M", "L", "M"), "names a level twice"),
    ):
        with pytest.raises(DataError, match=message):
            OrdinalFeature("size", OrdinalOptions(order=order)).fit(pl.Series(["S", "M", "L"]), HERE)


@pytest.mark.parametrize(("no", "yes"), PAIRS)
def test_words_for_yes_and_no(no: str, yes: str) -> None:
    feature = BooleanFeature("b")
    feature.fit(pl.Series([no, yes]), HERE)
    assert index(feature, [no, yes.upper(), f" {yes} ", None, "maybe"]) == [2, 3, 3, 0, 1]
    feature.fit_target(pl.Series([no, yes, yes]), HERE)
    assert feature.target_spec() == {"classes": [no, yes], "counts": [1, 2]}


def test_boolean_targets_speak_the_columns_words() -> None:
    feature = BooleanFeature("b")
    feature.fit_target(pl.Series(["Yes", "No", "Yes", "no", "No"]), HERE)
    assert feature.target_spec()["classes"] == ["No", "Yes"]
    codes, broken = feature.encode_target(pl.Series(["true", "0", "perhaps", None]))
    assert codes.tolist() == [1, 0, -1, -1]
    assert broken == {2: "the target 'perhaps' is neither yes nor no", 3: "the target is missing"}
    with pytest.raises(DataError, match="only one class, 'yes'"):
        feature.fit_target(pl.Series(["yes", "yes"]), HERE)


@pytest.mark.parametrize("mark", ["|", ";", ",", " / "])
def test_sets_find_their_delimiter(mark: str) -> None:
    feature = SetFeature("tags", SetOptions(delimiter=mark) if "/" in mark else None)
    feature.fit(pl.Series([f"rock{mark}jazz", "jazz", f"jazz{mark} rock "]), HERE)
    encoded = feature.encode(pl.Series([f"rock{mark}jazz{mark}rock", "folk", "jazz"]), HERE)
    assert encoded.arrays["dense"].tolist() == [[1, 1], [0, 0], [1, 0]]
    assert encoded.counts == {"rare or unseen labels": 1}


def test_rare_labels_share_a_column() -> None:
    feature = SetFeature("tags", SetOptions(max_labels=2))
    feature.fit(pl.Series(["a|b|c", "a|b|c", "a|b", "a|d"]), HERE)
    assert feature.spec()["dense"] == 3
    encoded = feature.encode(pl.Series(["a|c|d", "new", "b"]), HERE)
    assert encoded.arrays["dense"].tolist() == [[1, 0, 1], [0, 0, 1], [0, 1, 0]]


def test_labels_as_a_target() -> None:
    feature = SetFeature("tags")
    feature.fit_target(pl.Series([["b", "a"], ["a"], None, []]), HERE)
    assert feature.target_spec() == {"classes": ["a", "b"], "counts": [2, 1]}
    hot, broken = feature.encode_target(pl.Series([["a", "b", "a"], [], ["c"]]))
    assert hot[:2].tolist() == [[1, 1], [0, 0]]
    assert list(broken) == [2]
    assert broken[2].endswith("was not seen in training")
