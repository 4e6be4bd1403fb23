"""Markdown: a file is a document; what is between its first two lines of `---` is about it, not of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from trainwright.corpus.document import Document
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked, Reader, Slice
from trainwright.corpus.readers.text import read_text

_FRONT_MATTER = re.compile(r"---\s*\n.*?\n---\s*(?:\n|$)", re.DOTALL)


def read_markdown(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the documents of a Markdown file.

    Raises:
        DataError: this is no text, or not in the encoding that was asked for.
    """
    for number, document in enumerate(read_text(part, asked, ledger)):
        text = document.text
        front = _FRONT_MATTER.match(text) if number == 0 else None
        if front is not None:
            ledger.note("front matter of Markdown left out")
            text = text[front.end() :]
        if text and not text.isspace():
            yield replace(document, text=text)


READERS.register("markdown")(Reader(read_markdown, (".md", ".markdown", ".mdx")))
