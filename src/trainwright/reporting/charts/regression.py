"""Charts of a regression: predicted beside true, and how the errors are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainwright.reporting.charts.base import ACCENT, MUTED, Chart, axis, thin
from trainwright.reporting.language import both
from trainwright.reporting.numbers import count, number

# Dots beyond this hide one another and make the file heavy.
_MOST_POINTS = 800


def regression_charts(prefix: str, residuals: Mapping[str, Any]) -> list[Chart]:
    """Return the scatter of predicted against true values and the histogram of the errors."""
    charts = []
    if residuals.get("points"):
        charts.append(_scatter(prefix, thin(residuals["points"], _MOST_POINTS)))
    if residuals.get("histogram"):
        charts.append(_histogram(prefix, residuals["histogram"]))
    return charts


def _scatter(prefix: str, points: Sequence[Sequence[float]]) -> Chart:
    values = [{"predicted": predicted, "true": true, "error": predicted - true} for predicted, true in points]
    every = [value for point in points for value in point]
    ends = [{"predicted": end, "true": end} for end in (min(every), max(every))]
    position = {
        "x": axis("true", both("true value"), scale={"zero": False}),
        "y": axis("predicted", both("predicted value"), scale={"zero": False}),
    }
    spec = {
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "point", "filled": True, "size": 22, "opacity": 0.45, "color": ACCENT},
                "encoding": {
                    **position,
                    "tooltip": [
                        axis("true", both("true value"), format=",.4~g"),
                        axis("predicted", both("predicted value"), format=",.4~g"),
                        axis("error", both("predicted − true"), format="+,.4~g"),
                    ],
                },
            },
            {
                "data": {"values": ends},
                "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 4], "strokeWidth": 1.5},
                "encoding": position,
            },
        ]
    }
    return Chart(
        f"{prefix}-scatter",
        both("Predicted and true values"),
        both(
            "Every dot is a test row; on the dashed line the prediction is right, above it too high, below"
            " it too low."
        ),
        spec,
        (both("true value"), both("predicted value"), both("predicted − true")),
        [(number(value["true"]), number(value["predicted"]), number(value["error"])) for value in values],
        aspect=0.86,
        height=400,
    )


def _histogram(prefix: str, bins: Sequence[Mapping[str, Any]]) -> Chart:
    spec = {
        "layer": [
            {
                "data": {"values": [dict(item) for item in bins]},
                "mark": {"type": "bar", "color": ACCENT, "binSpacing": 1},
                "encoding": {
                    "x": axis("low", both("predicted − true"), bin={"binned": True}),
                    "x2": {"field": "high"},
                    "y": axis("count", both("test rows")),
                    "tooltip": [
                        axis("low", both("from"), format=",.4~g"),
                        axis("high", both("to"), format=",.4~g"),
                        axis("count", both("test rows")),
                    ],
                },
            },
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "color": MUTED, "strokeDash": [4, 4]},
                "encoding": {"x": {"field": "zero", "type": "quantitative"}},
            },
        ]
    }
    return Chart(
        f"{prefix}-errors",
        both("How the errors are spread"),
        both(
            "A narrow hill around 0 is good; a hill beside 0 means predictions that are always too high or"
            " too low."
        ),
        spec,
        (both("from"), both("to"), both("test rows")),
        [(number(item["low"]), number(item["high"]), count(item["count"])) for item in bins],
        aspect=0.86,
        height=400,
    )
