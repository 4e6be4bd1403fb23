"""Columns that say which part of the split a row belongs to, and the words that people use for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import polars as pl

from trainwright.data.inference.profile import Profile
from trainwright.data.table import Table
from trainwright.data.values import as_words
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import SplitSettings

PARTS = ("training", "validation", "test")
"""The parts of a split, in the order of `Table.part`."""

PART_WORDS = {
    **dict.fromkeys(("train", "training", "tr", "训练", "训练集"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development", "eval", "验证", "验证集"), 1),
    **dict.fromkeys(("test", "testing", "te", "holdout", "hold-out", "测试", "测试集"), 2),
}
"""What people call the parts, in lower case → index in `PARTS`."""

SAYS_PARTS = "says which rows are for training, validation and test: used for the split, not learned from"

_NAMES = ("split", "data_split", "dataset_split", "subset", "partition", "part", "fold")


def columns_of_split(
    table: Table, profiles: Mapping[str, Profile], split: SplitSettings | None
) -> dict[str, str]:
    """Return the columns that share rows out, each with why it is not learned from."""
    asked = split.method if split is not None else "auto"
    if split is not None and split.column is not None and split.column in table.schema:
        if asked == "group":
            return {split.column: "groups of the split: new rows come from groups that were never seen"}
        if asked in {"auto", "column"}:
            return {split.column: SAYS_PARTS}
    for name, profile in profiles.items():
        if may_name_parts(name) and profile.is_text and 2 <= profile.num_unique <= len(PART_WORDS):
            parts = part_of(profile.values)
            if parts.null_count() == 0 and (parts == 0).any() and (parts != 0).any():
                return {name: SAYS_PARTS}
    return {}


def may_name_parts(name: str) -> bool:
    """Return whether a column is called as one that says which part a row belongs to."""
    return name.lower() in _NAMES


def part_of(values: pl.Series) -> pl.Series:
    """Return the part that each value names, int8; null where it names none."""
    words = as_words(values).str.to_lowercase()
    return words.replace_strict(PART_WORDS, default=None, return_dtype=pl.Int8)


def named_parts(
    values: pl.Series, *, where: str, column: str, say: Callable[[str], None]
) -> npt.NDArray[Any]:
    """Return the part that each row names, int8 [rows]; training where it names none.

    Args:
        values: of the column.
        where: what the table is called.
        column: what the column is called.
        say: takes what is worth a note.

    Raises:
        DataError: a value names no part.
    """
    part = part_of(values)
    unknown = values.filter(part.is_null() & as_words(values).is_not_null())
    if len(unknown):
        raise DataError(
            f"'{unknown[0]}' names no part of a split",
            where=f"{where}, column '{column}'",
            fix="write train, validation or test, or choose another split.method",
        )
    say(f"the parts are those of the column '{column}'")
    if part.null_count():
        say(f"{part.null_count():,} rows name no part and are for training")
    return part.fill_null(0).to_numpy().copy()
