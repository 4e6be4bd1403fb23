"""The cache of what was read: it stays below a size, and what was used last stays longest."""

from __future__ import annotations

import math
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from trainwright.foundation.errors import UserError
from trainwright.foundation.leases import in_use

CACHE_LIMIT = "TRAINWRIGHT_CACHE_GB"
"""Variable of the environment that sets how many GB each kind of cached data may take."""
_DEFAULT_GB = 50.0

_SCRATCH_SECONDS = 86_400
"""Hidden folders are being written by someone; so old, that someone is dead."""


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


def prune(newest: Path, *, coming: int = 0) -> None:
    """Remove what was used longest ago beside `newest`, beyond the size limit.

    What a live process uses (`foundation.leases.use`) stays, and counts.

    Args:
        newest: the folder that is wanted now; it need not be there yet.
        coming: bytes that are still to be written into it.
    """
    seen: set[tuple[int, int]] = set()
    total, most = coming + _size(newest, seen), cache_bytes()
    removed: list[Path] = []
    with in_use() as kept:
        folders = [path for path in newest.parent.iterdir() if path != newest and path.is_dir()]
        # What stays anyway is counted first: it leaves less room for the others.
        order = sorted(((path.absolute() in kept, _changed(path), path) for path in folders), reverse=True)
        for is_kept, when, folder in order:
            total += _size(folder, seen)
            is_written = folder.name.startswith(".") and time.time() - when < _SCRATCH_SECONDS
            if total > most and not is_kept and not is_written:
                with suppress(FileNotFoundError):  # a scratch folder that has taken its name
                    removed.append(folder.replace(folder.with_name(f".removed-{secrets.token_hex(6)}")))
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)


def _changed(folder: Path) -> float:
    with suppress(FileNotFoundError):
        return folder.stat().st_mtime
    return 0.0


def _size(folder: Path, seen: set[tuple[int, int]]) -> int:
    """Return the bytes of the files below a folder; one that several folders share counts once."""
    total, waiting = 0, [folder]
    while waiting:
        with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                    continue
                status = entry.stat(follow_symlinks=False)
                if status.st_nlink > 1 and (status.st_dev, status.st_ino) in seen:
                    continue
                if status.st_nlink > 1:
                    seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total
