"""What readers yield: a text, and where a person finds it again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text of a source.

    Attributes:
        text: the text, as the source has it.
        source: the file, as the user calls it.
        position: where it is in the file, "line 17"; empty where the file is the document.
        kind: what the file was read as.
        url: where the source says that it came from.
        part_of: position of the document that this is a part of; None where it is whole.
    """

    text: str
    source: str
    position: str
    kind: str
    url: str | None = None
    part_of: str | None = None

    @property
    def where(self) -> str:
        """`news.jsonl line 17`."""
        return f"{self.source} {self.position}" if self.position else self.source


def whole_characters(text: str) -> str:
    """Return a text that UTF-8 can hold: halves of characters, and bytes of file names, become `\\ud800`."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
