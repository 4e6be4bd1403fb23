"""A table: rows from any source, read in chunks, with the rows that reading set aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.foundation.errors import DataError, did_you_mean

Part = npt.NDArray[np.int8]

CHUNK_ROWS = 65_536
"""Rows in memory at a time when a whole table is passed over."""


@dataclass(frozen=True)
class Quarantined:
    """A row set aside, so that nothing is dropped unsaid.

    Attributes:
        source: file the row came from.
        position: line number (text files, from 1) or row number (from 0) in that source.
        reason: why, in words that a person can act on.
        column: the column at fault, where there is one.
        row: row index in the table; None when the row never got as far.
    """

    source: str
    position: int | None
    reason: str
    column: str | None = None
    row: int | None = None


class Table(Protocol):
    """Rows and columns from one source.

    Attributes:
        name: what messages call the source: a path, a URL or "DataFrame".
        schema: column name → polars type as stored; text formats give strings throughout, because types
            are inferred from values by `data.infer`, not by a reader.
        num_rows: number of rows.
        root: folder (or fsspec URL) that relative media paths start from; None for frames in memory.
        fingerprint: hash of the content; equal content gives an equal fingerprint.
        part: per row 0 (training), 1 (validation) or 2 (test), int8 [rows], where the source says so
            (folders, given files); else None.
        quarantined: rows that could not be read.
        notes: what the reader decided or noticed (delimiter, encoding), one sentence each.
    """

    name: str
    schema: Mapping[str, pl.DataType]
    num_rows: int
    root: str | None
    part: Part | None
    quarantined: Sequence[Quarantined]
    notes: Sequence[str]

    @property
    def fingerprint(self) -> str:
        """Hash of the content; made when it is first asked for."""
        ...

    def chunks(
        self, columns: Sequence[str] | None = None, *, size: int = CHUNK_ROWS
    ) -> Iterator[pl.DataFrame]:
        """Yield all rows in order, at most `size` at a time."""
        ...

    def column(self, name: str, rows: np.ndarray[Any, Any] | None = None) -> pl.Series:
        """Return one column whole, or its values at ascending `rows`."""
        ...

    def take(self, rows: np.ndarray[Any, Any], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the rows at the given indices, in that order."""
        ...

    def where(self, row: int) -> str:
        """Return how a person finds a row again: `reviews.csv line 17`."""
        ...


def checked_columns(table: Table, columns: Sequence[str] | None) -> list[str]:
    """Return the columns asked for, all of them for None.

    Raises:
        DataError: the table has no such column.
    """
    if columns is None:
        return list(table.schema)
    for name in columns:
        if name not in table.schema:
            raise DataError(
                f"there is no column '{name}'", where=table.name, fix=did_you_mean(name, table.schema)
            )
    return list(columns)
