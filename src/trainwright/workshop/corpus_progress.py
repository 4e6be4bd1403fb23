"""What a person sees on the terminal while a corpus is made; always on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from trainwright.workshop.progress import Console

Report = Callable[[int, int], None]


class CorpusProgress:
    """Progress of a corpus.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet)
        self.working = self._console.working
        self.say = self._console.say

    def __enter__(self) -> CorpusProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            self.say("Stopped; the same command goes on from here.")

    @contextmanager
    def bytes(self, what: str, total: int, *, done: int) -> Iterator[Report]:
        """Yield what is told of documents and bytes as they are read."""
        with self._bar(what, total, done, "bytes") as advance:
            yield advance

    @contextmanager
    def documents(self, what: str, total: int, *, done: int) -> Iterator[Report]:
        """Yield what is told of documents as they are written."""
        with self._bar(what, total, done, "documents") as advance:
            yield advance

    @contextmanager
    def _bar(self, what: str, total: int, done: int, unit: str) -> Iterator[Report]:
        if not self._console.live:
            yield lambda documents, num_bytes: None
            return
        from rich.console import Console as RichConsole
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            [DownloadColumn(), TransferSpeedColumn(), TextColumn("{task.fields[documents]:,} documents")]
            if unit == "bytes"
            else [MofNCompleteColumn()]
        )
        with Progress(
            TextColumn(what),
            BarColumn(),
            *columns,
            TimeRemainingColumn(),
            console=RichConsole(stderr=True, highlight=False),
        ) as bar:
            task = bar.add_task(what, total=total, completed=done, documents=0)
            seen = 0

            def advance(documents: int, num_bytes: int) -> None:
                nonlocal seen
                seen += documents
                bar.update(task, advance=num_bytes if unit == "bytes" else documents, documents=seen)

            yield advance

    def finished(self, manifest: Mapping[str, Any], report: Path) -> None:
        """Say what came of it."""
        read, kept = manifest["read"], manifest["kept"]
        self.say(
            f"Kept {kept['documents']:,} of {read['documents']:,} documents, "
            f"{kept['characters']:,} of {read['characters']:,} characters, in "
            f"{len(manifest['shards']):,} files."
        )
        steps = {
            step: sum(count["documents"] for count in reasons.values())
            for step, reasons in manifest["left"].items()
        }
        if steps:
            self.say("Left: " + ", ".join(f"{step} {count:,}" for step, count in steps.items()) + ".")
        if manifest["num_files_set_aside"]:
            self.say(f"Files that could not be read to their end: {manifest['num_files_set_aside']:,}.")
        self.say(f"What left and why: {report}")
