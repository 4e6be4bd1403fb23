"""JSON Lines (one object a line), and JSON files that hold a list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.collect import Reading, collect, file_key
from trainwright.data.plain import column_names, series_of
from trainwright.data.source import HEAD_BYTES, SOURCES, Memory, Place, Source
from trainwright.data.table import CHUNK_ROWS, Table
from trainwright.data.text_file import is_guess, open_utf8, read_as, text_encoding
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

_BLOCK_BYTES = 1 << 23
_LONGEST_LINE = 1 << 28
_LARGEST_ARRAY = 1 << 29
"""A JSON file that is one value must be read whole."""

_BLANK = b" \t\r\n"
_HALF = "half a surrogate pair, which is no text"


def open_jsonl(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open JSON Lines or a JSON list; nested objects become columns of JSON text.

    Lines that are no JSON object are set aside with their number.

    Raises:
        DataError: the file holds something else, or nothing.
    """
    reading = Reading(place, unit="line", first=1)
    key = file_key(place, "jsonl", settings.encoding)
    return collect(reading, _frames(reading, settings), key=key, memory=memory)


def _frames(reading: Reading, settings: DataSettings) -> Iterator[pl.DataFrame]:
    encoding = text_encoding(reading.place.path, name=reading.place.name, asked=settings.encoding)
    if is_guess(encoding, settings.encoding):
        reading.notes.append(read_as(encoding))
    with open_utf8(reading.place.path, encoding) as stream:
        head = stream.read(HEAD_BYTES).lstrip(_BLANK + b"\xef\xbb\xbf")
        one_value = head[:1] == b"[" or not _is_object(head.partition(b"\n")[0])
    if one_value and (items := _items(reading, encoding)) is not None:
        yield from _frames_of_items(reading, items)
    else:
        yield from _frames_of_lines(reading, encoding)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return len(line) >= HEAD_BYTES - 8  # a line longer than the head


def _frames_of_lines(reading: Reading, encoding: str) -> Iterator[pl.DataFrame]:
    at: list[np.ndarray[Any, Any]] = []
    num_lines = num_rows = 0
    for block in _blocks(reading, encoding):
        lines_here = block.count(b"\n") + (not block.endswith(b"\n"))
        frame, left_out = _fast(block, lines_here), np.zeros(0, dtype=np.int64)
        if frame is None:
            frame, left_out = _by_line(reading, block, num_lines)
        # Rows behind a line that was left out stand one line further down.
        at.append(left_out - np.arange(len(left_out)) + num_rows)
        num_lines += lines_here
        num_rows += len(frame)
        if len(frame):
            yield _named(reading, frame)
    if not at:  # nothing but a byte order mark
        raise DataError("the file is empty", where=reading.place.name, fix="give a file with rows")
    reading.at = np.concatenate(at)
    reading.by = np.ones_like(reading.at)


def _blocks(reading: Reading, encoding: str) -> Iterator[bytes]:
    """Yield pieces of whole lines."""
    with open_utf8(reading.place.path, encoding) as stream:
        rest = stream.read(3).removeprefix(b"\xef\xbb\xbf")
        while block := stream.read(_BLOCK_BYTES):
            whole, newline, rest_after = block.rpartition(b"\n")
            if newline:
                yield rest + whole + newline
                rest = rest_after
            else:
                rest += block
            if len(rest) > _LONGEST_LINE:
                raise DataError(
                    f"a line is longer than {_LONGEST_LINE >> 20} MB",
                    where=reading.place.name,
                    fix="write one object a line",
                )
        if rest:
            yield rest


def _fast(block: bytes, num_lines: int) -> pl.DataFrame | None:
    """Return the rows of a block in which every line is an object; None where that is not so."""
    try:
        frame = pl.read_ndjson(block, infer_schema_length=None)
    except (pl.exceptions.PolarsError, ValueError):
        return None
    return frame if len(frame) == num_lines else None


