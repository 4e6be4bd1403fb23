"""Which encoding a file is in, told by its first megabyte: a corpus is not read twice."""

from __future__ import annotations

import tempfile
from pathlib import Path

from trainwright.data.text_file import text_encoding
from trainwright.foundation.errors import DataError

HEAD = 1 << 20
_UTF8_SHARE = 0.9
"""Of the bytes beyond ASCII in a UTF-8 file with a few broken ones nearly all are whole characters."""


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
    if len(head) >= HEAD:
        head = head[: head.rfind(b"\n") + 1 or len(head)]
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
