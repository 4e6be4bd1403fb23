"""Words, numbers, lists and moments mean the same however a source writes them."""

from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.data.moments import as_moments, day_first_evidence
from trainwright.data.values import as_number_lists, as_numbers, as_text, as_words


def moment(value: object, **options: bool) -> str | None:
    found = as_moments(pl.Series([value]), **options)
    if found.missing[0] or found.strays[0]:
        return None
    return str(np.datetime64(int(found.moments[0]), "us").astype("M8[s]"))


def test_one_value_is_one_word_in_every_type() -> None:
    three = [
        pl.Series([3]),
        pl.Series([3.0]),
        pl.Series(["3"]),
        pl.Series([" 3.00 "]),
        pl.Series([decimal.Decimal("3.00")]),
        pl.Series(["3"], dtype=pl.Categorical),
        pl.Series([3], dtype=pl.UInt8),
    ]
    assert {as_words(values)[0] for values in three} == {"3"}
    assert {as_words(pl.Series([value]))[0] for value in ("TRUE", "True", True)} == {"true"}
    assert as_words(pl.Series(["e\u0301"]))[0] == "é"


@pytest.mark.parametrize("word", ["", "?", "NA", "n/A", "null", "NONE", "NaN", "-", "  na "])
def test_words_for_nothing(word: str) -> None:
    values = pl.Series([word])
    assert as_words(values)[0] is None
    numbers = as_numbers(values)
    assert np.isnan(numbers.values[0])
    assert not numbers.strays[0]
    assert as_number_lists(values).missing[0]
    assert as_moments(values).missing[0]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False), st.integers(-(10**18), 10**18)), min_size=1))
def test_numbers_read_from_text_as_python_reads_them(values: list[float | int | None]) -> None:
    text = pl.Series([None if value is None else repr(value) for value in values], dtype=pl.String)
    numbers = as_numbers(text)
    assert not numbers.strays.any()
    for value, read, infinite in zip(values, numbers.values, numbers.infinite, strict=True):
        if value is None or np.isinf(value):
            assert np.isnan(read)
            assert infinite == (value is not None)
        else:
            assert read == float(value)


def test_typed_numbers() -> None:
    read = as_numbers(pl.Series([1.5, float("nan"), None, float("-inf")]))
    np.testing.assert_array_equal(read.values, [1.5, np.nan, np.nan, np.nan])
    assert read.infinite.tolist() == [False, False, False, True]
    assert as_numbers(pl.Series([2**64 - 1], dtype=pl.UInt64)).values[0] == 2.0**64
    assert as_numbers(pl.Series([True, None])).values[0] == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.50", 1234.5),
        ("1,234,567", 1234567),
        ("1'234", 1234),
        ("1’234.5", 1234.5),
        ("1_234", 1234),
        ("1\u00a0234\u00a0567", 1234567),
        ("1\u2009234", 1234),
        ("1\u202f234.25", 1234.25),
        ("$1,200", 1200),
        ("-$5", -5),
        ("$-5", -5),
        ("$.50", 0.5),
        ("€ 950", 950),
        ("$1 234", 1234),
        ("1 234 567 €", 1234567),
        ("USD 1,200", 1200),
        ("RMB1200", 1200),
        ("1,200 usd", 1200),
        ("₩1,000", 1000),
        ("￥１，２００", 1200),
        ("100元", 100),
        ("１２３", 123),
        ("\u22125", -5),
        ("12%", 12),
        ("+3.5 %", 3.5),
        ("0%", 0),
        ("(1,200)", -1200),
        ("($1,200.50)", -1200.5),
        ("$ (12)", -12),
        ("(5%)", -5),
    ],
)
def test_numbers_as_people_write_them(text: str, number: float) -> None:
    read = as_numbers(pl.Series([text, f"  {text} ", None]))
    np.testing.assert_array_equal(read.values, [number, number, np.nan])
    assert not read.strays.any()


@pytest.mark.parametrize(
    "text",
    [
        *("3,14", "1,23", "12,34,567", "1,2345", "1234,567", "0,123", "1,234.", "1,234'567", "1.234.567"),
        *(
            "555 123 456",
            "+1 555 123",
            "+34\u00a0612\u00a0345\u00a0678",
            "$007",
            "００７",
            "2024-01-05",
            "1.2.3",
            "12:30",
            "5月",
            "10²",
            "½",
        ),
        *("$", "$$", "%", "$12%", "$5 €", "€10-20", "<5%", "10%+", "$1e5", "$inf", "100块"),
        *("-(5)", "(-5)", "(5", "5)", "--5", "- 5", "()"),
    ],
)
def test_what_could_be_something_else_is_no_number(text: str) -> None:
    read = as_numbers(pl.Series([text]))
    assert np.isnan(read.values[0])
    assert read.strays[0]


