"""Trying again where a server fails for a moment: a few times, each after a longer pause.

The upper half of each pause is drawn at random (Brooker 2015, 'Exponential Backoff and Jitter', equal
jitter), so that downloads that fail together, here or on other machines, do not come back together.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from trainwright.data.ranged import ChecksumError
from trainwright.foundation.errors import UserError
from trainwright.foundation.random import numpy_stream

T = TypeVar("T")

ATTEMPTS = 6
"""Times that something is tried without getting on: half a minute of pauses at most."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 16.0
_FINAL = (UserError, FileNotFoundError, PermissionError, IsADirectoryError, ImportError, ChecksumError)
_FINAL_CODES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class NoAnswerError(TimeoutError):
    """A server gave nothing for a while."""


def is_final(error: BaseException) -> bool:
    """Return whether trying again is of no use: what is not there, not allowed, or a full disk."""
    if not isinstance(error, Exception) or isinstance(error, _FINAL) or lacks_credentials(error):
        return True
    return isinstance(error, OSError) and error.errno in _FINAL_CODES


def lacks_credentials(error: BaseException) -> bool:
    """Return whether a client of an object store found no credentials; each has its own error for it."""
    return type(error).__name__.endswith("CredentialsError")


def retried(
    work: Callable[[], T],
    what: str,
    *,
    progress: Callable[[], int] = lambda: 0,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Return what `work` returns, trying again after failures that may pass.

    Args:
        work: what to do; it goes on from where it failed, if it can.
        what: names the stream that pauses are drawn from.
        progress: how far the work has come. Attempts are counted anew where it got on since the last failure:
            a long download meets more failures than a short one, and is none the worse for it.
        sleep: waits some seconds.
    """
    random = numpy_stream(0, "retry", socket.gethostname(), what)
    failures, furthest = 0, progress()
    while True:
        try:
            return work()
        except Exception as error:
            now = progress()
            failures = 1 if now > furthest else failures + 1
            furthest = max(furthest, now)
            if is_final(error) or failures >= ATTEMPTS:
                raise
        sleep(random.uniform(0.5, 1.0) * min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE))