def _by_line(reading: Reading, block: bytes, before: int) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
    """Return the rows of a block and which of its lines are none; broken ones go to the quarantine."""
    rows: list[dict[str, Any]] = []
    left_out: list[int] = []
    for index, line in enumerate(block.removesuffix(b"\n").split(b"\n")):
        if not line.strip(_BLANK):
            left_out.append(index)
            continue
        reason = _add(rows, line)
        if reason is not None:
            reading.set_aside(before + index + 1, reason)
            left_out.append(index)
    return _frame(rows), np.array(left_out, dtype=np.int64)


def _add(rows: list[dict[str, Any]], line: bytes) -> str | None:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return f"the line is not JSON ({error.msg.lower()} at character {error.pos + 1})"
    except ValueError:  # Python reads no longer ones, as that takes the square of their length
        return "the line holds a number of thousands of digits"
    except RecursionError:
        return "the line is nested too deeply"
    if not isinstance(value, dict):
        return "the line is JSON, but not an object"
    if b"\\u" in line and not _is_text(value):
        return f"the line holds {_HALF}"
    rows.append(value)
    return None


def _is_text(value: Any) -> bool:
    """Return whether all strings of a value are text; half a surrogate pair, such as "\\ud83d", is none."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([series_of(name, [row.get(name) for row in rows]) for name in names])


def _named(reading: Reading, frame: pl.DataFrame) -> pl.DataFrame:
    notes: list[str] = []
    frame.columns = column_names(frame.columns, where=reading.place.name, notes=notes)
    reading.notes.extend(note for note in notes if note not in reading.notes)
    return frame


def _items(reading: Reading, encoding: str) -> list[Any] | None:
    """Return the items of a JSON file that is one list; None when the file is not one JSON value."""
    place = reading.place
    if place.path.stat().st_size > _LARGEST_ARRAY:
        raise DataError(
            f"a JSON list of more than {_LARGEST_ARRAY >> 20} MB cannot be read in pieces",
            where=place.name,
            fix="write one object a line (JSON Lines)",
        )
    with open_utf8(place.path, encoding) as stream:
        try:
            value = json.loads(stream.read().removeprefix(b"\xef\xbb\xbf"))
        except (ValueError, RecursionError) as error:
            if place.path.suffix.lower() != ".json":
                return None
            is_json = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)
            what = "this holds a number of thousands of digits" if is_json else "this is not JSON"
            raise DataError(what, where=place.name, fix="mend the file") from None
    if isinstance(value, dict):
        lists = [key for key, inner in value.items() if isinstance(inner, list) and _holds_objects(inner)]
        if len(lists) != 1:
            raise DataError(
                "this is one JSON object, not a list of rows",
                where=place.name,
                fix="write a list of objects, or one object a line",
            )
        reading.notes.append(f"The rows are the list under the key '{lists[0]}'.")
        value = value[lists[0]]
    if not isinstance(value, list) or (value and not _holds_objects(value)):
        raise DataError(
            "this JSON holds no objects",
            where=place.name,
            fix="write a list of objects, or one object a line",
        )
    return value


def _holds_objects(values: list[Any]) -> bool:
    return any(isinstance(value, dict) for value in values)


def _frames_of_items(reading: Reading, items: list[Any]) -> Iterator[pl.DataFrame]:
    reading.unit, reading.first = "row", 0
    broken: list[int] = []
    rows: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        if isinstance(item, dict) and _is_text(item):
            rows.append(item)
            continue
        reason = f"the item holds {_HALF}" if isinstance(item, dict) else "the item is not an object"
        reading.set_aside(index, reason)
        broken.append(index)
    for start in range(0, len(rows), CHUNK_ROWS):
        yield _named(reading, _frame(rows[start : start + CHUNK_ROWS]))
    reading.at = np.array(broken, dtype=np.int64) - np.arange(len(broken))
    reading.by = np.ones_like(reading.at)


SOURCES.register("jsonl")(Source(open_jsonl, suffixes=(".jsonl", ".ndjson", ".json")))
