"""Bars and whiskers: the model beside the simple ones, what each input contributes, where the time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainwright.reporting.charts.base import (
    ACCENT,
    INK,
    LABEL_OF_VALUE,
    MUTED,
    SECOND,
    Chart,
    axis,
    labels_of,
)
from trainwright.reporting.language import Message, both, verbatim
from trainwright.reporting.numbers import clip, duration, interval, number
from trainwright.reporting.words import baseline_title, metric_title, stage_title

_LABEL = 40
_MOST_INPUTS = 25
_LINE = 30  # pixels that one line of a bar chart takes
_FRAME = 56  # pixels that its axis and title take


def comparison_chart(prefix: str, evaluation: Mapping[str, Any]) -> Chart | None:
    """Return the headline metric of the model and of every simple one, with intervals; None without any."""
    name = evaluation["metric"]
    ours = evaluation["metrics"][name]
    figures: list[tuple[Message, Mapping[str, Any]]] = [(both("this model"), ours)]
    figures += [
        (baseline_title(simple["name"], simple["title"]), simple["metrics"][name])
        for simple in evaluation["baselines"]
        if name in simple["metrics"]
    ]
    figures = [(label, figure) for label, figure in figures if figure["value"] is not None]
    if len(figures) < 2 or ours["value"] is None:
        return None
    title = metric_title(name, ours["title"])
    values = [
        {
            "name": label,
            "value": figure["value"],
            # A figure without interval has a whisker of no length.
            "low": figure["value"] if figure.get("low") is None else figure["low"],
            "high": figure["value"] if figure.get("high") is None else figure["high"],
            "ours": index == 0,
        }
        for index, (label, figure) in enumerate(figures)
    ]
    colour = {"condition": {"test": "datum.ours", "value": ACCENT}, "value": MUTED}
    spec = {
        "data": {"values": values},
        "encoding": {
            "y": axis("name", verbatim(""), kind="nominal", sort=None, axis={"ticks": False, "domain": False})
        },
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": axis("low", title, scale={"zero": False}),
                    "x2": {"field": "high"},
                    "color": colour,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {
                    "x": axis("value", title, scale={"zero": False}),
                    "color": colour,
                    "tooltip": [
                        axis("name", both("model"), kind="nominal"),
                        axis("value", title, format=",.4~g"),
                        axis("low", both("low"), format=",.4~g"),
                        axis("high", both("high"), format=",.4~g"),
                    ],
                },
            },
        ],
    }
    return Chart(
        f"{prefix}-comparison",
        both("{metric}: this model beside simple ones", metric=title),
        both("The dot is the figure on the test rows, the line how far chance may have moved it.")
        if ours.get("greater_is_better", True)
        else both(
            "The dot is the figure on the test rows, the line how far chance may have moved it; lower is"
            " better."
        ),
        spec,
        (both("model"), title, both("interval")),
        [(label, number(figure["value"]), interval(figure)) for label, figure in figures],
        aspect=0.0,
        height=_FRAME + _LINE * len(figures),
        wide=True,
    )


def contribution_chart(prefix: str, evaluation: Mapping[str, Any]) -> Chart | None:
    """Return how much the headline metric owes to each input; None where it was not measured."""
    inputs = sorted(evaluation.get("contributions") or [], key=lambda item: -(item["value"] or 0.0))[
        :_MOST_INPUTS
    ]
    if not inputs:
        return None
    title = metric_title(evaluation["metric"], evaluation["metrics"][evaluation["metric"]]["title"])
    values = [
        {
            "input": index,
            "name": verbatim(clip(item["input"], _LABEL)),
            "value": item["value"],
            "low": item.get("low"),
            "high": item.get("high"),
        }
        for index, item in enumerate(inputs)
    ]
    lost = both("lost when shuffled")
    spec = {
        "params": labels_of([value["name"] for value in values]),
        "data": {"values": values},
        "encoding": {
            "y": axis(
                "input",
                verbatim(""),
                kind="ordinal",
                axis={"labelExpr": LABEL_OF_VALUE, "ticks": False, "domain": False},
            )
        },
        "layer": [
            {
                "mark": {"type": "bar", "color": ACCENT, "height": {"band": 0.6}, "cornerRadiusEnd": 2},
                "encoding": {
                    "x": axis("value", lost),
                    "tooltip": [
                        axis("name", both("input"), kind="nominal"),
                        axis("value", lost, format=".4~g"),
                        axis("low", both("low"), format=".4~g"),
                        axis("high", both("high"), format=".4~g"),
                    ],
                },
            },
            {
                "transform": [{"filter": "isValid(datum.low) && isValid(datum.high)"}],
                "mark": {"type": "rule", "color": INK, "strokeWidth": 1.5},
                "encoding": {"x": axis("low", lost), "x2": {"field": "high"}},
            },
        ],
    }
    return Chart(
        f"{prefix}-contributions",
        both("What each input contributes"),
        both(
            "How much {metric} the model loses when the values of one input are shuffled among the rows. The"
            " longer the bar, the more it leans on that input; one that touches 0 could go.",
            metric=title,
        ),
        spec,
        (both("input"), lost, both("interval")),
        [(value["name"], number(value["value"]), interval(value)) for value in values],
        aspect=0.0,
        height=_FRAME + _LINE * len(values),
        wide=True,
    )


def timing_chart(timings: Mapping[str, float]) -> Chart | None:
    """Return how long each stage of the run took; None where no time was kept."""
    stages = [
        (stage_title(name), seconds) for name, seconds in timings.items() if name != "total" and seconds
    ]
    if not stages:
        return None
    values = [{"name": label, "seconds": seconds, "text": duration(seconds)} for label, seconds in stages]
    position = axis("name", verbatim(""), kind="nominal", sort=None, axis={"ticks": False, "domain": False})
    spec = {
        "data": {"values": values},
        "encoding": {"y": position, "x": axis("seconds", both("seconds"))},
        "layer": [
            {"mark": {"type": "bar", "color": SECOND, "height": {"band": 0.6}, "cornerRadiusEnd": 2}},
            {
                "mark": {"type": "text", "align": "left", "dx": 6, "color": INK},
                "encoding": {"text": {"field": "text", "type": "nominal"}},
            },
        ],
    }
    return Chart(
        "timings",
        both("Where the time went"),
        both("Wall-clock time of each stage of the run."),
        spec,
        (both("stage"), both("time")),
        [(label, duration(seconds)) for label, seconds in stages],
        aspect=0.0,
        height=_FRAME + _LINE * len(stages),
        wide=True,
    )
