"""A table in a Parquet file, read piece by piece: memory stays bounded whatever the number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.fingerprint import file_fingerprint
from trainwright.data.origin import Origin
from trainwright.data.plain import conform, plain, plain_schema
from trainwright.data.table import CHUNK_ROWS, Part, Quarantined, checked_columns
from trainwright.foundation.errors import DataError

_BUFFER_BYTES = 1 << 20
"""A column of a row group is streamed through this much memory, so that huge row groups do no harm."""
_MOST_CELLS, _FEWEST_ROWS = 2_000_000, 1_024
"""Values that are read at a time: of a wide table fewer rows, but so many at least."""


class ParquetTable:
    """A Parquet file as a `Table`.

    Args:
        path: the file.
        name: what messages call the source.
        root: folder or URL that relative media paths start from.
        columns: names of the columns where they differ from those in the file, in the file's order.
        schema: types of the columns where the file's plain types are not meant.
        fingerprint: hash of the content, where it is known; of the file otherwise.
        part, quarantined, notes, origin: as for `FrameTable`.

    Raises:
        DataError: the file is no whole Parquet file.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        root: str | None = None,
        columns: Sequence[str] | None = None,
        fingerprint: str | None = None,
        part: Part | None = None,
        quarantined: Sequence[Quarantined] = (),
        notes: Sequence[str] = (),
        origin: Origin | None = None,
    ) -> None:
        import pyarrow as pa

        self.name = name or str(path)
        self.root = root
        self.part = part
        self.quarantined = quarantined
        self.notes = notes
        self._path = path
        self._fingerprint = fingerprint
        self._origin = origin or Origin(self.name)
        with opened_parquet(path, self.name) as file:
            self._metadata = file.metadata
            stored = file.schema_arrow
            # Not `empty_table`, for which pyarrow imports pandas where it is installed: half a second.
            empty = pl.from_arrow(pa.Table.from_batches([], schema=stored))
            assert isinstance(empty, pl.DataFrame)
            self._stored = stored.names
            names = list(columns) if columns is not None else self._stored
            self._in_file = dict(zip(names, self._stored, strict=True))
            self.schema: Mapping[str, pl.DataType] = dict(
                zip(names, plain_schema(empty.schema).values(), strict=True)
            )
        groups = range(self._metadata.num_row_groups)
        sizes = [self._metadata.row_group(group).num_rows for group in groups]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.num_rows = int(self._starts[-1])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content."""
        return self._fingerprint or file_fingerprint(self._path)

    def chunks(
        self, columns: Sequence[str] | None = None, *, size: int = CHUNK_ROWS
    ) -> Iterator[pl.DataFrame]:
        """Yield all rows in order, at most `size` at a time."""
        import pyarrow as pa

        wanted = checked_columns(self, columns)
        yield from self._read(wanted, range(len(self._starts) - 1), size)
        pa.default_memory_pool().release_unused()  # it would keep as much as the widest batch took

    def column(self, name: str, rows: np.ndarray[Any, Any] | None = None) -> pl.Series:
        """Return one column whole, or its values at ascending `rows`."""
        wanted = checked_columns(self, [name])
        if rows is None:
            frames = list(self._read(wanted, range(len(self._starts) - 1), CHUNK_ROWS))
        else:
            frames = list(self._at(wanted, rows))
        if not frames:
            return pl.Series(name, [], dtype=self.schema[name])
        return pl.concat(frames).to_series()

    def take(self, rows: np.ndarray[Any, Any], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the rows at the given indices, in that order."""
        wanted = checked_columns(self, columns)
        ascending, places = np.unique(rows, return_inverse=True)
        frames = list(self._at(wanted, ascending))
        if not frames:
            return pl.DataFrame(schema={name: self.schema[name] for name in wanted})
        return pl.concat(frames)[places]

    def where(self, row: int) -> str:
        """Return how a person finds a row again."""
        return self._origin.where(row)

    def _at(self, columns: list[str], rows: np.ndarray[Any, Any]) -> Iterator[pl.DataFrame]:
        """Yield the rows at ascending positions; only row groups that hold some are read."""
        cuts = np.searchsorted(rows, self._starts)
        for group in np.flatnonzero(np.diff(cuts)).tolist():
            mine = rows[cuts[group] : cuts[group + 1]] - self._starts[group]
            start = 0
            for frame in self._read(columns, [group], CHUNK_ROWS):
                here = mine[np.searchsorted(mine, start) : np.searchsorted(mine, start + len(frame))]
                if len(here) > 0:
                    yield frame[here - start]
                start += len(frame)
                if start > mine[-1]:
                    break

    def _read(self, columns: list[str], groups: Sequence[int], size: int) -> Iterator[pl.DataFrame]:
        import pyarrow as pa

        schema = {name: self.schema[name] for name in columns}
        size = min(size, max(_FEWEST_ROWS, _MOST_CELLS // max(len(columns), 1)))
        with opened_parquet(self._path, self.name, self._metadata) as file:
            batches = file.iter_batches(
                size, row_groups=list(groups), columns=[self._in_file[name] for name in columns]
            )
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    raise _damaged(self.name) from error
                if batch is None:
                    return
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                frame = frame[[self._in_file[name] for name in columns]]
                frame.columns = columns
                yield conform(plain(frame), schema)


def opened_parquet(path: Path, name: str, metadata: Any = None) -> Any:
    """Return an open `pyarrow.parquet.ParquetFile` that streams within row groups.

    Raises:
        DataError: the file is no whole Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, metadata=metadata, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name) from error


def _damaged(name: str) -> DataError:
    return DataError(
        "this is not a whole Parquet file: it is cut off or damaged",
        where=name,
        fix="copy or download it again",
    )
