"""Patience with clients of servers, whose own time-outs may be minutes or none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from trainwright.data.retry import NoAnswerError

T = TypeVar("T")

STALL_SECONDS = 60.0
"""A server that gives nothing for so long is asked again."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns.

    Raises:
        NoAnswerError: it takes longer than some seconds; it goes on in a thread that nobody waits for.
    """
    result: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failed.append(error)

    # A daemon: a thread that hangs must not keep the program from ending.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not result:
        raise NoAnswerError(f"{seconds:g}")
    return result[0]


class Patient:
    """A stream whose every read must give something before the download counts as broken off."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        return within(STALL_SECONDS, lambda: bytes(self._stream.read(size)))