@given(
    st.decimals(-(10**12), 10**12, places=3).filter(lambda number: not number.is_zero()),
    st.sampled_from([",", "'", "_", "\u00a0", "\u2009", "\u202f"]),
    st.sampled_from(["{}", "${}", "€ {}", "{} EUR", "{}元", "CNY {}", "{}%"]),
    st.booleans(),
    st.booleans(),
)
def test_numbers_survive_being_written_for_people(
    number: decimal.Decimal, divider: str, form: str, accounting: bool, wide: bool
) -> None:
    size = form.format(f"{abs(number):,}".replace(",", divider))
    text = size if number > 0 else f"({size})" if accounting else f"-{size}"
    if wide:
        text = text.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})
    assert as_numbers(pl.Series([text, "1"])).values[0] == float(number)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[1, 2.5, -3e2]", [1, 2.5, -300]),
        ("1 2  3", [1, 2, 3]),
        ("( 1;2 | 3 )", [1, 2, 3]),
        ("[1. 2. ]", [1, 2]),
        ("1,,3", [1, np.nan, 3]),
        ("1,null,x", [1, np.nan, np.nan]),
        ("1,234", [1, 234]),
        ("1\u00a0234", [1, 234]),
        ("(1,200)", [1, 200]),
        ("[]", []),
        ("7", [7]),
    ],
)
def test_lists_of_numbers_in_text(value: str, expected: list[float]) -> None:
    lists = as_number_lists(pl.Series([value]))
    np.testing.assert_array_equal(lists.values, expected)
    assert lists.lengths.tolist() == [len(expected)]
    assert not lists.missing[0]
    assert not lists.strays[0]


def test_a_sentence_is_no_list_of_numbers() -> None:
    lists = as_number_lists(pl.Series(["no numbers here", "1 2", None]))
    assert lists.strays.tolist() == [True, False, False]
    assert lists.lengths.tolist() == [0, 2, 0]
    assert as_number_lists(pl.Series([["1,234", "5"]])).values.tolist() == pytest.approx(
        [np.nan, 5], nan_ok=True
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-02-29", "2024-02-29T00:00:00"),
        ("2023-02-29", None),
        ("2024-13-01", None),
        ("2024/3/1 1:02 PM", "2024-03-01T13:02:00"),
        ("2024-03-01T23:59:60Z", "2024-03-01T23:59:59"),
        ("2024-03-01 10:00:00.25+08:00", "2024-03-01T10:00:00"),
        ("2024年1月5日 8:30", "2024-01-05T08:30:00"),
        ("2024-05", "2024-05-01T00:00:00"),
        ("20240105", "2024-01-05T00:00:00"),
        ("5 Jan 2024", "2024-01-05T00:00:00"),
        ("Mon, 05 Feb 2024 10:00:00 GMT", "2024-02-05T10:00:00"),
        ("January 5th, 2024", "2024-01-05T00:00:00"),
        ("13:45", "1970-01-01T13:45:00"),
        ("25:00", None),
        ("12:30 am", "1970-01-01T00:30:00"),
        ("1700000000", "2023-11-14T22:13:20"),
        ("1700000000000", "2023-11-14T22:13:20"),
        ("2024", "2024-01-01T00:00:00"),
        ("1/2/69", "1969-01-02T00:00:00"),
        ("1/2/68", "2068-01-02T00:00:00"),
        ("tomorrow", None),
        (dt.date(1960, 1, 2), "1960-01-02T00:00:00"),
        (dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC), "2024-01-02T03:00:00"),
        (dt.time(1, 2, 3), "1970-01-01T01:02:03"),
    ],
)
def test_moments(value: object, expected: str | None) -> None:
    assert moment(value) == expected


def test_the_order_of_day_and_month() -> None:
    assert moment("3/4/2024") == "2024-03-04T00:00:00"
    assert moment("3/4/2024", day_first=True) == "2024-04-03T00:00:00"
    assert moment("13.4.2024") is None
    assert day_first_evidence(pl.Series(["13/4/2024", "4/13/2024", "3/4/2024", "5/5/2024", None, "x"])) == (
        1,
        1,
        1,
    )


@given(st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)))
def test_iso_text_and_typed_moments_agree(value: dt.datetime) -> None:
    typed = as_moments(pl.Series([value], dtype=pl.Datetime("us")))
    for text in (value.isoformat(), value.isoformat(" ") + "Z"):
        found = as_moments(pl.Series([text]))
        assert not found.strays[0]
        assert found.moments[0] == typed.moments[0]


def test_text_of_nested_values_is_json() -> None:
    assert as_text(pl.Series([[1, 2], None])).to_list() == ["[1, 2]", None]
    assert as_text(pl.Series([{"a": "数"}])).to_list() == ['{"a": "数"}']
