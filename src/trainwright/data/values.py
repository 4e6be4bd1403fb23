"""Words, numbers and lists of numbers, read from any column.

Text sources give strings throughout and typed sources give types, so the same value may arrive as `"3"`,
`"3.0"`, `3` or `3.0`; whoever reads a column reads it through here and gets the same answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.amounts import read_amounts

Array = npt.NDArray[Any]

MISSING_WORDS = ("", "?", "-", "na", "n/a", "#n/a", "<na>", "nan", "null", "none")
"""Words for a missing value, in lower case and without blanks around them; true for every type but text."""

_WHOLE = r"^([+-]?\d+)\.0+$"
_MANY = 1_000
"""Values from which to look whether few are different: reading a word costs five times as much."""
_EXACT_INTEGERS = 2.0**53  # beyond, not every integer is a float64


def as_text(values: pl.Series) -> pl.Series:
    """Return values as text that a CSV file would hold: 3.0 as `3`, dates in ISO 8601, lists as JSON."""
    kind = values.dtype
    if kind == pl.String:
        return values
    if kind.is_float():
        whole = (values == values.floor()) & (values.abs() < _EXACT_INTEGERS)
        integers = values.fill_nan(None).set(~whole.fill_null(False), None).cast(pl.Int64).cast(pl.String)
        return pl.select(pl.coalesce(integers, values.fill_nan(None).cast(pl.String))).to_series()
    if kind == pl.Decimal:
        return values.cast(pl.String).str.replace(r"(\.\d*?)0+$", "$1").str.strip_suffix(".")
    if kind == pl.Object or kind.is_nested():
        texts = [_one_text(value) for value in values.to_list()]
        return pl.Series(values.name, texts, dtype=pl.String)
    return values.cast(pl.String, strict=False)


def _one_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return (
        json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)
    )


def is_missing_word(text: pl.Series) -> pl.Series:
    """Return whether each string is a word for a missing value; null stays null."""
    return text.str.strip_chars().str.to_lowercase().is_in(MISSING_WORDS)


def as_words(values: pl.Series) -> pl.Series:
    """Return values as words that compare: NFC, no spaces around, whole numbers and booleans written one way.

    Words for a missing value become null.
    """
    text = as_text(values)
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return text
    if len(text) >= _MANY:
        distinct = text.unique()
        if 2 * len(distinct) <= len(text):
            return text.replace_strict(distinct, _read_words(distinct), return_dtype=pl.String)
    return _read_words(text)


def _read_words(text: pl.Series) -> pl.Series:
    """Return what `as_words` does, of each value on its own."""
    text = text.str.normalize("NFC").str.strip_chars()
    lower = text.str.to_lowercase()
    frame = pl.DataFrame({"text": text.str.replace(_WHOLE, "$1"), "lower": lower})
    return frame.select(
        pl.when(pl.col("lower").is_in(MISSING_WORDS))
        .then(None)
        .when(pl.col("lower").is_in(["true", "false"]))
        .then(pl.col("lower"))
        .otherwise(pl.col("text"))
        .alias(text.name)
    ).to_series()


@dataclass(frozen=True)
class Numbers:
    """Numbers read from a column.

    Attributes:
        values: float64 [rows], NaN where there is no finite number.
        strays: bool [rows], what is there but is not a number.
        infinite: bool [rows], infinities and numbers beyond float64.
    """

    values: Array
    strays: Array
    infinite: Array


def read_numbers(text: pl.Series) -> pl.Series:
    """Return text as float64, null where it is no number: as a program writes it, else as a person does."""
    read = text.cast(pl.Float64, strict=False)
    unread = (read.is_null() & text.is_not_null()).arg_true()
    return read.scatter(unread, read_amounts(text.gather(unread))) if len(unread) else read


def as_numbers(values: pl.Series, *, amounts: bool = True) -> Numbers:
    """Read a column as numbers; dates count days or seconds, booleans 0 and 1.

    Args:
        values: the column.
        amounts: read text such as `$1,200` and `12%`, too.
    """
    kind = values.dtype
    if kind.is_numeric() or kind == pl.Boolean:
        read = values.cast(pl.Float64)
        strays = np.zeros(len(values), dtype=bool)
    elif kind.is_temporal():
        read = values.to_physical().cast(pl.Float64)
        strays = np.zeros(len(values), dtype=bool)
    else:
        text = as_text(values).str.strip_chars()
        read = read_numbers(text) if amounts else text.cast(pl.Float64, strict=False)
        present = ~is_missing_word(text).fill_null(True)
        strays = (read.is_null() & present).to_numpy()
    found = read.fill_null(np.nan).to_numpy()
    infinite = np.isinf(found)
    return Numbers(np.where(infinite, np.nan, found), strays, infinite)


@dataclass(frozen=True)
class NumberLists:
    """Lists of numbers read from a column.

    Attributes:
        values: float64 [total], all lists one after another; NaN where an element is no finite number.
        lengths: int64 [rows], 0 for missing lists.
        missing: bool [rows], no list there.
        strays: bool [rows], what is there but is not a list of numbers; its length is 0.
    """

    values: Array
    lengths: Array
    missing: Array
    strays: Array


def as_number_lists(values: pl.Series) -> NumberLists:
    """Read a column of lists, of JSON lists, or of numbers divided by spaces, commas, semicolons or bars."""
    if isinstance(values.dtype, pl.Array):
        shape = values.dtype.shape
        values = (
            values.cast(pl.List(values.dtype.inner))
            if len(shape) == 1
            else values.cast(pl.String, strict=False)
        )
    if isinstance(values.dtype, pl.List):
        inner = values.dtype.inner
        lists = values if inner == pl.String else values.cast(pl.List(pl.Float64), strict=False)
        missing = values.is_null()
    else:
        text = as_text(values)
        missing = is_missing_word(text).fill_null(True)
        plain = (
            text.str.replace_all(r"[\[\]()]", " ").str.strip_chars().str.replace_all(r"\s*[,;|]\s*|\s+", ",")
        )
        lists = plain.set(missing | (plain == ""), None).str.split(",")
    lengths = lists.list.len().fill_null(0).cast(pl.Int64).to_numpy().copy()
    elements = lists.explode(empty_as_null=False, keep_nulls=False)
    # In a list a comma divides numbers, not thousands, whether it is one text or a list of texts.
    numbers = as_numbers(elements, amounts=False)
    # A list with an element of text but no number is a sentence, not a list.
    row = np.repeat(np.arange(len(lengths)), lengths)
    texts = np.bincount(row[numbers.strays], minlength=len(lengths))
    found = np.bincount(row[~np.isnan(numbers.values)], minlength=len(lengths))
    strays = (texts > 0) & (found == 0)
    kept = numbers.values[~strays[row]]
    lengths[strays] = 0
    return NumberLists(kept, lengths, missing.to_numpy(), strays)
