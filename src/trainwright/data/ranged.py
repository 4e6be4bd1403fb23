"""Downloading a file range by range: what arrived is kept, and the next attempt goes on behind it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
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
    is_digest: Callable[[], bool] = lambda: True,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Fetch a file into `target`, through `target`.part, of which the bytes that are there are not asked for.

    The caller sees to it that such a part is of the same version of the file.

    Args:
        read: (start, end) → the bytes [start, end) of the remote file.
        target: where it goes; its folder is there.
        size: bytes of the file.
        tag: what the server says of its content (ETag); where that is an MD5, the content is checked.
        is_digest: asked where the check fails: whether the tag is an MD5, and does not just look so.
        stopped: asked between ranges; True leaves the part for another time.

    Raises:
        OSError: less arrived than was asked for (the part stays), or the content is another (it goes).
    """
    if target.exists():
        return
    part = part_of(target)
    with part.open("ab") as stream:
        while (have := stream.tell()) < size:
            if stopped():
                return
            end = min(have + RANGE_BYTES, size)
            block = read(have, end)
            if (
                len(block) > end - have
            ):  # the server does not know ranges: this may be another part of the file
                raise ChecksumError(f"{len(block):,} bytes arrived where {end - have:,} were asked for")
            stream.write(block)
            stream.flush()
            if len(block) < end - have:
                raise CutOffError(f"{len(block):,} of {end - have:,} bytes arrived")
        os.fsync(stream.fileno())
    expected = _MD5.fullmatch(tag or "")
    differs = expected is not None and _md5(part) != expected[1] and is_digest()
    if part.stat().st_size != size or differs:
        part.unlink()
        raise ChecksumError("what arrived is not what the server has")
    part.replace(target)


def part_of(target: Path) -> Path:
    """Return where the bytes of a file lie until all have arrived."""
    return target.with_name(f"{target.name}.part")


def arrived(target: Path) -> int:
    """Return how many bytes of a file have arrived."""
    for path in (target, part_of(target)):
        with suppress(FileNotFoundError):
            return path.stat().st_size
    return 0


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
