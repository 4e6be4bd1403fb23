"""Markdown: a file is a document; what is between its first two lines of `---` is about it, not of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trainwright.corpus.document import Document
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked, Reader, Slice
from trainwright.corpus.readers.text import read_text


def read_markdown(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the documents of a Markdown file.

    Raises:
        DataError: this is no text, or not in the encoding that was asked for.
    """
    for number, document in enumerate(read_text(part, asked, ledger)):
        text = document.text
        front = _front_matter(text) if number == 0 else 0
        if front:
            ledger.note("front matter of Markdown left out")
            text = text[front:]
        if text and not text.isspace():
            yield replace(document, text=text)


def _front_matter(text: str) -> int:
    """Return where what comes before the text ends: behind the second line of `---`, 0 without."""
    begin = text.find("\n") + 1
    if not begin or text[:begin].rstrip() != "---":
        return 0
    while (found := text.find("\n---", begin - 1)) >= 0:
        end = text.find("\n", found + 1)
        end = len(text) if end < 0 else end + 1
        if text[found + 1 : end].rstrip() == "---":
            return end
        begin = end
    return 0


READERS.register("markdown")(Reader(read_markdown, (".md", ".markdown", ".mdx")))
