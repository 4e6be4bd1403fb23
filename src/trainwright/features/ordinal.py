"""Ordinals: categories whose levels have an order, such as 1 to 5 stars or low, middle, high."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from trainwright.data.values import as_numbers, as_words
from trainwright.features.base import FEATURES, Context, Encoded
from trainwright.features.category import CategoryFeature, CategoryOptions, LearnedCategory, OptionsModel
from trainwright.features.learned import LearnedClasses
from trainwright.features.levels import counted, fit_classes, given_order, index_of, natural_order
from trainwright.foundation.errors import DataError


class OrdinalOptions(CategoryOptions):
    """Options of an ordinal."""

    order: tuple[str | int | float, ...] | None = Field(
        None, description="Levels from lowest to highest; numbers by value and words by alphabet without it."
    )


class LearnedOrdinal(LearnedCategory):
    """What an ordinal learned as an input: its levels, lowest first."""


@FEATURES.register("ordinal")
class OrdinalFeature(CategoryFeature):
    """An ordinal → index [rows, 1] as a category, and dense [rows, 1]: its place, from -1 (lowest) to 1.

    The place of a missing or unseen level is 0.
    """

    type = "ordinal"
    Options: ClassVar[OptionsModel] = OrdinalOptions
    Input = LearnedOrdinal
    Target = LearnedClasses

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn the levels and their order.

        Raises:
            DataError: `order` leaves a level out.
        """
        counts = counted(as_words(values))
        kept = set(list(counts)[: self.options.max_levels])
        order, notes = self._order(counts)
        self.learned_ = LearnedOrdinal(levels=tuple(word for word in order if word in kept), notes=notes)

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "index" and "dense"."""
        encoded = super().encode(values, context)
        last = max(len(self.learned_.levels) - 1, 1)
        place = index_of(as_words(values), self.learned_.levels, first=0, unseen=-1, missing=-1)
        dense = np.where(place < 0, 0.0, 2 * place / last - 1)
        encoded.arrays["dense"] = dense[:, None].astype(np.float32)
        return encoded

    def spec(self) -> dict[str, Any]:
        """Return {"dense": 1, "index": [cardinality], "bins": [None]}."""
        return {**super().spec(), "dense": 1, "bins": [None]}

    def fit_target(self, values: pl.Series, context: Context) -> None:
        """Learn the classes, lowest first.

        Raises:
            DataError: fewer than two classes, more than `max_levels`, or `order` leaves one out.
        """
        counts = counted(as_words(values))
        order, notes = self._order(counts)
        classes = fit_classes(self.name, counts, order, limit=self.options.max_levels)
        self.learned_ = classes.model_copy(update={"notes": notes})

    def _order(self, counts: dict[str, int]) -> tuple[list[str], tuple[str, ...]]:
        if self.options.order is None:
            order = natural_order(list(counts))
            if np.isnan(as_numbers(pl.Series(order, dtype=pl.String)).values).any():
                shown = ", ".join(order[:8]) + (", …" if len(order) > 8 else "")
                return order, (
                    f"the order of the levels was taken from the alphabet ({shown}); set order to change it",
                )
            return order, ()
        order = given_order(self.options.order)
        absent = [word for word in counts if word not in set(order)]
        if absent or len(set(order)) != len(order):
            what = (
                f"the order leaves out the level '{absent[0]}'" if absent else "the order names a level twice"
            )
            raise DataError(what, where=f"column '{self.name}'", fix="list every level once, lowest first")
        return order, ()
