"""Names of files and folders that say which part of the data they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from trainwright.data.splits.parts import PART_WORDS

_WORD = re.compile(r"[^\W\d_]+")


def part_of_name(name: str) -> int | None:
    """Return the part that a name speaks of: 2 for `test.csv` and for `mnist_test-00001-of-00004.parquet`.

    A name that speaks of none, or of two, says nothing.
    """
    found = {PART_WORDS[word] for word in _WORD.findall(name.lower()) if word in PART_WORDS}
    return found.pop() if len(found) == 1 else None


def part_of_path(path: str) -> int | None:
    """Return the part that a file's name speaks of, else the one that a folder above it is called by."""
    whole = PurePath(path)
    above = (
        PART_WORDS[folder.lower()] for folder in reversed(whole.parts[:-1]) if folder.lower() in PART_WORDS
    )
    own = part_of_name(whole.stem)
    return next(above, None) if own is None else own


def given_parts(parts: Sequence[int | None]) -> list[int | None]:
    """Return the parts of several files if they make a split, else None for each.

    They do when every file has one, some are for training and some are not.
    """
    sensible = None not in parts and 0 in parts and len(set(parts)) > 1
    return list(parts) if sensible else [None] * len(parts)
