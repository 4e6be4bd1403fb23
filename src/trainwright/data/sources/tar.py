"""Tar files of samples, as WebDataset writes them: one row for the files that share a stem."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

import polars as pl

from trainwright.data.collect import Reading, collect, file_key
from trainwright.data.plain import series_of
from trainwright.data.samples import read_samples
from trainwright.data.source import SOURCES, Memory, Place, Source
from trainwright.data.table import CHUNK_ROWS, Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

_CHUNK_BYTES = 64 << 20


def open_tar(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a tar file of samples.

    A column for each ending: media (`image`, `audio`) as bytes, `txt` and `cls` as text, and one for each
    member of `json`. Samples that cannot be read are set aside with their number.

    Raises:
        DataError: the file is cut off or damaged, or holds no sample.
    """
    reading = Reading(place, unit="row")
    return collect(reading, _frames(reading), key=file_key(place, "tar"), memory=memory)


def _frames(reading: Reading) -> Iterator[pl.DataFrame]:
    rows: list[dict[str, Any]] = []
    held = 0
    try:
        for number, (stem, sample, size) in enumerate(read_samples(reading.place.path)):
            if isinstance(sample, str):
                reading.set_aside(number, f"the sample '{stem}' cannot be read: {sample}")
                continue
            rows.append(sample)
            held += size
            if len(rows) >= CHUNK_ROWS or held >= _CHUNK_BYTES:
                yield _frame(rows)
                rows, held = [], 0
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            "the archive is cut off or damaged", where=reading.place.name, fix="copy or download it again"
        ) from error
    if rows:
        yield _frame(rows)


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([series_of(name, [row.get(name) for row in rows]) for name in names])


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


SOURCES.register("tar")(Source(open_tar, suffixes=(".tar",), told_by=_is_tar, called="a tar file"))
