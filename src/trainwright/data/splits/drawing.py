"""Drawing parts from rows: equal rows together, every class in every part, and notes of what was done."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.schema import Schema
from trainwright.data.splits.parts import PARTS
from trainwright.data.splits.repeats import (
    first_equal,
    first_of,
    first_of_numbers,
    kept_together,
    numbered,
)
from trainwright.data.splits.share_out import share_out
from trainwright.data.table import Table
from trainwright.data.values import as_words
from trainwright.foundation.random import numpy_stream
from trainwright.recipe.recipe import SplitSettings

Array = npt.NDArray[Any]

_CLASS_TYPES = ("category", "boolean", "ordinal")


def class_target(schema: Schema) -> str | None:
    """Return the first target that has classes."""
    return next((column.name for column in schema.of_role("target") if column.type in _CLASS_TYPES), None)


class Drawing:
    """A split in the making.

    Args:
        table: the rows.
        schema: what its columns are.
        settings: what the user asked for.
        seed: the run's seed.
        rows: usable rows, ascending; what follows speaks of them by position.

    Attributes:
        notes: what was decided or noticed, one sentence each.
        generator: where draws come from.
    """

    def __init__(self, table: Table, schema: Schema, settings: SplitSettings, seed: int, rows: Array) -> None:
        self.table, self.schema, self.settings, self.rows = table, schema, settings, rows
        self.generator = numpy_stream(seed, "split")
        self.notes: list[str] = []
        self._first: Array | None = None

    def say(self, what: str) -> None:
        """Note what was decided or noticed."""
        self.notes.append(f"{what[0].upper()}{what[1:]}.")

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of validation and test."""
        return self.settings.shares()

    def values(self, column: str) -> pl.Series:
        """Return a column's values in the usable rows."""
        return self.table.column(column, self.rows)

    def classes(self, target: str) -> Array:
        """Return the class of each row, numbered by first row, int64 [rows]."""
        return numbered(first_of(as_words(self.values(target))))

    @property
    def first(self) -> Array:
        """For each row the first with equal inputs, int64 [rows]."""
        if self._first is None:
            inputs = [column.name for column in self.schema.of_role("input")]
            self._first = first_of_numbers(first_equal(self.table, inputs)[self.rows])
        return self._first

    def together(self, mine: Array) -> Array:
        """Return the group that each of some rows must stay in, numbered by first row.

        Rows with equal inputs are a group, unless they are so many that they are no copies, or the groups so
        few that they make no split.
        """
        group, copies, common = kept_together(first_of_numbers(self.first[mine]))
        if copies:
            self.say(
                f"{copies:,} rows repeat the inputs of another row and stay in one part with it: "
                "a model must not be judged by what it learned by heart"
            )
        if common:
            self.say(
                f"{common:,} rows have inputs that too many rows share, and may be in any part: "
                "equal inputs are the rule here, not copies"
            )
        return group

    def drawn(self, mine: Array, shares: tuple[float, float], target: str | None) -> Array:
        """Draw the parts of some rows, by class where there is a target, int8 [mine]."""
        group = self.together(mine)
        sizes = np.bincount(group)
        strata = np.zeros(len(sizes), dtype=np.int64)
        if target is not None:
            leader = np.flatnonzero(first_of_numbers(group) == np.arange(len(group)))
            strata = numbered(first_of_numbers(self.classes(target)[mine][leader]))
        part = share_out(sizes, strata, shares, self.generator)
        if all((part == index).any() for index, share in enumerate(shares, start=1) if share):
            if target is not None:
                self._say_rare(target, part[group], mine, shares)
        elif target is not None:
            self.say("the classes are too small to be shared out: the parts are random")
            part = share_out(sizes, np.zeros_like(strata), shares, self.generator)
        return part[group]

    def _say_rare(self, target: str, part: Array, mine: Array, shares: tuple[float, float]) -> None:
        """Say which classes are not in every part."""
        frame = pl.DataFrame({"class": as_words(self.values(target)).gather(mine), "part": part})
        parts = frame.drop_nulls().group_by("class").agg(pl.col("part").n_unique())
        rare = parts.filter(parts["part"] < 1 + sum(share > 0 for share in shares))["class"].sort().to_list()
        if rare:
            shown = ", ".join(f"'{name}'" for name in rare[:5]) + (", …" if len(rare) > 5 else "")
            self.say(f"{len(rare):,} classes of '{target}' have too few rows to be in every part: {shown}")

    def say_straddling(self, part: Array) -> None:
        """Say how many rows of the parts that judge have the inputs of a training row."""
        trained = np.zeros(len(part), dtype=bool)
        trained[self.first[part == 0]] = True
        for index in (1, 2):
            found = int(trained[self.first[part == index]].sum())
            if found:
                self.say(
                    f"{found:,} {PARTS[index]} rows have the same inputs as a training row, "
                    "so the result may flatter the model"
                )
