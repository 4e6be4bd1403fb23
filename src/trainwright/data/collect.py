"""Rows that arrive in frames become a table: in memory while they are few, else in a cached Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from trainwright.data.cache import prune
from trainwright.data.fingerprint import Fingerprint
from trainwright.data.frame_table import FrameTable
from trainwright.data.origin import Origin, Positions
from trainwright.data.parquet_table import ParquetTable
from trainwright.data.plain import Schema, common_schema, conform, plain
from trainwright.data.source import Memory, Place
from trainwright.data.table import CHUNK_ROWS, Quarantined, Table
from trainwright.foundation.errors import DataError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.leases import use
from trainwright.foundation.paths import cache_folder, whole_folder, write_json

if TYPE_CHECKING:
    import pyarrow as pa

_FORMAT = 2
"""Version of the cached tables; raised when reading changes."""

_VIEW_BYTES = 16
_GROUP_BYTES = 128 * 2**20
"""Rows that are whole documents fill a row group long before there are many of them."""

_MOST_SET_ASIDE = 1_000_000
"""Broken rows beyond this stop the reading: the source is not what it seems to be."""


@dataclass
class Reading:
    """What a reader notices while it yields frames.

    Attributes:
        place: what is read.
        notes: one sentence each.
        quarantined: rows set aside so far.
        unit, first, at, by: the numbering of rows, as in `Origin`; complete when the last frame is out.
    """

    place: Place
    notes: list[str] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    unit: Literal["line", "row"] = "row"
    first: int = 0
    at: Positions = field(default_factory=lambda: Origin("").at)
    by: Positions = field(default_factory=lambda: Origin("").by)

    def set_aside(self, position: int | None, reason: str) -> None:
        """Put a row that cannot be read into the quarantine.

        Raises:
            DataError: there are more than a million of them.
        """
        if len(self.quarantined) >= _MOST_SET_ASIDE:
            raise DataError(
                f"more than {_MOST_SET_ASIDE:,} rows cannot be read (the last: {reason})",
                where=self.place.name,
                fix="check the file's format",
            )
        self.quarantined.append(Quarantined(self.place.name, position, reason))

    @property
    def origin(self) -> Origin:
        """The numbering of rows."""
        return Origin(self.place.name, self.unit, self.first, self.at, self.by)


def file_key(place: Place, *settings: Any) -> str:
    """Return what names the cached table of a file: path, size, time of the last change and settings."""
    status = place.path.stat()
    return json_hash([_FORMAT, str(place.path.resolve()), status.st_size, status.st_mtime_ns, *settings])


def collect(reading: Reading, frames: Iterable[pl.DataFrame], *, key: str, memory: Memory) -> Table:
    """Return the table of all frames.

    Up to the memory that is left the rows stay there. Beyond, they are streamed once into a Parquet file
    of the user's cache, from which the next call with the same `key` reads at once.

    Args:
        reading: filled by whoever makes the frames.
        frames: chunks in order; types and columns may differ, the common ones are found.
        key: name in the cache.
        memory: what is left of it.

    Raises:
        DataError: there is no row.
    """
    folder = cache_folder("tables") / key
    if folder.exists():
        use(folder)
        if (folder / "table.json").exists():
            return _cached(folder, reading.place)
    held: list[pl.DataFrame] = []
    taken = 0
    arriving = iter(frames)
    for frame in arriving:
        held.append(plain_or_null(frame))
        taken += bytes_in_memory(frame)
        if taken > memory.left:
            return _spill(reading, held, arriving, folder)
    rows = _checked(reading, sum(map(len, held)))
    schema = common_schema([frame.schema for frame in held])
    whole = pl.concat([conform(frame, schema) for frame in held], rechunk=True)
    assert len(whole) == rows
    memory.take(taken)
    return FrameTable(
        whole,
        name=reading.place.name,
        root=reading.place.root,
        quarantined=reading.quarantined,
        notes=[*reading.place.notes, *reading.notes],
        origin=reading.origin,
    )


def bytes_in_memory(frame: pl.DataFrame) -> int:
    """Return about how much room a frame takes, strings' pointers counted too."""
    num_views = sum(kind in {pl.String, pl.Binary} for kind in frame.dtypes)
    return int(frame.estimated_size()) + _VIEW_BYTES * len(frame) * num_views


