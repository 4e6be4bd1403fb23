"""NumPy archives: arrays of one length become columns, and never a Python object."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import IO, Any

import numpy as np
import polars as pl

from trainwright.data.archive import check_zip
from trainwright.data.collect import Reading, collect, file_key
from trainwright.data.joined_table import JoinedTable
from trainwright.data.plain import column_names
from trainwright.data.source import SOURCES, Memory, Place, Source
from trainwright.data.splits.parts import PART_WORDS
from trainwright.data.table import CHUNK_ROWS, Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

_CHUNK_BYTES = 1 << 26

_WORDS = "|".join(word for word in PART_WORDS if word.isascii())
_PART = re.compile(rf"(?:(?P<before>{_WORDS})_(?P<rest>.+)|(?P<start>.+)_(?P<after>{_WORDS}))", re.IGNORECASE)

_KINDS = "biufMSU"
"""NumPy's letters for booleans, numbers, dates and strings."""


@dataclass(frozen=True)
class _Array:
    """One array of the archive.

    Attributes:
        key: its name.
        column: the name of its column.
        part: 0, 1, 2, or None where names say nothing of parts.
        shape: [rows, ...].
        dtype: type of the elements.
        fortran: stored column by column, so that it must be read whole.
    """

    key: str
    column: str
    part: int | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool


def open_npz(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a `.npz` archive.

    Arrays must have the same number of rows; those of two and more dimensions become columns of arrays
    ([rows, 28, 28] gives one 28 x 28 array a row). Names such as `train_images`, `test_images` or
    `x_train`, `x_test` give columns `images` or `x` and say which part the rows are for.

    Raises:
        DataError: the archive is damaged or too large, holds Python objects, or its arrays do not fit.
    """
    try:
        with zipfile.ZipFile(place.path) as archive:
            check_zip(archive, place.name)
            arrays = [_header(archive, name, place) for name in archive.namelist()]
    except DataError:  # which is a ValueError too
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError) as error:
        raise _damaged(place) from error
    arrays = _with_parts(arrays)
    tables: list[Table] = []
    parts = sorted({array.part for array in arrays}, key=lambda part: part or 0)
    for part in parts:
        mine = [array for array in arrays if array.part == part]
        _check_rows(mine, place)
        reading = Reading(place)
        key = file_key(place, "npz", part)
        tables.append(collect(reading, _frames(reading, mine), key=key, memory=memory))
    return tables[0] if parts == [None] else JoinedTable(tables, parts=parts)


def _header(archive: zipfile.ZipFile, name: str, place: Place) -> _Array:
    if not name.endswith(".npy"):
        raise DataError(f"'{name}' in it is not an array", where=place.name, fix="write it with numpy.savez")
    with archive.open(name) as stream:
        shape, fortran, dtype = _read_header(stream)
    key = name.removesuffix(".npy")
    if dtype.hasobject:
        raise DataError(
            f"the array '{key}' holds Python objects, which are never loaded",
            where=place.name,
            fix="save numbers or fixed-length strings instead",
        )
    if dtype.kind not in _KINDS or not shape:
        raise DataError(
            f"the array '{key}' of type {dtype} and shape {shape} cannot be a column",
            where=place.name,
            fix="save arrays of numbers or strings with one entry a row",
        )
    return _Array(key, key, None, tuple(shape), dtype, fortran and len(shape) > 1)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(stream)
    return header


def _with_parts(arrays: list[_Array]) -> list[_Array]:
    """Return the arrays with part and column told from their names, where all names do so."""
    matches = [_PART.fullmatch(array.key) for array in arrays]
    if not all(matches):
        return arrays
    named = []
    for array, match in zip(arrays, matches, strict=True):
        assert match is not None
        part = PART_WORDS[(match["before"] or match["after"]).lower()]
        named.append(replace(array, column=match["rest"] or match["start"], part=part))
    return named


def _check_rows(arrays: list[_Array], place: Place) -> None:
    if len({array.shape[0] for array in arrays}) > 1:
        rows = ", ".join(f"'{array.key}' {array.shape[0]}" for array in arrays)
        raise DataError(
            f"its arrays differ in the number of rows: {rows}",
            where=place.name,
            fix="save arrays with one entry a row",
        )


def _frames(reading: Reading, arrays: list[_Array]) -> Iterator[pl.DataFrame]:
    names = column_names([array.column for array in arrays], where=reading.place.name, notes=reading.notes)
    row_bytes = sum(array.dtype.itemsize * prod(array.shape[1:]) for array in arrays)
    size = max(1, min(CHUNK_ROWS, _CHUNK_BYTES // max(row_bytes, 1)))
    try:
        with zipfile.ZipFile(reading.place.path) as archive:
            readers = [_reader(archive, array) for array in arrays]
            for start in range(0, arrays[0].shape[0], size):
                rows = min(size, arrays[0].shape[0] - start)
                yield pl.DataFrame(
                    [_series(name, read(rows)) for name, read in zip(names, readers, strict=True)]
                )
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise _damaged(reading.place) from error


def _reader(archive: zipfile.ZipFile, array: _Array) -> Callable[[int], np.ndarray[Any, Any]]:
    """Return what gives the next rows of an array."""
    stream = archive.open(f"{array.key}.npy")
    if array.fortran:
        whole = np.lib.format.read_array(stream, allow_pickle=False)
        done = 0

        def read_whole(rows: int) -> np.ndarray[Any, Any]:
            nonlocal done
            done += rows
            return np.ascontiguousarray(whole[done - rows : done])

        return read_whole
    _read_header(stream)

    def read(rows: int) -> np.ndarray[Any, Any]:
        shape = (rows, *array.shape[1:])
        wanted = prod(shape) * array.dtype.itemsize
        data = stream.read(wanted)
        if len(data) < wanted:
            raise EOFError(array.key)
        return np.frombuffer(data, dtype=array.dtype).reshape(shape)

    return read


def _series(name: str, values: np.ndarray[Any, Any]) -> pl.Series:
    """Return a column; [rows, 1] is one value a row."""
    if values.ndim > 1 and prod(values.shape[1:]) == 1:
        values = values.reshape(-1)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    elif values.dtype.kind != "U":
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return pl.Series(name, values)


def _damaged(place: Place) -> DataError:
    return DataError(
        "this is not a whole NumPy archive",
        where=place.name,
        fix="write it again with numpy.savez",
    )


def _is_npz(head: bytes) -> bool:
    return head.startswith(b"PK\x03\x04") and b".npy" in head[:1024]


SOURCES.register("npz")(Source(open_npz, suffixes=(".npz",), told_by=_is_npz, called="a NumPy archive"))
