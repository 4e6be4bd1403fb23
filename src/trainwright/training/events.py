"""Events: one JSON line for everything that happens in a run, and listeners who hear it as it happens."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainwright.foundation.paths import writing

Listener = Callable[[dict[str, Any]], None]

_FLUSH_SECONDS = 1.0
_BLOCK_BYTES = 65_536


class EventLog:
    """Appends events to `events.jsonl`; what is older than a second survives a kill.

    Args:
        path: the file; opened for appending, so a resumed run goes on in it.
        listeners: called with every event, in order.
    """

    def __init__(self, path: Path, listeners: list[Listener] | None = None) -> None:
        self.listeners = listeners or []
        with writing(path):
            _end_at_a_line(path)
            self._stream = path.open("a", encoding="utf-8")
        self._path = path
        self._flushed = time.monotonic()

    def __call__(self, kind: str, **values: Any) -> None:
        """Record an event; NaN and infinity, which JSON lacks, become null."""
        event = {"kind": kind, "time": round(time.time(), 3), **values}
        with writing(self._path):
            self._stream.write(json.dumps(_finite(event), ensure_ascii=False, allow_nan=False) + "\n")
            now = time.monotonic()
            if kind != "step" or now - self._flushed > _FLUSH_SECONDS:
                self._stream.flush()
                self._flushed = now
        for listener in self.listeners:
            listener(event)

    def close(self) -> None:
        """Flush and close the file."""
        with writing(self._path):
            self._stream.close()


def _end_at_a_line(path: Path) -> None:
    """Cut off a last line that a kill left unfinished: what is appended to it could not be read."""
    if not path.exists():
        return
    with path.open("rb+") as stream:
        size = end = stream.seek(0, os.SEEK_END)
        while end:
            start = max(end - _BLOCK_BYTES, 0)
            stream.seek(start)
            line_end = stream.read(end - start).rfind(b"\n")
            if line_end >= 0:
                end = start + line_end + 1
                break
            end = start
        if end < size:
            stream.truncate(end)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a file; a last line that a kill cut short is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
