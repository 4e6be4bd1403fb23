"""Levels of a column of words: their order, their index, and what it takes to be the classes of a target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.values import as_numbers, as_words
from trainwright.features.base import Array
from trainwright.features.learned import LearnedClasses, reasons
from trainwright.foundation.errors import DataError

MISSING = 0
"""Index of a missing value in an input."""
UNSEEN = 1
"""Index shared by rare levels and levels that training did not have."""
FIRST = 2
"""Index of the most frequent level."""

_DIGITS = re.compile(r"(\d+)")


def natural_order(words: Sequence[str]) -> list[str]:
    """Return words as a person would sort them: numbers by value, `item 2` before `item 10`."""
    values = as_numbers(pl.Series(words, dtype=pl.String)).values
    if not np.isnan(values).any():
        return [word for _, word in sorted(zip(values.tolist(), words, strict=True))]
    return sorted(words, key=lambda word: ([_part(part) for part in _DIGITS.split(word.casefold())], word))


def _part(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() and len(part) < 30 else (1, 0, part)


def counted(words: pl.Series) -> dict[str, int]:
    """Return how often each word comes, most frequent first, equal ones by alphabet; null is left out."""
    frame = words.drop_nulls().to_frame("word").group_by("word").len()
    frame = frame.sort(["len", "word"], descending=[True, False])
    return dict(zip(frame["word"].to_list(), frame["len"].to_list(), strict=True))


def index_of(words: pl.Series, levels: Sequence[str], *, first: int, unseen: int, missing: int) -> Array:
    """Return the index of every word, int64 [rows]: `first` + its position among the levels."""
    if not len(levels):
        return np.where(words.is_null().to_numpy(), missing, unseen).astype(np.int64)
    found = words.replace_strict(
        levels, range(first, first + len(levels)), default=unseen, return_dtype=pl.Int64
    ).to_numpy()
    return np.where(words.is_null().to_numpy(), missing, found)


def fit_classes(name: str, counts: dict[str, int], classes: Sequence[str], *, limit: int) -> LearnedClasses:
    """Return the classes of a target.

    Raises:
        DataError: no class, only one, or more than `limit`.
    """
    where = f"target '{name}'"
    present = [word for word in classes if counts.get(word)]
    if not present:
        raise DataError("no training row has a class", where=where, fix="give a target that is not empty")
    if len(present) == 1:
        raise DataError(
            f"there is only one class, '{present[0]}', in the training rows",
            where=where,
            fix="give a target with at least two classes",
        )
    if len(classes) > limit:
        raise DataError(
            f"there are {len(classes):,} classes in {sum(counts.values()):,} training rows",
            where=where,
            fix=f"name another column, or set max_levels above {limit:,} if they are meant",
        )
    return LearnedClasses(classes=tuple(classes), counts=tuple(counts.get(word, 0) for word in classes))


def encode_classes(
    values: pl.Series, words: pl.Series, classes: Sequence[str]
) -> tuple[Array, dict[int, str]]:
    """Return class indices int64 [rows], -1 where there is none, and why."""
    index = index_of(words, classes, first=0, unseen=-2, missing=-1)
    broken = reasons(values, index == -1, "the target is missing")
    broken |= reasons(values, index == -2, "the class {} was not seen in training")
    return np.maximum(index, -1), broken


def given_order(values: Sequence[Any]) -> list[str]:
    """Return the levels a user lists, written as the column's values are."""
    return as_words(pl.Series([str(value) for value in values], dtype=pl.String)).drop_nulls().to_list()
