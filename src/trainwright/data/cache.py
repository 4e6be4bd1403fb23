"""The cache of what was read: it stays below a size, and what was used last stays longest."""

from __future__ import annotations

import math
import os
import shutil
import time
from pathlib import Path

from trainwright.foundation.errors import UserError

CACHE_LIMIT = "TRAINWRIGHT_CACHE_GB"
"""Variable of the environment that sets how many GB each kind of cached data may take."""
_DEFAULT_GB = 50.0

_IN_USE_SECONDS = 86_400
"""What was used within a day is left alone: another process may be reading it."""


def cache_bytes() -> int:
    """Return how many bytes each kind of cached data may take.

    Raises:
        UserError: the environment names no such size.
    """
    word = os.environ.get(CACHE_LIMIT, str(_DEFAULT_GB))
    try:
        size = float(word)
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise UserError(f"'{word}' is no number of GB", where=CACHE_LIMIT, fix="set it to a number above 0")
    return int(size * 2**30)


def prune(newest: Path) -> None:
    """Remove what was used longest ago beside `newest`, beyond the size limit."""
    folders = [path for path in newest.parent.iterdir() if path != newest and path.is_dir()]
    used = sorted(((path.stat().st_mtime, path) for path in folders), reverse=True)
    total, most = _size(newest), cache_bytes()
    for when, folder in used:
        total += _size(folder)
        if total > most and time.time() - when > _IN_USE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
