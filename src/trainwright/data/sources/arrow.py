"""Arrow IPC files and streams; Feather is the same format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from trainwright.data.collect import Reading, collect, file_key
from trainwright.data.plain import column_names
from trainwright.data.source import SOURCES, Memory, Place, Source, begins
from trainwright.data.table import CHUNK_ROWS, Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

_FILE, _STREAM, _FEATHER_1 = b"ARROW1", b"\xff\xff\xff\xff", b"FEA1"


def open_arrow(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open an Arrow file or stream.

    Raises:
        DataError: it is cut off or damaged, has no row, or two columns share a name.
    """
    reading = Reading(place)
    return collect(reading, _frames(reading), key=file_key(place, "arrow"), memory=memory)


def _frames(reading: Reading) -> Iterator[pl.DataFrame]:
    import pyarrow as pa

    place = reading.place
    try:
        with place.path.open("rb") as stream:
            head = stream.read(8)
            if head.startswith(_FEATHER_1):
                raise DataError(
                    "Feather version 1 is no longer read",
                    where=place.name,
                    fix="write it as Arrow or Parquet",
                )
            stream.seek(0)
            batches = _batches(stream, is_file=head.startswith(_FILE))
            names: list[str] | None = None
            for batch in batches:
                if names is None:
                    names = column_names(batch.schema.names, where=place.name, notes=reading.notes)
                for start in range(0, batch.num_rows, CHUNK_ROWS):
                    piece = batch.slice(start, CHUNK_ROWS).rename_columns(names)
                    frame = pl.from_arrow(piece)
                    assert isinstance(frame, pl.DataFrame)
                    yield frame
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "this is not a whole Arrow file: it is cut off or damaged",
            where=place.name,
            fix="copy or write it again",
        ) from error


def _batches(stream: Any, *, is_file: bool) -> Iterator[Any]:
    from pyarrow import ipc

    if not is_file:
        yield from ipc.open_stream(stream)
        return
    with ipc.open_file(stream) as file:
        for index in range(file.num_record_batches):
            yield file.get_batch(index)


SOURCES.register("arrow")(
    Source(
        open_arrow,
        suffixes=(".arrow", ".feather", ".ipc", ".arrows"),
        told_by=begins(_FILE, _FEATHER_1),
        called="an Arrow file",
    )
)
