"""Plain text: a file is a document, or several where it is long; a folder's files are read in turn.

Only where it is asked for (`data.format: text`), as for language models: else a .txt file may hold a table.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from trainwright.data.collect import Reading, collect
from trainwright.data.source import SOURCES, Memory, Place, Source
from trainwright.data.table import Table
from trainwright.data.text_file import ENDINGS, is_guess, open_utf8, read_as, text_encoding
from trainwright.data.wording import counted
from trainwright.foundation.errors import DataError
from trainwright.foundation.hashing import json_hash
from trainwright.recipe.recipe import DataSettings

TEXT, FILE, PIECE = "text", "file", "piece"
"""Columns of the table: the text, the file that it is from, and which piece of a long file it is, from 0."""

DOCUMENT_CHARACTERS = 1 << 22
"""A longer file is cut, at a blank line where there is one, else at the end of a line."""

_FRAME_CHARACTERS = 1 << 24
_VERSION = 3


def open_text(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a text file, or all text files below a folder.

    The table has the columns `text`, `file` and `piece`. Files that are empty, no text, or cannot be read are
    set aside, each with its reason; those of a folder that have other endings are counted.

    Raises:
        DataError: there is no text, or a single file is none.
    """
    files, others = _files(place.path) if place.path.is_dir() else ([place.path], Counter())
    if not files:
        raise DataError(
            "there are no text files in this folder",
            where=place.name,
            fix=f"give files that end in {', '.join(sorted(ENDINGS)[:6])} …",
        )
    reading = Reading(place)
    if others:
        shown = ", ".join(kind for kind, _ in others.most_common(3)) + (", …" if len(others) > 3 else "")
        reading.notes.append(f"Left out: {counted(others.total(), 'file')} of other kinds ({shown}).")
    stamp = hashlib.blake2b(digest_size=16)
    for file in files:
        stamp.update(f"{file}/{_stamp(file)}\n".encode())
    named = [str(place.path.resolve()), stamp.hexdigest(), settings.encoding, reading.notes]
    key = json_hash([_VERSION, "text", *named])
    return collect(reading, _frames(reading, files, settings), key=key, memory=memory)


def _stamp(file: Path) -> str:
    """Return what changes where a file does; of one that is not there too, even of a link to nowhere."""
    try:
        status = file.stat()
    except OSError as error:
        return type(error).__name__
    return f"{status.st_size}/{status.st_mtime_ns}"


def files_below(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield folder, name and ending of the files below a folder, by name.

    Hidden ones and links to folders are left out.
    """
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield folder, name, os.path.splitext(name)[1].lower()  # noqa: PTH122 (there may be a million)


def _files(root: Path) -> tuple[list[Path], Counter[str]]:
    """Return the text files below a folder, and how many others there are by ending, or name without one."""
    found: list[Path] = []
    others: Counter[str] = Counter()
    for folder, name, ending in files_below(root):
        if ending in ENDINGS:
            found.append(Path(folder, name))
        else:
            others[(ending or name).encode(errors="replace").decode()] += 1
    return found, others


def _frames(reading: Reading, files: list[Path], settings: DataSettings) -> Iterator[pl.DataFrame]:
    """Yield documents, some MB at a time."""
    root = reading.place.path
    texts: list[str] = []
    names: list[str] = []
    pieces: list[int] = []
    held = long = 0
    guessed: Counter[str] = Counter()

    def frame() -> pl.DataFrame:
        schema = {TEXT: pl.String, FILE: pl.String, PIECE: pl.Int64}
        return pl.DataFrame({TEXT: texts, FILE: names, PIECE: pieces}, schema=schema)

    for file in files:
        name = file.name if file == root else file.relative_to(root).as_posix()
        parts = 0
        try:
            for text in _texts_of(file, name, settings, guessed):
                if text.strip():
                    texts.append(text)
                    names.append(name)
                    pieces.append(parts)
                    parts += 1
                    held += len(text)
                if held > _FRAME_CHARACTERS:
                    yield frame()
                    texts, names, pieces, held = [], [], [], 0
        except (DataError, OSError) as error:
            if file == root:
                raise
            why = (
                error.what if isinstance(error, DataError) else f"the file cannot be read ({error.strerror})"
            )
            reading.set_aside(None, f"{name}: {why}")
            continue
        long += parts > 1
        if not parts:
            reading.set_aside(None, f"{name}: the file is empty")
    for encoding, number in sorted(guessed.items()):
        reading.notes.append(read_as(encoding, None if files == [root] else number))
    if long:
        size = f"{DOCUMENT_CHARACTERS / 1e6:.0f} million characters"
        reading.notes.append(f"Cut into several documents: {counted(long, 'file')} of more than {size}.")
    if texts:
        yield frame()


def _texts_of(file: Path, name: str, settings: DataSettings, guessed: Counter[str]) -> Iterator[str]:
    """Yield the documents of a file; an encoding that had to be guessed is counted.

    Raises:
        DataError: it is no text, or no file at all.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise DataError("this is no plain file", where=name, fix="give a file")  # reading a pipe never ends
    encoding = text_encoding(file, name=name, asked=settings.encoding)
    if is_guess(encoding, settings.encoding):
        guessed[encoding] += 1
    yield from documents(file, encoding)


def documents(file: Path, encoding: str) -> Iterator[str]:
    """Yield the text of a file, in documents of at most about four million characters.

    Args:
        file: a text file.
        encoding: what `text_encoding` found.
    """
    rest = ""
    with open_utf8(file, encoding) as stream:
        pending = b""
        while block := stream.read(DOCUMENT_CHARACTERS):
            pending += block
            # Bytes that begin a character which the next block ends are kept for it.
            whole = _whole_characters(pending)
            rest += pending[:whole].decode()
            pending = pending[whole:]
            while len(rest) > DOCUMENT_CHARACTERS:
                cut = _place_to_cut(rest)
                yield rest[:cut]
                rest = rest[cut:]
    rest = rest.removeprefix("\ufeff")
    if rest:
        yield rest


def _whole_characters(block: bytes) -> int:
    """Return how many bytes of UTF-8 are whole characters."""
    for back in range(1, min(4, len(block)) + 1):
        byte = block[-back]
        if byte & 0xC0 != 0x80:  # the first byte of the last character
            length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(block) - back if length > back else len(block)
    return len(block)


def _place_to_cut(text: str) -> int:
    """Return where a text is cut: behind a blank line, a line's end or a space, late in what may stay."""
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, DOCUMENT_CHARACTERS // 2, DOCUMENT_CHARACTERS)
        if found >= 0:
            return found + len(mark)
    return DOCUMENT_CHARACTERS


SOURCES.register("text")(Source(open_text))
