"""The dialect of a delimited text file, told from its first records."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_DELIMITERS = (",", ";", "\t", "|")
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
        try:
            found.extend(itertools.islice((record for record in reader if record), _RECORDS))
        except csv.Error:  # a value larger than the module's limit; the records before it tell enough
            pass
        return found


def sniff(text: str, *, whole: bool, delimiter: str | None = None) -> tuple[Dialect, list[list[str]]]:
    """Return the dialect of a text and its first records.

    For every dialect in question the records are counted that have as many values as the first one, which
    is the header: the dialect with the largest share wins, then the one with most columns, then the plainer
    one. A dialect in which the header has one value only counts when there is no other.

    Args:
        text: beginning of the file.
        whole: the text is the whole file; otherwise its last record is cut off and is not looked at.
        delimiter: the delimiter that the user set.
    """
    best: tuple[tuple[float, int], Dialect, list[list[str]]] | None = None
    for dialect in _candidates(text, delimiter):
        records = dialect.records(text)
        if not whole and 1 < len(records) < _RECORDS:
            records = records[:-1]
        if not records:
            continue
        width = len(records[0])
        share = sum(len(record) == width for record in records) / len(records)
        score = (round(share, 3), width) if width > 1 else (-1.0, 1)
        if best is None or score > best[0]:
            best = (score, dialect, records)
    if best is None:  # no record is short enough for the csv module: the first line is the header
        dialect = Dialect(delimiter or ",")
        return dialect, [text.strip().splitlines()[0].split(dialect.delimiter)]
    return best[1], best[2]


def _candidates(text: str, delimiter: str | None) -> list[Dialect]:
    delimiters = _DELIMITERS if delimiter is None else (delimiter,)
    found = []
    for mark in delimiters:
        found.append(Dialect(mark))
        if '\\"' in text:
            found.append(Dialect(mark, escape="\\"))
        header = text.lstrip().split("\n", 1)[0].strip().split(mark)
        if all(len(value) > 1 and value[0] == value[-1] == "'" for value in header):
            found.append(Dialect(mark, quote="'"))
        if '"' in text:
            found.append(Dialect(mark, quote=None))
    return found


def lacks_header(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the first record is data, on strong evidence only.

    That is a name such as `5.1`, which nobody gives a column whose values are numbers too; or, in most
    columns, a name that comes back among the values. Whole numbers alone prove nothing: years and pixels
    are named so.
    """
    header = [value.strip() for value in records[0]]
    rows = [record for record in records[1:] if len(record) == len(header) and list(record) != list(records[0])]
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
