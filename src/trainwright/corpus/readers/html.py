"""HTML: the main text of a page, without navigation, advertisements and footers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainwright.corpus.document import Document
from trainwright.corpus.encodings import is_encoding
from trainwright.corpus.extras import extra
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked, Reader, Slice
from trainwright.corpus.streams import opened
from trainwright.foundation.errors import DataError

LARGEST_PAGE = 16 << 20
_NEED = "pages of HTML"

_SAFE_DEPTH = 5_000
_DEEPEST = 512
"""Finding the main text takes time by the square of the depth; browsers stop at 512, too.

A page with fewer tags than the first takes less than a second, however they stand.
"""


class TooDeepError(ValueError):
    """Elements of a page stand in one another too many times."""


def main_text(page: bytes, charset: str | None = None) -> str:
    """Return the main text of a page (Resiliparse, Bevendorff et al. 2018, 'Elastic ChatNoir').

    Args:
        page: the page.
        charset: the encoding that its server or the user named; found where there is none of that name.

    Raises:
        TooDeepError: its elements stand in one another too many times.
        UserError: the package for it is not installed.
    """
    encoding = extra("resiliparse.parse.encoding", need=_NEED)
    found = charset if charset and is_encoding(charset) else None
    found = found or encoding.detect_encoding(page, from_html_meta=True) or "utf-8"
    text = encoding.bytes_to_str(page, found, errors="replace")
    extract = extra("resiliparse.extract.html2text", need=_NEED).extract_plain_text
    tree = extra("resiliparse.parse.html", need=_NEED).HTMLTree.parse(text)
    if text.count("<") > _SAFE_DEPTH and _is_deeper(tree.document, _DEEPEST):
        raise TooDeepError
    return str(extract(tree, main_content=True, alt_texts=False, preserve_formatting=True)).strip()


def _is_deeper(root: Any, most: int) -> bool:
    """Return whether elements of a page stand in one another more than `most` times."""
    node, depth = root, 0
    while node is not None:
        if node.first_child is not None:
            node, depth = node.first_child, depth + 1
            if depth > most:
                return True
            continue
        while node.next is None:
            node, depth = node.parent, depth - 1
            if depth <= 0:
                return False
        node = node.next
    return False


def read_html(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the main text of a page.

    Raises:
        DataError: the page is too large, or no text.
        UserError: the package for it is not installed.
    """
    with opened(part.path, part.name) as stream:
        page = stream.read(LARGEST_PAGE + 1)
    if len(page) > LARGEST_PAGE:
        raise DataError(
            f"the page has more than {LARGEST_PAGE >> 20} MB", where=part.name, fix="leave it out"
        )
    if b"\0" in page[:1024] and not page.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            "this is not a page of HTML: it holds zero bytes", where=part.name, fix="leave it out"
        )
    try:
        text = main_text(page, asked.encoding)
    except TooDeepError:
        raise DataError(
            f"elements of the page stand in one another more than {_DEEPEST} times",
            where=part.name,
            fix="leave it out",
        ) from None
    if text:
        yield Document(text, part.name, "", part.kind)
    else:
        ledger.leave("read", "page without main text", 0, where=part.name)


def is_html(head: bytes) -> bool:
    """Return whether a file begins like a page."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    return start.startswith((b"<!doctype html", b"<html")) or (
        start.startswith(b"<?xml") and b"<html" in start
    )


READERS.register("html")(Reader(read_html, (".html", ".htm", ".xhtml"), is_html))
