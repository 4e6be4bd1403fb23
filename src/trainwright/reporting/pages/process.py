"""How the run went: training as its events tell it, the machine, the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from trainwright.reporting.charts.base import Chart
from trainwright.reporting.charts.comparison import timing_chart
from trainwright.reporting.charts.learning import learning_charts
from trainwright.reporting.language import Message, both, said, verbatim
from trainwright.reporting.numbers import count, duration, plain
from trainwright.reporting.phrases import PHRASES
from trainwright.reporting.run_documents import RunDocuments
from trainwright.reporting.words import stop_title
from trainwright.training.faults import fault_said

_MOST_NOTES = 50


@dataclass(frozen=True)
class LearningPage:
    """How training went."""

    facts: Sequence[tuple[Message, str]]
    ended: Message | None
    charts: Sequence[Chart]
    notes: Sequence[Message]


@dataclass(frozen=True)
class MachinePage:
    """Where and with what the run was made, and how long it took."""

    facts: Sequence[tuple[Message, str]]
    packages: Sequence[tuple[str, str]]
    timings: Sequence[Chart]


def learning_page(run: RunDocuments) -> LearningPage:
    """Return what the events say."""
    facts: list[tuple[Message, str]] = []
    for event in run.events_of("start")[-1:]:
        facts += [
            (both("parameters"), count(event.get("parameters"))),
            (both("device"), str(event.get("device"))),
            (both("threads"), count(event.get("threads"))),
            (both("arithmetic"), str(event.get("precision"))),
        ]
    steps = run.events_of("step")
    unit = "tokens_per_second" if any("tokens_per_second" in event for event in steps) else "rows_per_second"
    rates = sorted(event[unit] for event in steps if event.get(unit))
    if steps:  # of which not each has an event
        last = max(event["step"] for event in (*steps[-1:], *run.events_of("stop")[-1:]))
        facts += [
            (both("steps"), count(last)),
            (both("epochs"), plain(round(float(steps[-1]["epoch"]), 1))),
        ]
    if rates:
        title = both("tokens a second") if unit == "tokens_per_second" else both("rows a second")
        facts.append((title, count(rates[len(rates) // 2])))
    ended = None
    for event in run.events_of("stop")[-1:]:
        facts.append((both("time"), duration(event.get("seconds"))))
        ended = both(
            "Training ended after step {step}: {reason}. The weights of step {best} were kept.",
            step=count(event["step"]),
            reason=stop_title(event["reason"]),
            best=count(event.get("best_step")),
        )
    faults = [text for event in run.events if (text := fault_said(event)) is not None]
    notes = list(dict.fromkeys([*faults, *(event["text"] for event in run.events_of("note"))]))
    return LearningPage(
        facts, ended, learning_charts(run), [said(text, PHRASES) for text in notes[:_MOST_NOTES]]
    )


def machine_page(run: RunDocuments) -> MachinePage:
    """Return what environment.json and the timings say."""
    environment, evaluation = run.environment, run.evaluation or {}
    memory, peak = environment.get("memory_gb"), evaluation.get("peak_memory_mb")
    timings = evaluation.get("timings") or {}
    facts = [
        (both("processor"), environment.get("processor")),
        (both("cores"), environment.get("cores")),
        (both("accelerator"), environment.get("accelerator")),
        (both("memory"), f"{memory} GiB" if memory else None),
        (both("system"), environment.get("system")),
        (verbatim("Python"), environment.get("python")),
        (both("time of the whole run"), duration(timings["total"]) if timings.get("total") else None),
        (both("most memory in use"), f"{count(peak)} MiB" if peak else None),
    ]
    chart = timing_chart(timings)
    return MachinePage(
        [(title, str(value)) for title, value in facts if value is not None],
        list((environment.get("packages") or {}).items()),
        [] if chart is None else [chart],
    )


def made_at(run: RunDocuments) -> str:
    """Return when the run was started, as a date and time in UTC; nothing when it did not say."""
    times = [event["time"] for event in run.events if isinstance(event.get("time"), int | float)]
    return datetime.fromtimestamp(times[0], UTC).strftime("%Y-%m-%d %H:%M UTC") if times else ""
