"""What a reader is, and which one reads a file: told by its name, unless the content says otherwise.

A new kind of file is one new file in `corpus/readers/`: a reader under `READERS.register(...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainwright.corpus.document import Document
from trainwright.corpus.ledger import Ledger
from trainwright.corpus.streams import head_of, inner_suffix, is_compressed
from trainwright.foundation.errors import DataError
from trainwright.foundation.registry import Registry

HEAD_BYTES = 1 << 16
SLICE_BYTES = 16 << 20
"""Long files are worked on in slices of this size, where their kind allows it."""


@dataclass(frozen=True)
class Slice:
    """A part of a file, or all of it.

    Attributes:
        path: the file.
        name: what messages and the corpus call it.
        kind: the reader.
        start: where it begins, in what the reader counts (bytes, row groups).
        end: where it ends; None for the end of the file.
        num_bytes: about how much there is to read.
        file_bytes: size of the file when it was found.
        modified_ns: when it was written last.
        first_row: number of its first row, where the reader counts rows.
    """

    path: Path
    name: str
    kind: str
    start: int = 0
    end: int | None = None
    num_bytes: int = 0
    file_bytes: int = 0
    modified_ns: int = 0
    first_row: int = 0


@dataclass(frozen=True)
class Asked:
    """What the user said about reading.

    Attributes:
        text_column: column or member that holds the text.
        encoding: encoding of text files.
        split: what is a document of a plain text: "file", "paragraph" or "line".
        most_characters: longer texts become several documents.
        all_texts: every text of a row is a document of its own: for evaluation sets.
    """

    text_column: str | None = None
    encoding: str | None = None
    split: str = "file"
    most_characters: int = 500_000
    all_texts: bool = False


def whole(path: Path, name: str, kind: str) -> list[Slice]:
    """Return a file as one slice."""
    return [Slice(path, name, kind, num_bytes=path.stat().st_size)]


@dataclass(frozen=True)
class Reader:
    """A kind of file.

    Attributes:
        read: yields the documents of a slice.
        suffixes: endings of file names, with the dot, in lower case.
        told_by: whether the first bytes of a file are of this kind.
        slices: cuts a file into parts that can be worked on apart.
    """

    read: Callable[[Slice, Asked, Ledger], Iterator[Document]]
    suffixes: tuple[str, ...]
    told_by: Callable[[bytes], bool] = lambda head: False
    slices: Callable[[Path, str, str], list[Slice]] = whole


READERS: Registry[Reader] = Registry("reader of documents", package="trainwright.corpus.readers")


def kind_of(path: Path, name: str) -> str | None:
    """Return the reader's word for a file; None where its ending is that of something else.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    suffix = inner_suffix(path)
    by_name = next((word for word, reader in READERS.items() if suffix in reader.suffixes), None)
    # `dump.2024.gz` says nothing about what is in it.
    if by_name is None and suffix and not (is_compressed(path) and suffix[1:].isdigit()):
        head = head_of(path, name, HEAD_BYTES)
        return next((word for word, reader in READERS.items() if reader.told_by(head)), None)
    head = head_of(path, name, HEAD_BYTES)
    if not head.strip(b" \t\r\n\xef\xbb\xbf"):
        raise DataError("the file is empty", where=name, fix="leave it out")
    by_content = next((word for word, reader in READERS.items() if reader.told_by(head)), None)
    if by_content is None or (by_name in {"text", "markdown"} and by_content == "html"):
        return by_name or ("jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" else "text")
    if by_name not in {None, by_content}:
        raise DataError(f"this is {by_content}, not a {suffix} file", where=name, fix="rename it")
    return by_content
