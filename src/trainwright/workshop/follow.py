"""Progress of a run that other processes carry out, as the run folder tells of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from trainwright.workshop.progress import Console


class Follower:
    """Shows what the files of a run tell, as far as they have come.

    Args:
        console: where it is shown.
        place: the run folder; events that are there already are not shown.
        begun: called when training begins, before anything is shown.
    """

    def __init__(self, console: Console, place: Path, begun: Callable[[], Any]) -> None:
        self._console, self._place, self._begun = console, place, begun
        self._path = place / "events.jsonl"
        self._position = self._path.stat().st_size if self._path.exists() else 0
        self._open: Any = None
        self._listen: Any = None
        self._starts = 0

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            self._open.__exit__(kind, error, trace)

    def look(self) -> None:
        """Show what is new."""
        for event in self._new():
            if event["kind"] == "start":
                self._started(event["steps"])
            elif event["kind"] == "resume" and self._starts > 1:
                self._console.say(f"A process was lost; all of them go on from step {event['step']:,}.")
            if self._listen is not None:
                self._listen(event)

    def _started(self, steps: int) -> None:
        self._starts += 1
        self._begun()
        if self._open is None:
            self._console.data(json.loads((self._place / "data.json").read_text(encoding="utf-8")))
            self._open = self._console.training(steps)
            self._listen = self._open.__enter__()

    def _new(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            # A run that goes on cuts off a line that was not finished.
            self._position = stream.seek(min(self._position, self._path.stat().st_size))
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield json.loads(line)
