"""Moving bytes from a server: limits on size and time, and the sentences for what goes wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainwright.data.urls import public_name, without_password
from trainwright.foundation.errors import DataError

CONNECT_SECONDS = 10.0
MAX_BYTES = 64 * 2**30
"""No download is larger."""

_BLOCK = 1 << 20


def pieces(stream: Any, url: str, max_bytes: int, seconds: float = math.inf) -> Iterator[bytes]:
    """Yield what a stream gives.

    Raises:
        DataError: it gives more than `max_bytes`, or goes on for longer than `seconds`.
    """
    total, began = 0, time.monotonic()
    while block := stream.read(_BLOCK):
        total += len(block)
        if total > max_bytes:
            raise DataError(f"the file is larger than {max_bytes >> 20:,} MB", where=public_name(url))
        if time.monotonic() - began > seconds:
            raise DataError(f"the file did not arrive within {seconds:g} seconds", where=public_name(url))
        yield block


def save(stream: Any, path: Path, url: str, size: int | None) -> None:
    """Write what a stream gives into a file.

    Raises:
        DataError: it is too large, or not as many bytes as announced (`size`).
    """
    num_bytes = 0
    with path.open("wb") as out:
        for block in pieces(stream, url, MAX_BYTES):
            out.write(block)
            num_bytes += len(block)
    if size is not None and num_bytes != size:
        raise broken_off(url)


def unreachable(url: str, reason: object) -> DataError:
    """Return the error for a server that gives no answer."""
    text = (str(reason).strip().splitlines() or ["no reason given"])[0].rstrip(".")
    return DataError(
        f"it cannot be reached ({without_password(text, url)})",
        where=public_name(url),
        fix="check the address and the network",
    )


def broken_off(url: str) -> DataError:
    """Return the error for a download that ends too early."""
    return DataError("the download broke off", where=public_name(url), fix="run it again")
