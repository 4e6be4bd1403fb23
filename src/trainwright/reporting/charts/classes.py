"""Charts of a classifier: which classes it mixes up, how it trades errors, whether its probabilities hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from trainwright.reporting.charts.base import (
    ACCENT,
    DIAGONAL,
    INK,
    LABEL_OF_VALUE,
    MUTED,
    SERIES,
    SHARE,
    Chart,
    axis,
    labels_of,
    thin,
)
from trainwright.reporting.language import Message, both, verbatim
from trainwright.reporting.numbers import clip, count, number, percent

# A larger heat map cannot be read: the classes with most errors are shown, the rest taken together.
_MOST_CLASSES = 20
_MOST_CURVES = 6
_CURVE_POINTS = 120
_LABEL = 40


def class_charts(prefix: str, evaluation: Mapping[str, Any]) -> list[Chart]:
    """Return the charts of one target of classes; those whose data is absent are left out."""
    charts = []
    if evaluation.get("confusion"):
        charts.append(_confusion(prefix, evaluation["confusion"], evaluation["classes"]))
    if evaluation.get("roc"):
        charts.append(
            _curves(
                f"{prefix}-roc",
                both("ROC curve"),
                both(
                    "Each point is a threshold. A curve that hugs the upper left corner finds the positives"
                    " without false alarms; the dashed diagonal is guessing."
                ),
                evaluation["roc"],
                both("false alarms (share of negatives)"),
                both("found (share of positives)"),
                diagonal=True,
            )
        )
    if evaluation.get("pr"):
        charts.append(
            _curves(
                f"{prefix}-pr",
                both("Precision and recall"),
                both(
                    "How many of the alarms are right, as more of the positives are found. Telling when"
                    " positives are rare: a curve near the top right corner is good."
                ),
                evaluation["pr"],
                both("recall (share of positives found)"),
                both("precision (share of alarms that are right)"),
                diagonal=False,
            )
        )
    if evaluation.get("calibration"):
        charts.append(_calibration(prefix, evaluation["calibration"]))
    return charts


def _folded(
    confusion: Sequence[Sequence[int]], classes: Sequence[str]
) -> tuple[list[list[int]], list[Message]]:
    """Return counts and labels with all but the classes of most errors taken together."""
    labels = [verbatim(clip(name, _LABEL)) for name in classes]
    if len(classes) <= _MOST_CLASSES:
        return [list(row) for row in confusion], labels
    every = range(len(classes))
    columns = [sum(row[index] for row in confusion) for index in every]
    errors = {index: sum(confusion[index]) + columns[index] - 2 * confusion[index][index] for index in every}
    kept = sorted(sorted(every, key=errors.__getitem__, reverse=True)[: _MOST_CLASSES - 1])
    rest = sorted(set(every) - set(kept))
    groups = [[index] for index in kept] + [rest]
    table = [[sum(confusion[i][j] for i in rows for j in cols) for cols in groups] for rows in groups]
    return table, [labels[index] for index in kept] + [both("{count} other classes", count=len(rest))]


def _confusion(prefix: str, confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Chart:
    table, labels = _folded(confusion, classes)
    cells: list[dict[str, Any]] = []
    for index, (label, row) in enumerate(zip(labels, table, strict=True)):
        total = sum(row)
        cells += [
            {
                # Positions are indices: two classes may read alike once their names are cut.
                "true": index,
                "predicted": other,
                "true_name": label,
                "predicted_name": name,
                "count": cell,
                "share": cell / total if total else 0.0,
            }
            for other, (name, cell) in enumerate(zip(labels, row, strict=True))
        ]
    ordinal: dict[str, Any] = {"kind": "ordinal", "scale": {"paddingInner": 0.06}}
    side = {"labelExpr": LABEL_OF_VALUE, "domain": False, "ticks": False}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "rect", "color": ACCENT, "cornerRadius": 2},
            "encoding": {
                "fillOpacity": {
                    "field": "share",
                    "type": "quantitative",
                    "scale": {"domain": [0, 1], "range": [0.05, 1]},
                    "legend": None,
                },
                "tooltip": [
                    axis("true_name", both("true"), kind="nominal"),
                    axis("predicted_name", both("predicted"), kind="nominal"),
                    axis("count", both("rows")),
                    axis("share", both("share of the true class"), format=".1%"),
                ],
            },
        }
    ]
    if len(labels) <= 12:
        layers.append(
            {
                "mark": {"type": "text", "fontSize": 11},
                "encoding": {
                    "text": {"field": "count", "type": "quantitative", "format": ","},
                    "color": {
                        "condition": [
                            {"test": "datum.count === 0", "value": MUTED},
                            {"test": "datum.share > 0.45", "value": "var(--on-accent)"},
                        ],
                        "value": INK,
                    },
                },
            }
        )
    # Labels lie flat where they fit above their columns on a phone (about 40 Latin letters).
    short = len(labels) * max(len(label.en.encode()) for label in labels) <= 40
    top = {**side, "orient": "top", "labelAngle": 0 if short else -40}
    spec = {
        "params": labels_of(labels),
        "data": {"values": cells},
        "encoding": {
            "x": axis("predicted", both("predicted"), **ordinal, axis=top),
            "y": axis("true", both("true"), **ordinal, axis=side),
        },
        "layer": layers,
    }
    return Chart(
        f"{prefix}-confusion",
        both("Confusion matrix"),
        both(
            "One line for each true class: what it was taken for. Colour off the diagonal marks classes that"
            " the model mixes up."
        ),
        spec,
        (both("true"), both("predicted"), both("rows"), both("share of the true class")),
        [
            (cell["true_name"], cell["predicted_name"], count(cell["count"]), percent(cell["share"]))
            for cell in sorted(cells, key=lambda cell: -cell["count"])
            if cell["count"]
        ],
        aspect=0.92,
        height=560 if len(labels) > 6 else 400,
        wide=len(labels) > 6,
    )


def _area(points: Sequence[Sequence[float]]) -> float:
    """Return the area under a curve of (x, y) points, by trapezoids."""
    return sum(abs(b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))


def _curves(
    name: str,
    title: Message,
    about: Message,
    curves: Sequence[Mapping[str, Any]],
    x: Message,
    y: Message,
    *,
    diagonal: bool,
) -> Chart:
    # With many classes, the curves that have most to tell are those of the classes that fare worst.
    worst = sorted(range(len(curves)), key=lambda index: _area(curves[index]["points"]))[:_MOST_CURVES]
    shown = [curves[index] for index in sorted(worst)]
    labels = [verbatim(clip(curve["class"], _LABEL)) for curve in shown]
    values = [
        {"x": point[0], "y": point[1], "series": index, "name": label, "order": order}
        for index, (curve, label) in enumerate(zip(shown, labels, strict=True))
        for order, point in enumerate(thin(curve["points"], _CURVE_POINTS))
    ]
    line = {
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "linear", "strokeWidth": 2, "clip": True},
        "encoding": {
            "x": axis("x", x, scale=SHARE, axis={"format": "%"}),
            "y": axis("y", y, scale=SHARE, axis={"format": "%"}),
            "order": {"field": "order", "type": "quantitative"},
            "color": {
                "field": "series",
                "type": "nominal",
                "title": None,
                "scale": {"domain": list(range(len(shown))), "range": SERIES[: len(shown)]},
                "legend": {"labelExpr": LABEL_OF_VALUE} if len(shown) > 1 else None,
            },
            "tooltip": [
                axis("name", both("class"), kind="nominal"),
                axis("x", x, format=".3f"),
                axis("y", y, format=".3f"),
            ],
        },
    }
    if len(shown) < len(curves):
        about = both(
            "{about} Shown are the {shown} of {all} classes that fare worst.",
            about=about,
            shown=len(shown),
            all=len(curves),
        )
    rows = [
        (labels[index], number(point[0]), number(point[1]))
        for index, curve in enumerate(shown)
        for point in thin(curve["points"], 12)
    ]
    spec = {"params": labels_of(labels), "layer": [DIAGONAL, line] if diagonal else [line]}
    return Chart(name, title, about, spec, (both("class"), x, y), rows, aspect=0.86, height=360)


def _calibration(prefix: str, bins: Sequence[Mapping[str, Any]]) -> Chart:
    values = [dict(item) for item in bins if item["count"]]
    position = {
        "x": axis("confidence", both("probability it gave"), scale=SHARE, axis={"format": "%"}),
        "y": axis("accuracy", both("share that came true"), scale=SHARE, axis={"format": "%"}),
    }
    spec = {
        "layer": [
            DIAGONAL,
            {
                "data": {"values": values},
                "mark": {"type": "point", "filled": True, "color": ACCENT, "opacity": 0.9, "clip": False},
                "encoding": {
                    **position,
                    "size": {
                        "field": "count",
                        "type": "quantitative",
                        "scale": {"range": [20, 320], "zero": True},
                        "legend": None,
                    },
                    "tooltip": [
                        axis("confidence", both("probability it gave"), format=".1%"),
                        axis("accuracy", both("share that came true"), format=".1%"),
                        axis("count", both("rows")),
                    ],
                },
            },
        ]
    }
    return Chart(
        f"{prefix}-calibration",
        both("Calibration"),
        both(
            "Of the rows given 80 %, do 80 % come true? Dots on the diagonal mean that a probability can be"
            " taken at its word; larger dots hold more rows."
        ),
        spec,
        (both("probability it gave"), both("share that came true"), both("rows")),
        [(percent(item["confidence"]), percent(item["accuracy"]), count(item["count"])) for item in values],
        aspect=0.86,
        height=360,
    )
