"""A table in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.fingerprint import frame_fingerprint
from trainwright.data.origin import Origin
from trainwright.data.plain import plain
from trainwright.data.table import CHUNK_ROWS, Part, Quarantined, checked_columns


class FrameTable:
    """A polars frame as a `Table`; its columns are put into plain types.

    Args:
        frame: the rows.
        name: what messages call the source.
        root: folder or URL that relative media paths start from.
        part: per row 0 (training), 1 (validation) or 2 (test), int8 [rows].
        quarantined: rows that could not be read.
        notes: what the reader noticed.
        origin: how rows are numbered in the source; from 0 by default.
        named_by: column whose value finds a row again better than a number: the path of a file.
        salt: hash of content that the rows only point to, such as media files.

    Raises:
        DataError: a column holds Python objects.
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        *,
        name: str = "DataFrame",
        root: str | None = None,
        part: Part | None = None,
        quarantined: Sequence[Quarantined] = (),
        notes: Sequence[str] = (),
        origin: Origin | None = None,
        named_by: str | None = None,
        salt: str = "",
    ) -> None:
        self._frame = plain(frame)
        self.name = name
        self.root = root
        self.part = part
        self.quarantined = quarantined
        self.notes = notes
        self.schema: Mapping[str, pl.DataType] = dict(self._frame.schema)
        self.num_rows = len(frame)
        self._origin = origin or Origin(name)
        self._named_by = named_by
        self._salt = salt

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the values."""
        return frame_fingerprint(self._frame) + self._salt

    def chunks(
        self, columns: Sequence[str] | None = None, *, size: int = CHUNK_ROWS
    ) -> Iterator[pl.DataFrame]:
        """Yield all rows in order, at most `size` at a time."""
        yield from self._frame[checked_columns(self, columns)].iter_slices(size)

    def column(self, name: str, rows: np.ndarray[Any, Any] | None = None) -> pl.Series:
        """Return one column whole, or its values at ascending `rows`."""
        (name,) = checked_columns(self, [name])
        series = self._frame.get_column(name)
        return series if rows is None else series.gather(rows)

    def take(self, rows: np.ndarray[Any, Any], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the rows at the given indices, in that order."""
        return self._frame[checked_columns(self, columns)][rows]

    def where(self, row: int) -> str:
        """Return how a person finds a row again."""
        if self._named_by is not None:
            return f"{self.name.rstrip('/')}/{self._frame[row, self._named_by]}"
        return self._origin.where(row)
