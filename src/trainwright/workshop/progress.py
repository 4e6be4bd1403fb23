"""What a person sees on the terminal while a run goes on; always on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainwright.workshop.run import Run

Listener = Callable[[dict[str, Any]], None]


class Console:
    """Progress and results for a person.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._rich: Any = None

    @property
    def live(self) -> bool:
        """Whether moving progress bars make sense: a person is watching."""
        return not self.quiet and sys.stderr.isatty()

    def _console(self) -> Any:
        if self._rich is None:
            from rich.console import Console as RichConsole

            self._rich = RichConsole(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        return self._rich

    def say(self, message: Any) -> None:
        """Print a line, or something that rich can draw."""
        if not self.quiet:
            self._console().print(message)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show that something without a known length goes on."""
        if not self.live:
            yield
            return
        with self._console().status(f"{what} …"):
            yield

    def data(self, document: Mapping[str, Any]) -> None:
        """Show what each column was taken for, and what was set aside, as a run's data.json has it."""
        if not self.quiet:
            from trainwright.reporting.console import data_summary

            self.say(data_summary(document))

    @contextmanager
    def training(self, steps: int) -> Iterator[Listener]:
        """Yield a listener that shows training as it goes: rate, time left, live loss."""
        if not self.live:
            yield self._plain
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("Training"),
            BarColumn(),
            TextColumn("{task.completed:,}/{task.total:,} steps"),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[judged]}"),
            console=self._console(),
        ) as bar:
            task = bar.add_task("train", total=steps, loss="", rate="", judged="")

            def listen(event: dict[str, Any]) -> None:
                self._tell(event)
                if event["kind"] == "step":
                    bar.update(
                        task,
                        completed=event["step"],
                        loss=f"loss {event['loss']:.4g}",
                        rate=_rate(event),
                    )
                elif event["kind"] == "evaluation":
                    bar.update(task, completed=event["step"], judged=_judged(event))

            yield listen

    def _plain(self, event: dict[str, Any]) -> None:
        """Say a few lines when nobody watches a bar: a log wants the end, not the way."""
        self._tell(event)
        if event["kind"] == "stop":
            self.say(
                f"Trained {event['step']:,} steps in {event['seconds']:.1f} s ({event['reason']}); "
                f"the best weights are those of step {event['best_step']:,}."
            )

    def _tell(self, event: dict[str, Any]) -> None:
        """Say what the run trains on, and what training went on from."""
        if self.quiet:
            return
        from trainwright.training.faults import fault_said
        from trainwright.workshop.speed import engine_said

        said = engine_said(event) if event["kind"] == "start" else fault_said(event)
        if said is not None:
            self.say(said)

    def finished(self, run: Run) -> None:
        """Show results, verdict and paths."""
        if self.quiet:
            return
        from trainwright.reporting.console import run_summary

        self.say(run_summary(run.path))


def _rate(event: Mapping[str, Any]) -> str:
    tokens = event.get("tokens_per_second")
    return f"{event['rows_per_second']:,.0f} rows/s" if tokens is None else f"{tokens:,.0f} tokens/s"


def _judged(event: dict[str, Any]) -> str:
    return "validation " + ", ".join(f"{name} {value:.4g}" for name, value in event["metrics"].items())
