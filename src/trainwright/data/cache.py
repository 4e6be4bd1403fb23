"""The cache of what was read: it stays below a size, and what was used last stays longest."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

CACHE_BYTES = 50 * 2**30
"""Each kind of cached data takes at most this much room."""

_IN_USE_SECONDS = 86_400
"""What was used within a day is left alone: another process may be reading it."""


def prune(newest: Path) -> None:
    """Remove what was used longest ago beside `newest`, beyond the size limit."""
    folders = [path for path in newest.parent.iterdir() if path != newest and path.is_dir()]
    used = sorted(((path.stat().st_mtime, path) for path in folders), reverse=True)
    total = _size(newest)
    for when, folder in used:
        total += _size(folder)
        if total > CACHE_BYTES and time.time() - when > _IN_USE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
