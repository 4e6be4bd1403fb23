"""WARC, as web crawls are kept: the main text of each page, and the texts of WET files."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from typing import Any

from trainwright.corpus.document import Document
from trainwright.corpus.encodings import is_encoding
from trainwright.corpus.extras import extra
from trainwright.corpus.http_body import http_body
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked, Reader, Slice
from trainwright.corpus.readers.html import LARGEST_PAGE, TooDeepError, is_html, main_text
from trainwright.corpus.streams import opened
from trainwright.foundation.errors import DataError

_OK = 200
_TOO_LARGE = "page too large"


def read_warc(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the texts of responses, resources and conversions.

    Answers other than 200, pictures and other media are counted; so are pages over 16 MB, and those that
    cannot be unpacked: one of them does not end the file.

    Raises:
        DataError: the file is cut off or damaged; what comes before is yielded first.
        UserError: the package for it is not installed.
    """
    warc = extra("fastwarc.warc", need="WARC files")
    kinds = warc.WarcRecordType
    wanted = kinds.response | kinds.resource | kinds.conversion
    number = 0
    with opened(part.path, part.name) as stream:
        try:
            for record in warc.ArchiveIterator(
                stream, record_types=wanted, parse_http=True, auto_decode="none", strict_mode=False
            ):
                number += 1
                yield from _documents(record, f"record {number:,}", part, ledger)
        except OSError as error:
            # What ended the stream says more, where it was the stream.
            stream.raw.check()
            raise DataError(
                "the WARC file is cut off or damaged", where=part.name, fix="copy or download it again"
            ) from error
    if number == 0:
        raise DataError("the WARC file holds no page", where=part.name, fix="leave it out")


def _documents(record: Any, position: str, part: Slice, ledger: Ledger) -> Iterator[Document]:
    where = f"{part.name} {position}"
    url = record.headers.get("WARC-Target-URI")
    http = record.http_headers
    if http is not None and http.status_code not in {None, _OK}:
        ledger.leave("read", "page with another status than 200", 0, where=where, text=str(url))
        return
    if record.content_length > LARGEST_PAGE:
        ledger.leave("read", _TOO_LARGE, 0, where=where, text=str(url))
        return
    content = record.reader.read(LARGEST_PAGE)
    if http is not None:
        content = http_body(content, dict(http.items()), most=LARGEST_PAGE + 1)
    if content is None:
        ledger.leave("read", "page that cannot be unpacked", 0, where=where, text=str(url))
        return
    if len(content) > LARGEST_PAGE:
        ledger.leave("read", _TOO_LARGE, 0, where=where, text=str(url))
        return
    kind = (record.http_content_type if http is not None else record.headers.get("Content-Type")) or ""
    if "html" in kind or is_html(content[:1024]):
        try:
            text = main_text(content, record.http_charset if http is not None else None)
        except TooDeepError:
            ledger.leave("read", _TOO_LARGE, 0, where=where, text=str(url))
            return
    elif kind.startswith("text/plain"):
        text = content.decode(_charset(record), errors="replace")
    else:
        ledger.leave("read", "record of another kind", 0, where=where, text=f"{kind} {url}")
        return
    if text and not text.isspace():
        yield Document(text, part.name, position, part.kind, url)
    else:
        ledger.leave("read", "page without main text", 0, where=where, text=str(url))


def _charset(record: Any) -> str:
    """Return the encoding that a plain text names, where there is one of that name; else UTF-8."""
    if record.http_headers is not None:
        named = record.http_charset
    else:
        head = Message()
        head["Content-Type"] = record.headers.get("Content-Type") or ""
        named = head.get_param("charset")
    return str(named) if named and is_encoding(str(named)) else "utf-8"


READERS.register("warc")(Reader(read_warc, (".warc", ".wet"), lambda head: head.startswith(b"WARC/")))
