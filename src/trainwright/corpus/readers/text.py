"""Plain text and source code: a file, a paragraph or a line is a document; long ones are cut at line ends."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import Any

from trainwright.corpus.document import Document
from trainwright.corpus.encodings import HEAD, encoding_of
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, SLICE_BYTES, Asked, Reader, Slice, whole
from trainwright.corpus.streams import BLOCK, head_of, is_compressed, opened
from trainwright.data.text_file import ENDINGS

_Decoder = codecs.IncrementalDecoder | io.IncrementalNewlineDecoder

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


def read_text(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the documents of a text.

    Raises:
        DataError: this is no text, or not in the encoding that was asked for.
    """
    head = head_of(part.path, part.name, HEAD)
    encoding = encoding_of(head, name=part.name, asked=asked.encoding)
    with opened(part.path, part.name) as stream:
        number = 0
        behind = f" after byte {part.start:,}" if part.start else ""
        plain = codecs.getincrementaldecoder(encoding)(errors="replace")
        # Lines end in whatever the system that they were written on ends them in.
        decoder = plain if asked.split == "file" else io.IncrementalNewlineDecoder(plain, translate=True)
        for text, whole_file in _texts(blocks(stream, part.start, part.end), decoder, asked.most_characters):
            if asked.split == "file":
                number += 1
                alone = whole_file and not part.start and part.end is None
                position = "" if alone else f"part {number:,}{behind}"
                yield Document(text, part.name, position, part.kind, part_of=None if alone else "")
                continue
            pieces = text.split("\n") if asked.split == "line" else _BLANK_LINES.split(text)
            for piece in pieces:
                number += 1
                if piece and not piece.isspace():
                    yield Document(piece, part.name, f"{asked.split} {number:,}{behind}", part.kind)
        if number > 1 and asked.split == "file":
            ledger.note("parts of long files", number)


def slices(path: Path, name: str, kind: str) -> list[Slice]:
    """Cut a long file into ranges of bytes; a line belongs to the range that it begins in.

    UTF-16 and UTF-32, which hold zero bytes, stay whole: their lines do not end in one byte.
    """
    size = path.stat().st_size
    if is_compressed(path) or size < 2 * SLICE_BYTES or b"\0" in head_of(path, name, HEAD):
        return whole(path, name, kind)
    edges = [*range(0, size - SLICE_BYTES // 2, SLICE_BYTES), size]
    return [
        Slice(path, name, kind, start, None if end == size else end, end - start)
        for start, end in pairwise(edges)
    ]


def blocks(stream: BufferedReader[Any], start: int, end: int | None) -> Iterator[bytes]:
    """Yield the bytes of all lines that begin in a range."""
    position = start
    if start:
        # The line that reaches into the range belongs to the one before.
        position = stream.seek(start - 1)
        while line := stream.readline(BLOCK):
            position += len(line)
            if line.endswith(b"\n"):
                break
    while end is None or position < end:
        block = stream.read(BLOCK if end is None else min(BLOCK, end - position))
        if not block:
            return
        position += len(block)
        yield block
        if position == end and not block.endswith(b"\n"):
            while line := stream.readline(BLOCK):
                yield line
                if line.endswith(b"\n"):
                    return


def _texts(parts: Iterator[bytes], decoder: _Decoder, most: int) -> Iterator[tuple[str, bool]]:
    """Yield texts of at most `most` characters, and whether it is the only one."""
    held, alone = "", True
    for block in parts:
        held += decoder.decode(block)
        while len(held) > most:
            cut = cut_at(held, most)
            alone = False
            yield held[:cut], False
            held = held[cut:].lstrip("\n")
    held += decoder.decode(b"", final=True)
    if held and not held.isspace():
        yield held.removeprefix("\ufeff"), alone


def cut_at(text: str, most: int, *, begin: int = 0) -> int:
    """Return where a long text is cut: after a paragraph, else a line, else a word, else anywhere."""
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, begin + most // 2, begin + most)
        if found > begin:
            return found + len(mark)
    return begin + most


# Markdown has a reader of its own.
_SUFFIXES = tuple(sorted(ENDINGS - {".md", ".markdown"}))

READERS.register("text")(Reader(read_text, _SUFFIXES, slices=slices))
