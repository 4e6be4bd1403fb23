"""Parquet: small files go to memory, large ones are read in place."""

from __future__ import annotations

import polars as pl

from trainwright.data.frame_table import FrameTable
from trainwright.data.parquet_table import ParquetTable, opened_parquet
from trainwright.data.plain import column_names
from trainwright.data.source import SOURCES, Memory, Place, Source, begins
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

_VIEW_BYTES = 16
"""What a string or a list takes in memory beside its content."""


def open_parquet(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a Parquet file.

    Raises:
        DataError: it is cut off or damaged, has no row, or two columns share a name.
    """
    notes = list(place.notes)
    with opened_parquet(place.path, place.name) as file:
        names = column_names(file.schema_arrow.names, where=place.name, notes=notes)
        metadata = file.metadata
    if metadata.num_rows == 0 or not names:
        raise DataError("the file has no row", where=place.name, fix="give a file with rows")
    table = ParquetTable(place.path, name=place.name, root=place.root, columns=names, notes=notes)
    if not memory.take(_bytes_in_memory(table, metadata)):
        return table
    frame = pl.concat(list(table.chunks()), rechunk=True)
    return FrameTable(frame, name=place.name, root=place.root, notes=notes)


def _bytes_in_memory(table: ParquetTable, metadata: object) -> int:
    """Return about how much room the rows take: runs and dictionaries are small only on disk."""
    num_groups, num_columns = metadata.num_row_groups, metadata.num_columns  # type: ignore[attr-defined]
    on_disk = sum(
        metadata.row_group(group).column(column).total_uncompressed_size  # type: ignore[attr-defined]
        for group in range(num_groups)
        for column in range(num_columns)
    )
    widths = (8 if kind.is_numeric() or kind.is_temporal() else _VIEW_BYTES for kind in table.schema.values())
    return max(on_disk, table.num_rows * sum(widths))


SOURCES.register("parquet")(
    Source(open_parquet, suffixes=(".parquet", ".pq"), told_by=begins(b"PAR1"), called="a Parquet file")
)
