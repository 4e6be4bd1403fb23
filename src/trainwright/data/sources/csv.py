"""CSV, TSV and other delimited text: every value is a string here, types are inferred from values later."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.collect import Reading, collect, file_key
from trainwright.data.csv_dialect import Dialect, lacks_header, sniff, stray_quotes
from trainwright.data.origin import Positions
from trainwright.data.plain import column_names
from trainwright.data.source import SOURCES, Memory, Place, Source
from trainwright.data.table import Table
from trainwright.data.text_file import is_guess, open_utf8, read_as, text_encoding
from trainwright.data.wording import counted
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

_HEAD_CHARACTERS = 1 << 18
_BLOCK_BYTES = 1 << 24
"""Parsed at a time; no single row may be longer."""

_NO_POSITIONS: Positions = np.zeros(0, dtype=np.int64)
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


def open_csv(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open delimited text.

    Lines with too few or too many values are set aside with their line number; lines without any value
    and repeated header lines are left out and counted.

    Raises:
        DataError: the file is no text, has no header or no row, or two columns share a name.
    """
    key = file_key(place, "csv", settings.delimiter, settings.encoding)
    reading = Reading(place, unit="line")
    return collect(reading, _frames(reading, settings), key=key, memory=memory)


def _frames(reading: Reading, settings: DataSettings) -> Iterator[pl.DataFrame]:
    place = reading.place
    encoding = text_encoding(place.path, name=place.name, asked=settings.encoding)
    dialect, records = _dialect(place, encoding, settings)
    names = column_names(records[0], where=place.name, notes=reading.notes)
    if lacks_header(records):
        raise DataError(
            f"the first line holds values, not column names ({', '.join(records[0][:4])} …)",
            where=place.name,
            fix="add a header line that names the columns",
        )
    if settings.delimiter is None and dialect.delimiter != "," and len(names) > 1:
        reading.notes.append(f"Values are divided by {_NAMES[dialect.delimiter]}.")
    if is_guess(encoding, settings.encoding):
        reading.notes.append(read_as(encoding))
    lines = _Lines(reading, records[0])
    yield from _parsed(reading, encoding, dialect, names, lines)
    lines.finish()


def _dialect(place: Place, encoding: str, settings: DataSettings) -> tuple[Dialect, list[list[str]]]:
    delimiter = "\t" if settings.delimiter in {"\\t", "tab"} else settings.delimiter
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii()):
        raise DataError(
            f"the delimiter '{delimiter}' is not one ASCII character",
            where="data.delimiter",
            fix="set it to a single character such as ';', or leave it out to have it found",
        )
    with io.TextIOWrapper(open_utf8(place.path, encoding), encoding="utf-8-sig", newline="") as stream:
        head = stream.read(_HEAD_CHARACTERS)
    dialect, records = sniff(head, whole=len(head) < _HEAD_CHARACTERS, delimiter=delimiter)
    if dialect == Dialect("\t"):
        with open_utf8(place.path, encoding) as binary:
            if stray_quotes(iter(lambda: binary.read(_BLOCK_BYTES), b""), tabs=len(records[0]) - 1):
                dialect = Dialect("\t", quote=None)
    return dialect, records


def _parsed(
    reading: Reading, encoding: str, dialect: Dialect, names: list[str], lines: _Lines
) -> Iterator[pl.DataFrame]:
    """Yield the rows; the header is the first record, and goes."""
    import pyarrow as pa
    from pyarrow import csv

    numbered = [str(place) for place in range(len(names))]
    with open_utf8(reading.place.path, encoding) as stream:
        try:
            reader = csv.open_csv(
                stream,
                # Only a single thread knows the numbers of the records.
                csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, column_names=numbered),
                csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char=dialect.quote or False,
                    escape_char=dialect.escape or False,
                    newlines_in_values=dialect.quote is not None,
                    ignore_empty_lines=False,
                    invalid_row_handler=lines.invalid,
                ),
                # A blank line gives nulls, a quoted empty value an empty string: so they can be told apart.
                csv.ConvertOptions(
                    column_types=dict.fromkeys(numbered, pa.string()),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    null_values=[""],
                ),
            )
            for batch in reader:
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                frame.columns = names
                yield lines.keep(frame)
        except pa.ArrowInvalid as error:
            raise _unparsable(reading.place, error) from error


def _unparsable(place: Place, error: Exception) -> DataError:
    if "straddling" in str(error):
        return DataError(
            f"a row is longer than {_BLOCK_BYTES >> 20} MB: a quote may be opened and never closed",
            where=place.name,
            fix="mend the quotes, or set data.delimiter",
        )
    return DataError(
        f"the text cannot be parsed ({str(error).splitlines()[0]})", where=place.name, fix="mend the file"
    )


