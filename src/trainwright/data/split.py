"""The split: which rows are learned from, which choose the model and which judge it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from trainwright.data.schema import Schema
from trainwright.data.splits.drawing import Array, Drawing, class_target
from trainwright.data.splits.parts import PARTS
from trainwright.data.splits.ways import SPLITTERS
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError, did_you_mean
from trainwright.recipe.recipe import SplitSettings

__all__ = ["PARTS", "Split", "make_split"]


@dataclass(frozen=True)
class Split:
    """Rows of each part.

    Attributes:
        indices: part → ascending row numbers, int64; every usable row is in exactly one part.
        method: how rows were shared out: random, stratified, group, time, column or given.
        column: the column that decided, if one did.
        notes: what was decided or noticed, one sentence each.
    """

    indices: Mapping[str, Array]
    method: str
    column: str | None
    notes: tuple[str, ...]

    def without(self, rows: Array) -> Split:
        """Return the split after taking out rows that cannot be used."""
        kept = {part: mine[~np.isin(mine, rows)] for part, mine in self.indices.items()}
        return replace(self, indices=kept)


def make_split(
    table: Table,
    schema: Schema,
    settings: SplitSettings,
    seed: int,
    *,
    usable: Array | None = None,
) -> Split:
    """Share rows out between training, validation and test.

    "auto" takes the parts that the source gives (files, folders), else those that a column called "split"
    names, else parts with the same share of every class, else random ones. Rows with equal inputs never
    straddle parts that are drawn; in parts that are given, and in time, they are counted and left where
    they are. Where the source gives no validation (or no test) part, it is drawn from training.

    Args:
        table: the rows.
        schema: what its columns are.
        settings: what the user asked for.
        seed: the run's seed.
        usable: bool [rows], rows that may be in a part; all of them without.

    Raises:
        DataError: a column is missing or unfit, or a part would be empty.
    """
    rows = np.arange(table.num_rows) if usable is None else np.flatnonzero(usable)
    method, column = _method(table, schema, settings)
    drawing = Drawing(table, schema, settings, seed, rows)
    part = SPLITTERS[method](drawing, column)
    indices = {name: rows[part == index] for index, name in enumerate(PARTS)}
    for name, mine in indices.items():
        if not len(mine) and (name != "test" or settings.shares()[1] > 0):
            raise DataError(
                f"no row is left for {name}", where=table.name, fix="give more rows or another split"
            )
    return Split(indices, method, column, tuple(drawing.notes))


def _method(table: Table, schema: Schema, settings: SplitSettings) -> tuple[str, str | None]:
    """Return the method, "auto" decided, and the column it goes by."""
    method: str = settings.method
    column = settings.column
    if column is not None and column not in table.schema:
        fix = did_you_mean(column, table.schema)
        raise DataError(f"there is no column '{column}' to split by", where=table.name, fix=fix)
    if method == "auto":
        method = _best_method(table, schema, column)
    if method == "given" and table.part is None:
        fix = "name files for validation and test, or choose another split.method"
        raise DataError("the source gives no parts", where=table.name, fix=fix)
    if method == "stratified":
        column = class_target(schema)
        if column is None:
            fix = "set split.method to random"
            raise DataError("a stratified split needs a target with classes", where=table.name, fix=fix)
    if method == "column" and column is None:
        column = schema.split_column
        if column is None:
            fix = "name it as split.column in the recipe"
            raise DataError("no column says which part a row belongs to", where=table.name, fix=fix)
    return method, None if method in {"given", "random"} else column


def _best_method(table: Table, schema: Schema, column: str | None) -> str:
    if column is not None:
        return "column"
    if table.part is not None:
        return "given"
    if schema.split_column is not None:
        return "column"
    return "stratified" if class_target(schema) is not None else "random"
