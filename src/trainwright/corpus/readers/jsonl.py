"""JSON Lines, one object a line, and JSON files that hold a list of objects."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from io import BufferedReader
from itertools import chain, islice
from typing import Any

from trainwright.corpus.columns import all_texts, as_text, text_column, url_of
from trainwright.corpus.document import Document
from trainwright.corpus.encodings import HEAD, encoding_of
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked, Reader, Slice
from trainwright.corpus.readers.text import blocks, slices
from trainwright.corpus.streams import BLOCK, head_of, opened
from trainwright.foundation.errors import DataError

LONGEST_LINE = 64 << 20
_LOOKED_AT = 100
_DECODER = json.JSONDecoder()
_SPACES = re.compile(r"[ \t\r\n]*")


def read_jsonl(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the documents of a JSON Lines file or a JSON list; broken lines are counted.

    Raises:
        DataError: no column holds text, or this is no text at all.
    """
    head = head_of(part.path, part.name, HEAD)
    encoding = encoding_of(head, name=part.name, asked=asked.encoding)
    first = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    if first.startswith("[") or (first.startswith("{") and not _any_object(first)):
        yield from _read_list(part, asked, ledger, encoding)
        return
    looked_at = [
        row for row in (_parse(line) for line in first.split("\n")[:_LOOKED_AT]) if isinstance(row, dict)
    ]
    if not looked_at and len(head) < HEAD:
        raise DataError("no line is a JSON object", where=part.name, fix="write one object a line")
    column = "" if asked.all_texts else None
    behind = f" after byte {part.start:,}" if part.start else ""
    with opened(part.path, part.name) as stream:
        parts = blocks(stream, part.start, part.end)
        if b"\0" in head:  # UTF-16 and UTF-32: their lines do not end in one byte
            parts, encoding = _in_utf8(parts, encoding), "utf-8"
        for number, line in enumerate(_lines(parts, part, ledger), start=1):
            text = line.decode(encoding, errors="replace").lstrip("\ufeff")
            if not text or text.isspace():
                continue
            row = _parse(text)
            where = f"line {number:,}{behind}"
            if not isinstance(row, dict):
                ledger.leave("read", "broken line", len(text), where=f"{part.name} {where}", text=text)
                continue
            if column is None:
                column = text_column(looked_at or [row], asked=asked.text_column, name=part.name)
            yield from _documents(row, column, where, part, ledger)


def _in_utf8(parts: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for block in parts:
        yield decoder.decode(block).encode(errors="replace")
    yield decoder.decode(b"", final=True).encode(errors="replace")


def _documents(
    row: dict[str, Any], column: str, where: str, part: Slice, ledger: Ledger
) -> Iterator[Document]:
    texts = [as_text(row.get(column))] if column else list(all_texts(row))
    for text in texts:
        if text:
            yield Document(text, part.name, where, part.kind, url_of(row))
        else:
            ledger.leave("read", "no text", 0, where=f"{part.name} {where}", text=json.dumps(row)[:500])


def _any_object(text: str) -> bool:
    lines = text.split("\n")
    return any(isinstance(_parse(line), dict) for line in islice(lines, _LOOKED_AT)) or len(lines) == 1


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _lines(parts: Iterator[bytes], part: Slice, ledger: Ledger) -> Iterator[bytes]:
    """Yield lines; one that is too long is counted, and never held as a whole."""
    rest: list[bytes] = []
    held = 0
    too_long = False
    for block in parts:
        first, *others = block.split(b"\n")
        if not too_long:
            rest.append(first)
            held += len(first)
        if held > LONGEST_LINE and not too_long:
            too_long = True
            ledger.leave(
                "read", "line too long", held, where=part.name, text=rest[0].decode(errors="replace")
            )
            rest, held = [], 0
        if others:
            yield b"" if too_long else b"".join(rest)
            yield from others[:-1]
            rest, held, too_long = [others[-1]], len(others[-1]), False
    if rest and not too_long:
        yield b"".join(rest)


def _read_list(part: Slice, asked: Asked, ledger: Ledger, encoding: str) -> Iterator[Document]:
    if part.start:
        return  # a JSON file that is one value is read by whoever has its beginning
    with opened(part.path, part.name) as stream:
        items = _items(stream, encoding, part)
        first: list[Any] = []
        damage: DataError | None = None
        try:
            first.extend(islice(items, _LOOKED_AT))
        except DataError as error:  # what comes before it is not lost
            damage = error
        objects = [row for row in first if isinstance(row, dict)]
        if not objects:
            raise DataError("this is no JSON with objects", where=part.name, fix="write one object a line")
        column = "" if asked.all_texts else text_column(objects, asked=asked.text_column, name=part.name)
        for number, row in enumerate(chain(first, items)):
            where = f"item {number:,}"
            if isinstance(row, dict):
                yield from _documents(row, column, where, part, ledger)
            else:
                ledger.leave("read", "broken line", 0, where=f"{part.name} {where}", text=str(row)[:500])
        if damage is not None:
            raise damage


def _items(stream: BufferedReader[Any], encoding: str, part: Slice) -> Iterator[Any]:
    """Yield the items of a JSON list one after the other, or the one value that a file is.

    Raises:
        DataError: it is broken, or an item is too long; what comes before is yielded first.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    held = _more(stream, decoder, BLOCK)
    held = held.lstrip("\ufeff")
    at = _behind_spaces(held, 0)
    in_list = held.startswith("[", at)
    at += in_list
    while True:
        found, end = _value(held, at)
        # A number may go on behind what is held; a sign behind it tells that it does not.
        if end >= 0 and (end < len(held) or not in_list):
            yield found
            at = end
            if not in_list or held[at] == "]":
                return
            at += held[at] == ","
            continue
        if held.startswith("]", _behind_spaces(held, at)):
            return
        more = _more(stream, decoder, max(BLOCK, len(held) - at))
        if not more or len(held) - at > LONGEST_LINE:
            if end >= 0:
                yield found
            raise DataError(
                "the JSON list is cut off or damaged", where=part.name, fix="copy or download it again"
            )
        held, at = held[at:] + more, 0


def _value(text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value at a place, and the place of the sign behind it; -1 where none is whole."""
    try:
        found, end = _DECODER.raw_decode(text, _behind_spaces(text, at))
    except (ValueError, RecursionError):
        return None, -1
    return found, _behind_spaces(text, end)


def _behind_spaces(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    assert found is not None
    return found.end()


def _more(stream: BufferedReader[Any], decoder: codecs.IncrementalDecoder, size: int) -> str:
    block = stream.read(size)
    return decoder.decode(block, final=not block)


READERS.register("jsonl")(Reader(read_jsonl, (".jsonl", ".ndjson", ".json"), slices=slices))
