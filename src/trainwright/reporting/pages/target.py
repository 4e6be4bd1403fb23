"""All that the report says of one target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainwright.reporting.charts.base import Chart
from trainwright.reporting.charts.classes import class_charts
from trainwright.reporting.charts.comparison import comparison_chart, contribution_chart
from trainwright.reporting.charts.regression import regression_charts
from trainwright.reporting.language import Message, both, said
from trainwright.reporting.numbers import interval, number, percent
from trainwright.reporting.pages.examples import Example, MediaBudget, example_cards
from trainwright.reporting.pages.tables import (
    MOST_CLASSES,
    Figure,
    Line,
    class_lines,
    confused_lines,
    result_lines,
    slice_lines,
)
from trainwright.reporting.phrases import PHRASES
from trainwright.reporting.run_documents import RunDocuments
from trainwright.reporting.verdict import Verdict, headline, verdict_of
from trainwright.reporting.words import baseline_title, metric_title, task_title


@dataclass(frozen=True)
class TargetPage:
    """All that is said of one target.

    Attributes:
        prefix: start of the ids of its parts in the page.
        columns: name and note of each model of the results table, ours first.
        confused: (true, predicted, rows) of the most frequent mistakes.
        classes_left_out: classes that `per_class` has no room for.
    """

    name: str
    prefix: str
    task: Message
    verdict: Verdict
    metric: Message
    headline: Figure
    comparison: Sequence[Chart]
    columns: Sequence[tuple[Message, Message | None]]
    results: Sequence[Line]
    notes: Sequence[Message]
    charts: Sequence[Chart]
    interval_note: Message | None
    confused: Sequence[tuple[str, str, str]]
    per_class: Sequence[Line]
    classes_left_out: int
    slices: Sequence[Line]
    worst: Sequence[Example]
    doubtful: Sequence[Example]
    contributions: Sequence[Chart]
    views: Sequence[tuple[Message, str]]


def target_pages(run: RunDocuments) -> list[TargetPage]:
    """Return the pages of all targets, in the order of the evaluation."""
    budget = MediaBudget()
    return [
        _target_page(f"t{index}", name, evaluation, budget)
        for index, (name, evaluation) in enumerate(run.targets.items())
    ]


def _target_page(prefix: str, name: str, evaluation: Mapping[str, Any], budget: MediaBudget) -> TargetPage:
    figure = headline(evaluation)
    examples = evaluation.get("examples") or {}
    residuals = evaluation.get("residuals") or {}
    worst = examples.get("worst") or []
    if evaluation["classes"] is not None:
        # The costliest rows of a good model are right all the same: they are no mistakes to show.
        worst = [example for example in worst if example["true"] != example["predicted"]]
    classes = evaluation.get("per_class") or []
    return TargetPage(
        name=name,
        prefix=prefix,
        task=task_title(evaluation["task"]),
        verdict=verdict_of(name, evaluation),
        metric=metric_title(evaluation["metric"], figure["title"]),
        headline=Figure(number(figure["value"]), interval(figure)),
        comparison=_those_there(comparison_chart(prefix, evaluation)),
        columns=[(both("this model"), None), *map(_baseline_column, evaluation["baselines"])],
        results=result_lines(evaluation),
        notes=_undefined(evaluation),
        charts=[*class_charts(prefix, evaluation), *regression_charts(prefix, residuals)],
        interval_note=_interval_note(residuals.get("interval")),
        confused=confused_lines(evaluation.get("confused") or []) if len(classes) > 2 else [],
        per_class=class_lines(classes),
        classes_left_out=max(0, len(classes) - MOST_CLASSES),
        slices=slice_lines(
            evaluation.get("slices") or [], greater_is_better=figure.get("greater_is_better", True)
        ),
        worst=example_cards(worst, budget),
        doubtful=example_cards(examples.get("doubtful") or [], budget),
        contributions=_those_there(contribution_chart(prefix, evaluation)),
        views=[
            (_view_title(view["input"]), percent(view["share"])) for view in evaluation.get("views") or []
        ],
    )


def _view_title(name: str | None) -> Message:
    if name is None:
        return both("all inputs together")
    return both("the columns of the table") if name == "table" else both("{input} alone", input=name)


def _those_there(chart: Chart | None) -> list[Chart]:
    return [] if chart is None else [chart]


def _baseline_column(simple: Mapping[str, Any]) -> tuple[Message, Message | None]:
    note = said(simple["note"], PHRASES) if simple.get("note") else None
    return baseline_title(simple["name"], simple["title"]), note


def _undefined(evaluation: Mapping[str, Any]) -> list[Message]:
    return [
        both(
            "{metric} is not defined: {reason}.",
            metric=metric_title(name, figure["title"]),
            reason=said(figure["why"], PHRASES),
        )
        for name, figure in evaluation["metrics"].items()
        if figure.get("why")
    ]


def _interval_note(coverage: Mapping[str, Any] | None) -> Message | None:
    if not coverage:
        return None
    return both(
        "Every prediction comes with an interval meant to hold the true value {wanted} of the time; on the"
        " test rows it did so {reached} of the time, with a mean width of {width}.",
        wanted=percent(coverage["coverage_wanted"]),
        reached=percent(coverage["coverage"]),
        width=number(coverage["mean_width"]),
    )
