"""Ctrl-C: the first one ends training cleanly and keeps the model, the second one ends the process."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """While entered, remembers a first SIGINT or SIGTERM and lets a second one through.

    Before `requested` is asked for the first time nothing has been learned: then the first one ends the
    process, too.
    """

    def __init__(self) -> None:
        self._asked = False
        self._training = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked or not self._training:
            raise KeyboardInterrupt
        self._asked = True
        print(  # noqa: T201 (a signal handler must not wait for the progress bar's lock)
            "\nStopping after this step; the model is kept. Press Ctrl-C again to stop now.", file=sys.stderr
        )

    @property
    def asked(self) -> bool:
        """Whether the user asked to stop; for who does not train."""
        return self._asked

    def requested(self) -> bool:
        """Whether the user asked to stop; training asks before every step."""
        self._training = True
        return self._asked
