"""Text files: which encoding they are in, and their content as UTF-8."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trainwright.foundation.errors import DataError, nearest

ENDINGS = frozenset(
    {".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc", ".log", ".srt"}
    | {".py", ".pyi", ".js", ".ts", ".jsx", ".tsx", ".java", ".kt", ".scala", ".c", ".h", ".cc", ".cpp"}
    | {".hpp", ".cs", ".go", ".rs", ".rb", ".php", ".swift", ".r", ".jl", ".lua", ".pl", ".sh", ".sql"}
)
"""Endings of files that are read in a folder of texts, by training and by `prepare`."""

_BLOCK = 1 << 20
_GIVE = "give texts, a table (CSV, JSONL, Parquet, Excel …), or a folder of images or sounds"

_BOMS = {  # the longer ones first: UTF-32 begins like UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WIDE = ("utf-16", "utf-32")

_PAIR = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
_CHINESE_SHARE = 0.6
"""Of the byte pairs in Chinese text nearly all have two bytes beyond ASCII; in Western text few have."""

_UTF8_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_UTF8_SHARE = 0.9
"""Of the bytes beyond ASCII in a UTF-8 file with a few broken ones: by chance it is far less."""

_COMMON = (
    "utf-8",
    "utf-16",
    "gb18030",
    "big5",
    "shift_jis",
    "euc_kr",
    "cp1252",
    "latin-1",
    "cp1251",
    "iso8859-15",
)


def text_encoding(path: Path, *, name: str, asked: str | None = None) -> str:
    """Return the encoding of a text file, as Python calls it, after checking every byte of the file.

    A byte order mark decides; else UTF-8 is tried first, then GB18030 where the text looks Chinese, then
    cp1252.

    Args:
        path: the file.
        name: what messages call it.
        asked: the encoding that the user set.

    Raises:
        DataError: the file is no text, or not in the encoding that was asked for.
    """
    if asked is not None:
        return _checked(path, name, asked)
    with path.open("rb") as stream:
        head = stream.read(_BLOCK)
    marked = next((encoding for bom, encoding in _BOMS.items() if head.startswith(bom)), None)
    if marked is not None:
        _verify(path, name, marked)
        return marked
    if b"\0" in head:
        return _wide(path, name, head)
    broken = _first_error(path, "utf-8")
    if broken is None:
        _refuse_zero_bytes(path, name)
        return "utf-8"
    if _mostly_utf8(path):
        raise DataError(
            "the line is not UTF-8, although the file is",
            where=f"{name} line {broken}",
            fix="mend the line, or set data.encoding",
        )
    for encoding in ("gb18030", "cp1252"):
        if encoding == "gb18030" and not _looks_chinese(path):
            continue
        if _first_error(path, encoding) is None:
            _refuse_zero_bytes(path, name)
            return encoding
    raise DataError(
        "the text is in none of the encodings UTF-8, GB18030 and cp1252",
        where=name,
        fix="set data.encoding (big5, shift_jis, euc_kr, …)",
    )


def is_guess(encoding: str, asked: str | None) -> bool:
    """Return whether an encoding was found that nobody named and that is not the usual one, to be said."""
    return asked is None and encoding not in {"utf-8", "utf-8-sig"}


def read_as(encoding: str, number: int | None = None) -> str:
    """Return the note that says in which encoding a file, or a number of files among others, was read."""
    if number is None or number == 1:
        what = "The text" if number is None else "1 file"
        return f"{what} was read as {encoding}; if it looks wrong, set data.encoding."
    return f"{number:,} files were read as {encoding}; if they look wrong, set data.encoding."


def _checked(path: Path, name: str, asked: str) -> str:
    try:
        encoding = codecs.lookup(asked).name
    except LookupError:
        near = nearest(asked, _COMMON)
        raise DataError(
            f"there is no encoding called '{asked}'",
            where=name,
            fix=f"did you mean '{near}'?" if near else f"set data.encoding to one of: {', '.join(_COMMON)}",
        ) from None
    if encoding == "utf-8":
        encoding = "utf-8-sig"  # the same, with or without a mark
    with path.open("rb") as stream:
        head = stream.read(_BLOCK)
    if encoding.startswith(_WIDE) and b"\0" not in head:
        raise _wrong(name, asked, None)
    _verify(path, name, encoding, asked)
    if not encoding.startswith("utf") and not head.isascii() and _first_error(path, "utf-8") is None:
        raise DataError(
            f"the text is UTF-8, not {asked}", where=name, fix="leave data.encoding out, or set it to utf-8"
        )
    return encoding


def _verify(path: Path, name: str, encoding: str, asked: str | None = None) -> None:
    line = _first_error(path, encoding)
    if line is not None:
        raise _wrong(name, asked or encoding.removesuffix("-sig"), line)
    if not encoding.startswith(_WIDE):
        _refuse_zero_bytes(path, name)


def _wrong(name: str, encoding: str, line: int | None) -> DataError:
    return DataError(
        f"the text is not {encoding}",
        where=name if line is None else f"{name} line {line}",
        fix="set data.encoding to the right one, or leave it out to have it found",
    )


def _wide(path: Path, name: str, head: bytes) -> str:
    """Return the byte order of UTF-16 without a mark: every other byte of its ASCII characters is 0."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    if min(even, odd) * 20 > max(even, odd) or _first_error(path, encoding) is not None:
        raise DataError("this is not a text file: it holds zero bytes", where=name, fix=_GIVE)
    return encoding


def _refuse_zero_bytes(path: Path, name: str) -> None:
    line = 1
    for block in _blocks(path):
        found = block.find(0)
        if found >= 0:
            line += block.count(b"\n", 0, found)
            raise DataError(
                "this is not a text file: it holds zero bytes",
                where=f"{name} line {line}",
                fix=_GIVE,
            )
        line += block.count(b"\n")


def _mostly_utf8(path: Path) -> bool:
    high = valid = 0
    for block in _blocks(path):
        high += sum(map(len, _HIGH_BYTES.findall(block)))
        valid += sum(map(len, _UTF8_CHARACTER.findall(block)))
        if high > 100_000:
            break
    return valid >= _UTF8_SHARE * high


def _looks_chinese(path: Path) -> bool:
    pairs = double = 0
    for block in _blocks(path):
        found = _PAIR.findall(block)
        pairs += len(found)
        double += sum(pair[1] >= 0x80 for pair in found)
        if pairs > 100_000:
            break
    return pairs > 0 and double >= _CHINESE_SHARE * pairs


def _first_error(path: Path, encoding: str) -> int | None:
    """Return the line of the first byte that is not in the encoding; None where all are."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    for block in _blocks(path):
        try:
            line += decoder.decode(block).count("\n")
        except UnicodeError as error:
            if isinstance(error, UnicodeDecodeError):
                line += error.object.count(b"\n", 0, error.start)
            return line
    try:
        decoder.decode(b"", final=True)
    except UnicodeError:
        return line
    return None


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


class _Utf8(io.RawIOBase):
    """A text file of any encoding as UTF-8 bytes, without a byte order mark."""

    def __init__(self, path: Path, encoding: str) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            block = self._file.read(_BLOCK)
            text = self._decoder.decode(block, final=not block)
            if not self._begun and text:
                text, self._begun = text.removeprefix("\ufeff"), True
            self._ready = text.encode()
            if not block:
                break
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_utf8(path: Path, encoding: str) -> BinaryIO:
    """Open a text file of a verified encoding as a stream of UTF-8, without a byte order mark."""
    if encoding == "utf-8":
        return path.open("rb")
    return io.BufferedReader(_Utf8(path, encoding), buffer_size=_BLOCK)