class _Lines:
    """Keeps the count of lines while records are parsed, and leaves out those that hold no row.

    Valid records (those with as many values as the header) are counted from 0, the header and blank lines
    among them; pyarrow counts all records from 1.
    """

    def __init__(self, reading: Reading, header: list[str]) -> None:
        self._reading = reading
        self._header = header
        self._header_seen = False
        self._num_valid = 0
        self._num_blank = 0
        self._num_headers = 0
        self._left_out: list[Positions] = [_NO_POSITIONS]
        self._long: list[Positions] = [_NO_POSITIONS]
        self._newlines: list[Positions] = [_NO_POSITIONS]
        self._broken: list[tuple[int, int, str]] = []

    def invalid(self, row: Any) -> str:
        """Note a record with too few or too many values; pyarrow calls it for each."""
        reason = f"{counted(row.actual_columns, 'value')} where the header names {row.expected_columns}"
        self._broken.append((row.number, row.text.count("\n"), reason))
        return "skip"

    def keep(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a parsed frame, with null for empty values."""
        self._note_long(frame)
        blank = _where_all(series.is_null() for series in frame)
        headers = _where_all(
            (series == name) if name else (series.fill_null("") == "")
            for series, name in zip(frame, self._header, strict=True)
        ).fill_null(False)
        headers &= ~blank
        if not self._header_seen and not blank.all():
            if not headers[int((~blank).arg_max() or 0)]:
                raise DataError(
                    "the header line cannot be parsed", where=self._reading.place.name, fix="mend its quotes"
                )
            self._header_seen = True
        self._num_blank += int(blank.sum())
        self._num_headers += int(headers.sum())
        left_out = (blank | headers).arg_true().to_numpy().astype(np.int64)
        self._left_out.append(left_out + self._num_valid)
        self._num_valid += len(frame)
        if len(left_out) > 0:
            frame = frame.filter(~(blank | headers))
        return frame.with_columns(pl.when(pl.all() != "").then(pl.all()))

    def _note_long(self, frame: pl.DataFrame) -> None:
        """Note the records that go over several lines."""
        long = [series for series in frame if series.str.contains("\n", literal=True).any()]
        if long:
            newlines = np.zeros(len(frame), dtype=np.int64)
            for series in long:
                newlines += series.str.count_matches("\n", literal=True).fill_null(0).to_numpy()
            rows = np.flatnonzero(newlines)
            self._long.append(rows + self._num_valid)
            self._newlines.append(newlines[rows])

    def finish(self) -> None:
        """Give the reading its quarantine, its line numbers and its notes."""
        reading = self._reading
        left_out, long, newlines = map(np.concatenate, (self._left_out, self._long, self._newlines))
        numbers = np.array([number for number, _, _ in self._broken], dtype=np.int64)
        more = np.array([count for _, count, _ in self._broken], dtype=np.int64)
        before = numbers - 1 - np.arange(len(numbers))  # valid records before each broken one
        lines = numbers + np.cumsum(more) - more
        lines += np.concatenate([[0], np.cumsum(newlines)])[np.searchsorted(long, before)]
        for line, count, (_, _, reason) in zip(lines.tolist(), more.tolist(), self._broken, strict=True):
            reading.set_aside(line, reason)
            for inner in range(1, count + 1):
                reading.set_aside(line + inner, f"part of the row from line {line}, which is broken")
        # What moves later rows down: broken records, lines within records, and lines left out.
        at = np.concatenate([before, long + 1, left_out + 1])
        by = np.concatenate([1 + more, newlines, np.ones_like(left_out)])
        at -= np.searchsorted(left_out, at)  # from valid records to rows of the table
        order = np.argsort(at, kind="stable")
        reading.first, reading.at, reading.by = 1, at[order], by[order]
        if self._num_blank:
            reading.notes.append(f"Left out: {counted(self._num_blank, 'line')} without any value.")
        if self._num_headers > 1:
            reading.notes.append(f"Left out: {counted(self._num_headers - 1, 'repeated header line')}.")


def _where_all(masks: Iterator[pl.Series]) -> pl.Series:
    """Return where all masks are true; those behind a mask without any are not looked at."""
    found = next(masks)
    while found.any() and (mask := next(masks, None)) is not None:
        found &= mask
    return found


SOURCES.register("csv")(Source(open_csv, suffixes=(".csv", ".tsv", ".txt", ".tab", ".psv", ".data", ".dat")))