def plain_or_null(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame in plain types, but columns without a value still open to any type."""
    nulls = [name for name, kind in frame.schema.items() if kind == pl.Null]
    return plain(frame).with_columns(pl.Series(name, [None] * len(frame), dtype=pl.Null) for name in nulls)


def _checked(reading: Reading, rows: int) -> int:
    if rows == 0:
        broken = len(reading.quarantined)
        if broken:
            raise DataError(
                f"none of its {broken:,} rows can be read (the first: {reading.quarantined[0].reason})",
                where=reading.place.name,
                fix="mend the file",
            )
        raise DataError("there is a header but no row", where=reading.place.name, fix="give a file with rows")
    return rows


def _spill(
    reading: Reading, held: list[pl.DataFrame], arriving: Iterator[pl.DataFrame], folder: Path
) -> Table:
    """Write what is held and what still arrives into the cache."""
    use(folder)
    with whole_folder(folder) as scratch:
        schemas: list[Schema] = []
        pieces: list[Path] = []
        writer: _Writer | None = None

        def frames() -> Iterator[pl.DataFrame]:
            while held:
                yield held.pop(0)
            yield from map(plain_or_null, arriving)

        for frame in frames():
            if not schemas or dict(frame.schema) != dict(schemas[-1]):
                if writer is not None:
                    writer.close()
                schemas.append(dict(frame.schema))
                pieces.append(scratch / f"piece-{len(pieces)}.parquet")
                writer = _Writer(pieces[-1])
            assert writer is not None
            writer.write(frame)
        assert writer is not None
        writer.close()
        fingerprint = writer.fingerprint
        if len(pieces) == 1 and pl.Null not in schemas[0].values():
            pieces[0].rename(scratch / "table.parquet")
        else:
            fingerprint = _merge(pieces, schemas, scratch / "table.parquet")
        write_json(
            scratch / "table.json",
            {
                "fingerprint": fingerprint,
                "notes": reading.notes,
                "quarantined": [asdict(row) for row in reading.quarantined],
                "origin": reading.origin.to_json(),
            },
        )
    prune(folder)
    return _cached(folder, reading.place)


def _merge(pieces: list[Path], schemas: list[Schema], path: Path) -> str:
    """Write pieces of different types as one file of their common types."""
    types = common_schema(schemas)
    schema = {name: pl.String() if kind == pl.Null else kind for name, kind in types.items()}
    writer = _Writer(path)
    for piece, stored in zip(pieces, schemas, strict=True):
        filled = [name for name, kind in stored.items() if kind != pl.Null]
        for frame in ParquetTable(piece).chunks():
            writer.write(conform(frame[filled], schema))
        piece.unlink()
    writer.close()
    return writer.fingerprint


class _Writer:
    """Writes frames of one schema into a Parquet file, in row groups that are quick to pick rows from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._held: list[pl.DataFrame] = []
        self._num_held = self._bytes_held = 0
        self._fingerprint = Fingerprint()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint.hexdigest()

    def write(self, frame: pl.DataFrame) -> None:
        self._fingerprint.update(frame)
        self._held.append(frame)
        self._num_held += len(frame)
        self._bytes_held += bytes_in_memory(frame)
        if self._num_held >= CHUNK_ROWS or self._bytes_held >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow.parquet as pq

        table: pa.Table = pl.concat(self._held).to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, table.schema, compression="lz4")
        self._file.write_table(table, row_group_size=CHUNK_ROWS)
        self._held, self._num_held, self._bytes_held = [], 0, 0

    def close(self) -> None:
        if self._held:
            self._flush()
        self._file.close()


def _cached(folder: Path, place: Place) -> Table:
    folder.touch()  # the most recently used are kept longest
    meta = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    return ParquetTable(
        folder / "table.parquet",
        name=place.name,
        root=place.root,
        fingerprint=meta["fingerprint"],
        quarantined=[Quarantined(**row) for row in meta["quarantined"]],
        notes=[*place.notes, *meta["notes"]],
        origin=Origin.from_json(meta["origin"]),
    )
