"""The tables of a target: metrics beside the simple models, classes, groups of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainwright.reporting.language import Message, both, mark, verbatim
from trainwright.reporting.numbers import clip, count, interval, number, signed
from trainwright.reporting.verdict import headline
from trainwright.reporting.words import metric_title

MOST_CLASSES = 200
MOST_SLICES = 100
_CELL = 120  # characters of a value in a table
_RANGE = re.compile(r"(?P<over>over )?(?P<low>-?[\d.e+-]+) to (?P<high>-?[\d.e+-]+)")


@dataclass(frozen=True)
class Figure:
    """A figure with its interval, for a cell of a table.

    Attributes:
        text: the figure.
        interval: `low – high`, or nothing.
        best: no other model of the row is better.
        bar: (low, value, high) as shares of the width of a small drawing, or None.
    """

    text: str
    interval: str = ""
    best: bool = False
    bar: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table: its heading and its cells."""

    title: Message
    cells: Sequence[Figure]
    note: Message | None = None
    flag: bool = False


def result_lines(evaluation: Mapping[str, Any]) -> list[Line]:
    """Return a line for each metric, and one for the lead of the model in the headline metric."""
    lines = []
    for name, ours in evaluation["metrics"].items():
        figures = [
            ours,
            *(simple["metrics"].get(name) or {"value": None} for simple in evaluation["baselines"]),
        ]
        known = [figure["value"] for figure in figures if figure["value"] is not None]
        greater = ours.get("greater_is_better", True)
        best = (max if greater else min)(known) if len(known) > 1 else None
        cells = [
            Figure(number(f["value"]), interval(f), best is not None and f["value"] == best) for f in figures
        ]
        direction = both("higher is better") if greater else both("lower is better")
        lines.append(
            Line(metric_title(name, ours["title"]), cells, direction, flag=name == evaluation["metric"])
        )
    if any(simple.get("difference") for simple in evaluation["baselines"]):
        metric = metric_title(evaluation["metric"], headline(evaluation)["title"])
        leads = [_lead(simple.get("difference") or {"value": None}) for simple in evaluation["baselines"]]
        note = both("below 0, the simple model is ahead")
        lines.append(Line(both("lead of this model in {metric}", metric=metric), [Figure(""), *leads], note))
    return lines


def _lead(difference: Mapping[str, Any]) -> Figure:
    low, high, value = difference.get("low"), difference.get("high"), difference["value"]
    if low is None or high is None:
        return Figure(signed(value))
    return Figure(signed(value), f"{signed(low, like=value)} – {signed(high, like=value)}")


def class_lines(classes: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return a line for each class: precision, recall, F1 and rows; those that fare worst come first."""
    ordered = sorted(classes, key=lambda item: item["f1"] if item["f1"] is not None else 2.0)
    return [
        Line(
            verbatim(clip(item["class"], _CELL)),
            [
                *(Figure(number(item[name]), bar=_bar(item[name])) for name in ("precision", "recall", "f1")),
                Figure(count(item["support"])),
            ],
        )
        for item in ordered[:MOST_CLASSES]
    ]


def _bar(share: float | None) -> tuple[float, float, float] | None:
    return None if share is None else (0.0, share, share)


def slice_lines(slices: Sequence[Mapping[str, Any]], *, greater_is_better: bool) -> list[Line]:
    """Return a line for each slice: flagged ones first, then by how they fare."""
    ends = [
        item["metric"][end]
        for item in slices
        for end in ("low", "value", "high")
        if item["metric"].get(end) is not None
    ]
    low, span = (min(ends), (max(ends) - min(ends)) or 1.0) if ends else (0.0, 1.0)

    def rank(item: Mapping[str, Any]) -> tuple[bool, bool, float]:
        value = item["metric"]["value"]
        return (
            not item["flag"],
            value is None,
            0.0 if value is None else value if greater_is_better else -value,
        )

    lines = []
    for item in sorted(slices, key=rank)[:MOST_SLICES]:
        figure = item["metric"]
        value, bar = figure["value"], None
        if value is not None:
            least = value if figure.get("low") is None else figure["low"]
            most = value if figure.get("high") is None else figure["high"]
            bar = ((least - low) / span, (value - low) / span, (most - low) / span)
        name = both(
            "{column} = {value}", column=clip(item["column"], 60), value=_level(clip(item["value"], 60))
        )
        cells = [Figure(count(item["rows"])), Figure(number(value), interval(figure), bar=bar)]
        lines.append(Line(name, cells, flag=bool(item["flag"])))
    return lines


def _level(value: str) -> Message:
    """Return the value of a slice; ranges and "(missing)" are words of the evaluation, not of the data."""
    if value == "(missing)":
        return both("(missing)")
    match = _RANGE.fullmatch(value)
    if match is None:
        return verbatim(value)
    template = mark("over {low} to {high}") if match["over"] else mark("{low} to {high}")
    return both(template, low=match["low"], high=match["high"])


def confused_lines(pairs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return (true class, predicted class, rows) of the most frequent mistakes."""
    return [
        (clip(each["true"], _CELL), clip(each["predicted"], _CELL), count(each["count"])) for each in pairs
    ]
