"""Downloading a file range by range: what arrived is kept, and the next attempt goes on behind it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

RANGE_BYTES = 8 << 20
"""What is asked for at a time; a thread holds no more."""
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


class CutOffError(OSError):
    """Less arrived than was asked for."""


class ChecksumError(OSError):
    """What arrived is not what the server has."""


def download(
    read: Callable[[int, int], bytes],
    target: Path,
    *,
    size: int,
    tag: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Fetch a file into `target`, through `target`.part, of which the bytes that are there are not asked for.

    The caller sees to it that such a part is of the same version of the file.

    Args:
        read: (start, end) → the bytes [start, end) of the remote file.
        target: where it goes; its folder is there.
        size: bytes of the file.
        tag: what the server says of its content (ETag); where that is an MD5, the content is checked.
        stopped: asked between ranges; True leaves the part for another time.

    Raises:
        OSError: less arrived than was asked for (the part stays), or the content is another (it goes).
    """
    if target.exists():
        return
    part = target.with_name(f"{target.name}.part")
    with part.open("ab") as stream:
        while (have := stream.tell()) < size:
            if stopped():
                return
            end = min(have + RANGE_BYTES, size)
            block = read(have, end)[: end - have]
            stream.write(block)
            stream.flush()
            if len(block) < end - have:
                raise CutOffError(f"{len(block):,} of {end - have:,} bytes arrived")
        os.fsync(stream.fileno())
    expected = _MD5.fullmatch(tag or "")
    if part.stat().st_size != size or (expected is not None and _md5(part) != expected[1]):
        part.unlink()
        raise ChecksumError("what arrived is not what the server has")
    part.replace(target)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
