"""What the values of one column look like: the figures that type inference goes by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from trainwright.data.values import is_missing_word, read_numbers

_LOOKED_AT = 2_000
"""Values that slow patterns are tried on: shares within about two percent."""

NEARLY_UNIQUE = 0.95
"""Share of different values from which a column tells nothing but which row it is."""
FEW_ROWS = 20
"""Below this, that every value is different says little."""

_IDEOGRAPHS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]"
_NAME_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")


@dataclass(frozen=True)
class Guess:
    """What a column seems to be.

    Attributes:
        type: feature type, or why it is left out ("id-like", "constant", "unknown").
        reason: what in the values says so.
        alternatives: (type, reason) of what else it could be.
        options: options of the feature type.
    """

    type: str
    reason: str
    alternatives: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Profile:
    """A sample of one column.

    Attributes:
        name: column.
        values: those that are not missing; strings stripped.
        rows: how many rows were looked at.
        counted: different values as a share of all, where the whole column was counted.
    """

    name: str
    values: pl.Series
    rows: int
    counted: float | None = None

    @classmethod
    def of(cls, values: pl.Series) -> Profile:
        """Return the profile of a sample."""
        return cls(values.name, _known(values), len(values))

    def with_values(self, others: pl.Series) -> Profile:
        """Return the profile with values that the sample had missed."""
        return Profile(self.name, pl.concat([self.values, others]), self.rows + len(others), self.counted)

    def with_distinct(self, share: float) -> Profile:
        """Return the profile with the share of different values of the whole column."""
        return Profile(self.name, self.values, self.rows, share)

    @property
    def is_text(self) -> bool:
        """Values are strings."""
        return self.values.dtype == pl.String

    @property
    def count(self) -> int:
        """Values that are not missing."""
        return len(self.values)

    @property
    def missing(self) -> float:
        """Share of the rows where the value is missing."""
        return 1 - self.count / self.rows if self.rows else 0.0

    @cached_property
    def num_unique(self) -> int:
        """Different values; compared as text where they are nested."""
        return int(self._comparable.n_unique()) if self.count else 0

    @property
    def distinct(self) -> float:
        """Different values as a share of all."""
        return self.num_unique / max(self.count, 1) if self.counted is None else self.counted

    @cached_property
    def _comparable(self) -> pl.Series:
        return self.values.to_frame().hash_rows() if self.values.dtype.is_nested() else self.values

    @cached_property
    def examples(self) -> tuple[str, ...]:
        """Up to three different values as text, in the order they come."""
        if isinstance(self.values.dtype, pl.Binary | pl.Struct | pl.Array):
            return ()
        found = dict.fromkeys(_short(value) for value in self.values.head(20).to_list())
        return tuple(found)[:3]

    @cached_property
    def words_of_name(self) -> tuple[str, ...]:
        """Words that the column's name is made of, in lower case: PassengerId → passenger, id."""
        return tuple(part.lower() for part in _NAME_PARTS.findall(self.name))

    # Numbers.

    @cached_property
    def numbers(self) -> pl.Series:
        """Values as float64; null where one is no number."""
        return read_numbers(self.values) if self.is_text else self.values.cast(pl.Float64, strict=False)

    @cached_property
    def amounts(self) -> pl.Series:
        """Text values that are numbers only as people write them, such as `$1,200`."""
        if not self.is_text:
            return self.values.clear()
        by_people = self.values.cast(pl.Float64, strict=False).is_null() & self.numbers.is_not_null()
        return self.values.filter(by_people)

    @cached_property
    def numeric(self) -> float:
        """Share of the values that are numbers."""
        return 1 - self.numbers.null_count() / max(self.count, 1)

    @cached_property
    def strays(self) -> pl.Series:
        """Values that are no numbers."""
        return self.values.filter(self.numbers.is_null())

    @cached_property
    def levels(self) -> list[float]:
        """Different numbers in ascending order, if there are at most 1,000; else empty."""
        unique = self.numbers.drop_nulls().unique().sort()
        return unique.to_list() if len(unique) <= 1_000 else []

    @cached_property
    def whole(self) -> bool:
        """All numbers are whole."""
        numbers = self.numbers.drop_nulls()
        return bool(numbers.is_finite().all() and (numbers == numbers.round(0)).all())

    def share_between(self, least: float, most: float) -> float:
        """Return the share of the numbers that lie between two bounds."""
        return float(self.numbers.is_between(least, most).mean() or 0.0)  # type: ignore[arg-type]

    @cached_property
    def consecutive(self) -> bool:
        """Every number is the one before plus 1, as row numbers are."""
        return self.whole and self.count > 1 and bool((self.numbers.diff().drop_nulls() == 1).all())

    @cached_property
    def leading_zeros(self) -> bool:
        """Some values start with a 0 that a number would not have, as codes do."""
        return self.values.dtype == pl.String and self.share_matching(r"^0\d+$") > 0.005

    # Text.

    @cached_property
    def few(self) -> pl.Series:
        """A few thousand values, evenly spread."""
        return self.values.gather_every(max(1, -(-self.count // _LOOKED_AT)))

    def share_matching(self, pattern: str) -> float:
        """Return the share of text values that a regular expression finds something in."""
        return float(self.few.str.contains(pattern).mean() or 0.0)  # type: ignore[arg-type]

    def share_with(self, part: str) -> float:
        """Return the share of text values that `part` occurs in."""
        return float(self.few.str.contains(part, literal=True).mean() or 0.0)  # type: ignore[arg-type]

    @cached_property
    def length(self) -> float:
        """Mean number of characters."""
        return float(self.few.str.len_chars().mean() or 0.0)  # type: ignore[arg-type]

    @cached_property
    def words(self) -> float:
        """Mean number of words; two ideographs count as one, for languages without spaces."""
        spaced = self.few.str.count_matches(r"\S+")
        ideographs = self.few.str.count_matches(_IDEOGRAPHS) / 2
        longer = pl.select(pl.max_horizontal(spaced.cast(pl.Float64), ideographs)).to_series()
        return float(longer.mean() or 0.0)  # type: ignore[arg-type]


def _known(values: pl.Series) -> pl.Series:
    """Return the values that are not missing; strings without blanks around them."""
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        values = values.str.strip_chars()
        values = values.filter(~is_missing_word(values).fill_null(True))
    elif values.dtype.is_float():
        values = values.fill_nan(None)
    return values.drop_nulls()


def quoted(values: pl.Series) -> str:
    """Return the first of some text values between quotation marks."""
    return f'"{_short(values[0], 30)}"'


def _short(value: object, limit: int = 40) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
