"""Which encoding a file is in, told by its first megabyte: a corpus is not read twice."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from trainwright.data.text_file import text_encoding
from trainwright.foundation.errors import DataError

HEAD = 1 << 20
_UTF8_SHARE = 0.9
"""Of the bytes beyond ASCII in a UTF-8 file with a few broken ones nearly all are whole characters."""


def is_encoding(name: str) -> bool:
    """Return whether Python has an encoding of texts of that name."""
    try:
        "a".encode(name)
    except (LookupError, ValueError):  # there is none, it packs bytes, or its name holds a zero byte
        return False
    return True


def encoding_of(head: bytes, *, name: str, asked: str | None) -> str:
    """Return the encoding of a text, as Python calls it.

    UTF-8 with a few broken bytes is UTF-8: what cannot be read becomes U+FFFD, and is counted.

    Args:
        head: the first bytes of the text, `HEAD` of them or all.
        name: what messages call the file.
        asked: the encoding that the user set.

    Raises:
        DataError: this is no text, or not in the encoding that was asked for.
    """
    heads = [head]
    if len(head) >= HEAD and b"\0" in head:
        cut = head[: len(head) // 4 * 4]
        heads = [cut, cut[:-2]]  # UTF-16 and UTF-32; of a pair of UTF-16 the first half may be the last
    elif len(head) >= HEAD:
        heads = [head[: head.rfind(b"\n") + 1 or len(head)]]
    head = heads[0]
    if (
        asked is None
        and b"\0" not in head
        and not head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"))
    ):
        if head.isascii():
            return "utf-8"
        high = len(head) - len(head.decode("ascii", errors="ignore"))
        whole = len(head.decode(errors="ignore").encode()) - (len(head) - high)
        if whole >= _UTF8_SHARE * high:
            return "utf-8"
    for shorter in heads[1:]:
        with suppress(DataError):
            return _told(head, name, asked)
        head = shorter
    return _told(head, name, asked)


def _told(head: bytes, name: str, asked: str | None) -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(head)
        file.flush()
        try:
            return text_encoding(Path(file.name), name=name, asked=asked)
        except DataError as error:
            what = error.what
            fix = (error.fix or "").replace("data.encoding", "encoding")
            if "not a text file" in what:
                fix = "give text, Markdown, JSONL, Parquet, HTML, WARC or PDF"
            raise DataError(what, where=error.where, fix=fix) from error
