"""Markdown: a file is a document; what is between its first two lines of `---` is about it, not of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from trainwright.corpus.document import Document
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.reader import READERS, Asked, Reader, Slice
from trainwright.corpus.readers.text import read_text

_KEY = re.compile(r"""(?:"[^"\n]*"|'[^'\n]*'|[\w./@$-]+(?:[ ][\w./@$-]+){0,2})\s*:(?:\s|$)""")
"""A key of YAML: quoted, or up to three words."""

_BELOW_A_KEY = (" ", "\t", "- ", "]", "}")
"""How lines begin that go on with a key's value."""


def read_markdown(part: Slice, asked: Asked, ledger: Ledger) -> Iterator[Document]:
    """Yield the documents of a Markdown file.

    Raises:
        DataError: this is no text, or not in the encoding that was asked for.
    """
    for number, document in enumerate(read_text(part, asked, ledger)):
        text = document.text
        front = _front_matter(text) if number == 0 else 0
        if text[front:].strip():
            ledger.note("front matter of Markdown left out", int(front > 0))
            yield replace(document, text=text[front:])
        else:
            ledger.leave("read", "no text", 0, where=document.where, text=text)


def _front_matter(text: str) -> int:
    """Return where what comes before the text ends: behind the second line of `---`, 0 without.

    A line of `---` may be a horizontal rule, too: what is between two of them is a part of the text unless it
    looks like YAML.
    """
    begin = text.find("\n") + 1
    if not begin or text[:begin].rstrip() != "---":
        return 0
    first = begin
    while (found := text.find("\n---", begin - 1)) >= 0:
        end = text.find("\n", found + 1)
        end = len(text) if end < 0 else end + 1
        if text[found + 1 : end].rstrip() == "---":
            return end if _is_yaml(text[first : found + 1]) else 0
        begin = end
    return 0


def _is_yaml(block: str) -> bool:
    """Return whether lines are keys with their values and comments; what is blank is, too."""
    lines = [line for line in block.split("\n") if line and not line.isspace()]
    said = [line for line in lines if not line.startswith("#")]  # what has no key at all has headings
    if not said:
        return not lines
    return _KEY.match(said[0]) is not None and all(
        line.startswith(_BELOW_A_KEY) or _KEY.match(line) for line in said
    )


READERS.register("markdown")(Reader(read_markdown, (".md", ".markdown", ".mdx")))
