"""Names that stand for several files: `part-{00..07}.tar` is a range, `part-*.tar` a pattern."""

from __future__ import annotations

import re

from trainwright.foundation.errors import DataError

MAX_FILES = 1_000_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAGIC = re.compile(r"[*?\[]|\{\d+\.\.\d+\}")


def has_range(pattern: str) -> bool:
    """Return whether a name holds a range of numbers."""
    return _RANGE.search(pattern) is not None


def spread(pattern: str) -> list[str]:
    """Return the names that `{00..07}` stands for; numbers keep the width of the first.

    Raises:
        DataError: they are too many.
    """
    found = [(match[0], match[1], int(match[1]), int(match[2])) for match in _RANGE.finditer(pattern)]
    total = 1
    for written, _, first, last in found:
        total *= max(last - first + 1, 0)
        if not 0 < total <= MAX_FILES:
            raise DataError(
                "this range of files is empty or too long", where=written, fix="check the pattern"
            )
    names = [""]
    position = 0
    for (_, width, first, last), match in zip(found, _RANGE.finditer(pattern), strict=True):
        before = pattern[position : match.start()]
        numbers = [str(number).zfill(len(width)) for number in range(first, last + 1)]
        names = [f"{name}{before}{number}" for name in names for number in numbers]
        position = match.end()
    return [f"{name}{pattern[position:]}" for name in names]


def widened(pattern: str) -> str:
    """Return the pattern with `*` in place of each range: one listing finds all of its names."""
    return _RANGE.sub("*", pattern)


def fixed_part(pattern: str) -> str:
    """Return the folder that all names of a pattern lie below."""
    return _MAGIC.split(pattern, maxsplit=1)[0].rpartition("/")[0]
