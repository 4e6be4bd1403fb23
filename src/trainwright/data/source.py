"""What a data format is, and how the format of a file is told by its name and content.

A new format is one new file in `data/sources/`: an opener under `SOURCES.register(...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trainwright.data.table import Table
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.registry import Registry
from trainwright.recipe.recipe import DataSettings

HEAD_BYTES = 1 << 16
"""What is looked at to tell a format."""

MEMORY_BYTES = 384 * 2**20
"""Rows that one call holds in memory; what exceeds it is read from disk in pieces."""


@dataclass
class Memory:
    """What is left of the memory that the tables of one call may take.

    Attributes:
        left: bytes.
    """

    left: int = MEMORY_BYTES

    def take(self, num_bytes: int) -> bool:
        """Take memory for rows, or return False when there is too little left."""
        if num_bytes > self.left:
            return False
        self.left -= num_bytes
        return True


@dataclass(frozen=True)
class Place:
    """Where rows are.

    Attributes:
        location: local path, or the URL for sources that are no files.
        name: what messages call it; without passwords.
        root: folder or URL that relative media paths start from.
        notes: what happened on the way here, one sentence each.
    """

    location: str
    name: str
    root: str | None
    notes: tuple[str, ...] = field(default=())

    @property
    def path(self) -> Path:
        """The local path."""
        return Path(self.location)

    def within(self, path: Path) -> Place:
        """Return the place of a file inside this folder."""
        inner = path.relative_to(self.path).as_posix()
        return Place(str(path), f"{self.name.rstrip('/')}/{inner}", str(path.parent), self.notes)


@dataclass(frozen=True)
class Source:
    """A data format.

    Attributes:
        open: reads a place into a table.
        suffixes: endings of file names, with the dot, in lower case.
        told_by: whether the first bytes of a file (`HEAD_BYTES` at most) are of this format.
        called: what a person calls such a file: "an Excel workbook".
    """

    open: Callable[[Place, DataSettings, Memory], Table]
    suffixes: tuple[str, ...] = ()
    told_by: Callable[[bytes], bool] = lambda head: False
    called: str = ""


SOURCES: Registry[Source] = Registry("data format", package="trainwright.data.sources")


def begins(*magic: bytes) -> Callable[[bytes], bool]:
    """Return the test for files that begin with one of some bytes."""
    return lambda head: head.startswith(magic)


def open_place(place: Place, settings: DataSettings, memory: Memory) -> Table:
    """Open a local file or folder.

    Raises:
        DataError: it cannot be read, or its format is not known.
    """
    if place.path.is_dir():
        word = "text" if settings.format == "text" else "folder"
        return SOURCES[word].open(place, settings, memory)
    head = read_head(place)
    if not head.strip(b" \t\r\n\xef\xbb\xbf"):
        raise DataError("the file is empty", where=place.name, fix="give a file with rows")
    word = _format_of(place, head) if settings.format == "auto" else settings.format
    # Validation and test rows may lie in files beside a database.
    if settings.query is not None and word != "sql" and not (settings.validation or settings.test):
        raise DataError(
            "a query needs a database, and this is none", where=place.name, fix="leave the query out"
        )
    try:
        return SOURCES[word].open(place, settings, memory)
    except PermissionError as error:
        raise _unreadable(place) from error


def table_suffixes() -> set[str]:
    """Return the endings of files that hold rows."""
    return {suffix for _, source in SOURCES.items() for suffix in source.suffixes}


def read_head(place: Place) -> bytes:
    """Return the first bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with place.path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(place) from error


def _unreadable(place: Place) -> UserError:
    return DataError("the file cannot be read", where=place.name, fix="check its permissions")


def _format_of(place: Place, head: bytes) -> str:
    """Return the format's word: by ending, unless the content contradicts it."""
    suffix = place.path.suffix.lower()
    by_name = next((word for word, source in SOURCES.items() if suffix in source.suffixes), None)
    by_content = next((word for word, source in SOURCES.items() if source.told_by(head)), None)
    if by_content is not None and by_name not in {None, by_content}:
        raise DataError(
            f"this is {SOURCES[by_content].called}, not a {suffix} file",
            where=place.name,
            fix=f"rename it, or set data.format to {by_content}",
        )
    return by_content or by_name or _text_format(head)


def _text_format(head: bytes) -> str:
    return "jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" else "csv"
