"""Several tables of the same columns as one: the files of a glob, or test rows in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.plain import common_schema, conform
from trainwright.data.table import CHUNK_ROWS, Part, Quarantined, Table, checked_columns
from trainwright.foundation.errors import DataError, nearest
from trainwright.foundation.hashing import json_hash


class JoinedTable:
    """Tables one behind another; columns stand in the order of the first.

    Args:
        tables: at least one, in order.
        name: what messages call them together; the first one's name by default.
        parts: part of each table's rows, where that is given; None takes a table's own.
        notes: sentences to add to those of the tables.

    Raises:
        DataError: a table lacks a column of the first.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        *,
        name: str | None = None,
        parts: Sequence[int | None] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        first = tables[0]
        extra: list[str] = []
        for table in tables[1:]:
            _check_columns(first, table)
            more = [column for column in table.schema if column not in first.schema]
            if more:
                named = ", ".join(f"'{column}'" for column in more[:5])
                extra.append(f"Columns that only {table.name} has are left out: {named}.")
        self._tables = tables
        self.name = name or first.name
        self.root = first.root
        merged = common_schema([table.schema for table in tables])
        self.schema: Mapping[str, pl.DataType] = {column: merged[column] for column in first.schema}
        self._starts = np.cumsum([0, *(table.num_rows for table in tables)])
        self.num_rows = int(self._starts[-1])
        self.part = _parts(tables, parts or [None] * len(tables))
        self.quarantined: Sequence[Quarantined] = [row for table in tables for row in table.quarantined]
        self.notes: Sequence[str] = list(
            dict.fromkeys([*(note for table in tables for note in table.notes), *extra, *notes])
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the tables' fingerprints."""
        return json_hash([table.fingerprint for table in self._tables])

    def chunks(
        self, columns: Sequence[str] | None = None, *, size: int = CHUNK_ROWS
    ) -> Iterator[pl.DataFrame]:
        """Yield all rows in order, at most `size` at a time; small tables share a chunk."""
        wanted = checked_columns(self, columns)
        held: list[pl.DataFrame] = []
        num_held = 0
        for table in self._tables:
            for frame in table.chunks(wanted, size=size):
                if num_held + len(frame) > size:
                    yield pl.concat(held)
                    held, num_held = [], 0
                held.append(self._conform(frame))
                num_held += len(frame)
        if held:
            yield pl.concat(held)

    def column(self, name: str, rows: np.ndarray[Any, Any] | None = None) -> pl.Series:
        """Return one column whole, or its values at ascending `rows`."""
        wanted = checked_columns(self, [name])
        if rows is None:
            series = [table.column(name) for table in self._tables]
        else:
            series = [self._tables[table].column(name, mine) for table, mine in self._shares(rows)]
        if not series:
            return pl.Series(name, [], dtype=self.schema[name])
        return pl.concat([self._conform(one.to_frame()).get_column(wanted[0]) for one in series])

    def take(self, rows: np.ndarray[Any, Any], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the rows at the given indices, in that order."""
        wanted = checked_columns(self, columns)
        ascending, places = np.unique(rows, return_inverse=True)
        frames = [
            self._conform(self._tables[table].take(mine, wanted)) for table, mine in self._shares(ascending)
        ]
        if not frames:
            return pl.DataFrame(schema={name: self.schema[name] for name in wanted})
        return pl.concat(frames)[places]

    def where(self, row: int) -> str:
        """Return how a person finds a row again."""
        table = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._tables[table].where(row - int(self._starts[table]))

    def _conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        return conform(frame, {name: self.schema[name] for name in frame.columns})

    def _shares(self, rows: np.ndarray[Any, Any]) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        """Yield (table, its own rows) for ascending rows."""
        cuts = np.searchsorted(rows, self._starts)
        for table in np.flatnonzero(np.diff(cuts)).tolist():
            yield table, rows[cuts[table] : cuts[table + 1]] - self._starts[table]


def _check_columns(first: Table, table: Table) -> None:
    missing = [column for column in first.schema if column not in table.schema]
    if not missing:
        return
    near = nearest(missing[0], [column for column in table.schema if column not in first.schema])
    raise DataError(
        f"there is no column '{missing[0]}', which {first.name} has",
        where=table.name,
        fix=f"rename its column '{near}'" if near else "give files that have the same columns",
    )


def _parts(tables: Sequence[Table], parts: Sequence[int | None]) -> Part | None:
    if all(part is None and table.part is None for table, part in zip(tables, parts, strict=True)):
        return None
    pieces = []
    for table, part in zip(tables, parts, strict=True):
        if part is None and table.part is not None:
            pieces.append(table.part)
        else:
            pieces.append(np.full(table.num_rows, part or 0, dtype=np.int8))
    return np.concatenate(pieces)
