"""Categories: a level's index, with one for missing values and one that rare and unseen levels share."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from trainwright.data.values import as_words
from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions, Ragged
from trainwright.features.learned import LearnedClasses, LearnedFeature, LearnedInput
from trainwright.features.levels import (
    FIRST,
    MISSING,
    UNSEEN,
    counted,
    encode_classes,
    fit_classes,
    index_of,
    natural_order,
)

OptionsModel: TypeAlias = type[FeatureOptions]

RARE = "(rare)"
"""What the index of rare and unseen levels decodes to."""


class CategoryOptions(FeatureOptions):
    """Options of a category."""

    min_count: int | None = Field(
        None,
        ge=1,
        description="Training rows a level needs for an index of its own; 2, and up to 10 for many rows.",
    )
    max_levels: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Levels at most, the most frequent ones; for a target, classes at most.",
    )


class LearnedCategory(LearnedInput):
    """What a category learned as an input: its levels, most frequent first; the first has index 2."""

    levels: tuple[str, ...]

    @field_validator("levels")
    @classmethod
    def _different(cls, levels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(levels)) != len(levels):
            raise ValueError("levels must differ")
        return levels


@FEATURES.register("category")
class CategoryFeature(LearnedFeature):
    """A category → index [rows, 1]: 0 missing, 1 rare or unseen, 2… the levels."""

    type = "category"
    modality = "table"
    Options: ClassVar[OptionsModel] = CategoryOptions
    Input = LearnedCategory
    Target = LearnedClasses

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn the levels."""
        counts = counted(as_words(values))
        # A level of a few rows among many has too little to learn an embedding from.
        least = self.options.min_count or min(max(2, len(values) // 10_000), 10)
        levels = [word for word, count in counts.items() if count >= least][: self.options.max_levels]
        pooled = len(counts) - len(levels)
        note = f"rare levels that share one index: {pooled:,} of {len(counts):,}"
        self.learned_ = LearnedCategory(levels=tuple(levels), notes=(note,) if pooled else ())

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "index"."""
        index = index_of(as_words(values), self.learned_.levels, first=FIRST, unseen=UNSEEN, missing=MISSING)
        rare = int((index == UNSEEN).sum())
        return Encoded(
            {"index": index[:, None].astype(np.int32)}, counts={"rare or unseen levels": rare} if rare else {}
        )

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return levels as strings; rare and unseen ones are `(rare)`."""
        index = encoded.arrays["index"]
        assert not isinstance(index, Ragged)
        words = pl.Series(self.name, [None, RARE, *self.learned_.levels], dtype=pl.String)
        return words.gather(index[:, 0])

    def spec(self) -> dict[str, Any]:
        """Return {"dense": 0, "index": [cardinality]}."""
        return {"dense": 0, "index": [FIRST + len(self.learned_.levels)]}

    def fit_target(self, values: pl.Series, context: Context) -> None:
        """Learn the classes: all levels, sorted as numbers where they are numbers.

        Raises:
            DataError: fewer than two classes, or more than `max_levels`.
        """
        counts = counted(as_words(values))
        self.learned_ = fit_classes(
            self.name, counts, natural_order(list(counts)), limit=self.options.max_levels
        )

    def encode_target(self, values: pl.Series) -> tuple[Array, dict[int, str]]:
        """Return class indices int64 [rows], -1 where there is none, with the reasons."""
        return encode_classes(values, as_words(values), self.learned_.classes)

    def target_spec(self) -> dict[str, Any]:
        """Return {"classes": names in order, "counts": training rows of each}."""
        return {"classes": list(self.learned_.classes), "counts": list(self.learned_.counts)}
