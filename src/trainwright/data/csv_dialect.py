"""The dialect of a delimited text file, told from its first records."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

_DELIMITERS = (",", ";", "\t", "|")
_NEVER = "\x1f"  # the unit separator, which no text holds
_RECORDS = 500

_FRACTION = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    """How records and values are told apart.

    Attributes:
        delimiter: one character between values.
        quote: character around values that hold delimiters or newlines; None where quotes mean nothing.
        escape: character before a quote inside quotes; None where such a quote is doubled.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None

    def records(self, text: str) -> list[list[str]]:
        """Return the first records of a text, blank lines left out."""
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
            escapechar=self.escape,
            doublequote=self.escape is None,
        )
        found: list[list[str]] = []
        with suppress(csv.Error):  # a value larger than the module's limit; the records before it tell enough
            found.extend(itertools.islice((record for record in reader if record), _RECORDS))
        return found


def sniff(text: str, *, whole: bool, delimiter: str | None = None) -> tuple[Dialect, list[list[str]]]:
    """Return the dialect of a text and its first records.

    For every dialect in question the records are counted that have as many values as the first one, which
    is the header. Of the ways to quote the one with the largest share of such records wins, then the
    plainest; of the delimiters the one with the largest share, then the one with most columns. Where the
    header has one value in all of them the file has one column, whose text may hold any delimiter.

    Args:
        text: beginning of the file.
        whole: the text is the whole file; otherwise its last record is cut off and is not looked at.
        delimiter: the delimiter that the user set.
    """
    delimiters = _DELIMITERS if delimiter is None else (delimiter,)
    found = [max(_readings(text, mark, whole), key=lambda reading: reading.share) for mark in delimiters]
    best = max(found, key=lambda reading: (reading.share, reading.width))
    if best.width > 1:
        return best.dialect, best.records
    dialect = _one_column(text, whole=whole) if delimiter is None else best.dialect
    return dialect, dialect.records(text) or [[text.strip().splitlines()[0]]]


@dataclass(frozen=True)
class _Reading:
    """A text as a dialect sees it.

    Attributes:
        dialect: the dialect.
        records: the first records.
        width: values in the header.
        share: share of records that have as many; -1 where the header has a single one.
    """

    dialect: Dialect
    records: list[list[str]]
    width: int
    share: float


def _readings(text: str, delimiter: str, whole: bool) -> Iterator[_Reading]:
    """Yield what the ways to quote make of a text, the plainest first."""
    for dialect in _ways_to_quote(text, delimiter):
        records = dialect.records(text)
        if not whole and 1 < len(records) < _RECORDS:
            records = records[:-1]
        width = len(records[0]) if records else 0
        fitting = sum(len(record) == width for record in records)
        yield _Reading(dialect, records, width, round(fitting / len(records), 3) if width > 1 else -1.0)


def _ways_to_quote(text: str, delimiter: str) -> Iterator[Dialect]:
    header = text.lstrip().split("\n", 1)[0].strip().split(delimiter)
    if all(len(value) > 1 and value[0] == value[-1] == "'" for value in header):
        yield Dialect(delimiter, quote="'")
    yield Dialect(delimiter)
    if '\\"' in text:
        yield Dialect(delimiter, escape="\\")
    if '"' in text:
        yield Dialect(delimiter, quote=None)


def _one_column(text: str, *, whole: bool) -> Dialect:
    """Return the dialect of a file with one column; quotes mean nothing where they do not come in pairs."""
    strict = csv.reader(io.StringIO(text, newline=""), delimiter=_NEVER, strict=True)
    try:
        for _ in itertools.islice(strict, _RECORDS):
            pass
    except csv.Error as error:
        if whole or "unexpected end" not in str(error):
            return Dialect(_NEVER, quote=None)
    return Dialect(_NEVER)


def lacks_header(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the first record is data, on strong evidence only.

    That is a name such as `5.1`, which nobody gives a column whose values are numbers too; or, in most
    columns, a name that comes back among the values. Whole numbers alone prove nothing: years and pixels
    are named so.
    """
    header = [value.strip() for value in records[0]]
    rows = [
        record for record in records[1:] if len(record) == len(header) and list(record) != list(records[0])
    ]
    if not rows:
        return False
    columns = list(zip(*rows, strict=True))
    for name, values in zip(header, columns, strict=True):
        given = [value.strip() for value in values if value.strip()]
        if _FRACTION.fullmatch(name) and given and all(_NUMBER.fullmatch(value) for value in given):
            return True
    repeated = [
        name
        for name, values in zip(header, columns, strict=True)
        if name and name in {value.strip() for value in values}
    ]
    words = [name for name in repeated if not _NUMBER.fullmatch(name)]
    return len(header) >= 2 and len(repeated) > len(header) / 2 and words != []


def stray_quotes(blocks: Iterable[bytes], tabs: int) -> bool:
    """Return whether quotes mean nothing in a tab-separated file.

    They do where a line has all its values (`tabs` tabs) but an odd number of quotes: taken seriously,
    such a quote would swallow the lines up to the next one.

    Args:
        blocks: the file's UTF-8 content.
        tabs: tabs in the header.
    """
    rest = b""
    for block in blocks:
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if b'"' not in whole:
            continue
        codes = np.frombuffer(whole + newline, dtype=np.uint8)
        ends = np.flatnonzero(codes == ord("\n"))
        starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
        num_tabs = np.add.reduceat(codes == ord("\t"), starts, dtype=np.int64)
        num_quotes = np.add.reduceat(codes == ord('"'), starts, dtype=np.int64)
        if ((num_tabs == tabs) & (num_quotes % 2 == 1)).any():
            return True
    return False
