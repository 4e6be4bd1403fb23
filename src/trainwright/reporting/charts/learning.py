"""Learning curves: how loss and metrics moved while the model was trained."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from trainwright.reporting.charts.base import ACCENT, MUTED, SECOND, Chart, axis
from trainwright.reporting.language import both
from trainwright.reporting.numbers import number
from trainwright.reporting.run_documents import RunDocuments
from trainwright.reporting.words import metric_title

_TRAINING_POINTS = 150
_MOST_METRICS = 5


def learning_charts(run: RunDocuments) -> list[Chart]:
    """Return the charts of loss, of each validation metric and of the learning rate; none without events."""
    steps = [event for event in run.events_of("step") if event.get("loss") is not None]
    judged = run.events_of("evaluation")
    charts = [_loss(steps, judged)] if steps else []
    names = list(dict.fromkeys(name for event in judged for name in event.get("metrics") or {}))
    charts += [_metric(index, name, judged) for index, name in enumerate(names[:_MOST_METRICS])]
    if len({event.get("learning_rate") for event in steps}) > 1:
        charts.append(_learning_rate(steps))
    return charts


def _binned(steps: list[dict[str, Any]], value: str) -> list[dict[str, Any]]:
    """Return the mean of a noisy signal over neighbouring steps, at most `_TRAINING_POINTS` of them."""
    size = -(-len(steps) // _TRAINING_POINTS)
    groups = [steps[start : start + size] for start in range(0, len(steps), size)]
    return [
        {
            "epoch": fmean(event["epoch"] for event in group),
            "step": group[-1]["step"],
            "value": fmean(event[value] for event in group),
        }
        for group in groups
    ]


def _best(judged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last evaluation that was the best so far: the one whose weights were kept."""
    return [event for event in judged if event.get("best")][-1:]


def _best_rule(judged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "data": {"values": [{"epoch": event["epoch"]}]},
            "mark": {"type": "rule", "color": MUTED, "strokeDash": [3, 3]},
            "encoding": {"x": {"field": "epoch", "type": "quantitative"}},
        }
        for event in _best(judged)
    ]


def _loss(steps: list[dict[str, Any]], judged: list[dict[str, Any]]) -> Chart:
    training = _binned(steps, "loss")
    validation = [
        {"epoch": event["epoch"], "step": event["step"], "value": event["loss"]}
        for event in judged
        if event.get("loss") is not None
    ]
    names = {"training": both("training rows"), "validation": both("validation rows")}
    training = [{**point, "series": names["training"]} for point in training]
    validation = [{**point, "series": names["validation"]} for point in validation]
    encoding = {
        "x": axis("epoch", both("epoch (pass over the training rows)")),
        "y": axis("value", both("loss"), scale={"zero": False}),
        "color": {
            "field": "series",
            "type": "nominal",
            "title": None,
            "scale": {"domain": list(names.values()), "range": [SECOND, ACCENT]},
        },
        "tooltip": [
            axis("series", both("rows"), kind="nominal"),
            axis("epoch", both("epoch"), format=".2f"),
            axis("value", both("loss"), format=".4f"),
        ],
    }
    dots = {"size": 18} if len(validation) <= 60 else False
    spec = {
        "layer": [
            *_best_rule(judged),
            {
                "data": {"values": training},
                "mark": {"type": "line", "strokeWidth": 1.5},
                "encoding": encoding,
            },
            {"data": {"values": validation}, "mark": {"type": "line", "point": dots}, "encoding": encoding},
        ]
    }
    return Chart(
        "loss",
        both("Loss"),
        both(
            "Both lines should fall. When training goes on falling while validation turns up, the model has"
            " begun to learn its rows by heart; the dashed line marks the weights that were kept."
        ),
        spec,
        (both("rows"), both("epoch"), both("step"), both("loss")),
        [
            (line["series"], number(line["epoch"]), line["step"], number(line["value"]))
            for line in [*validation, *training]
        ],
    )


def _metric(index: int, name: str, judged: list[dict[str, Any]]) -> Chart:
    points = [
        {"epoch": event["epoch"], "step": event["step"], "value": event["metrics"][name]}
        for event in judged
        if (event.get("metrics") or {}).get(name) is not None
    ]
    # With several targets, a metric is called "target: metric".
    target, _, metric = name.rpartition(": ")
    title = (
        both("{metric} of {target}", metric=metric_title(metric), target=target)
        if target
        else metric_title(name)
    )
    best = [{"epoch": e["epoch"], "value": e["metrics"].get(name)} for e in _best(judged)]
    spec = {
        "layer": [
            *_best_rule(judged),
            {
                "data": {"values": points},
                "mark": {"type": "line", "color": ACCENT, "point": {"size": 18, "color": ACCENT}},
                "encoding": {
                    "x": axis("epoch", both("epoch (pass over the training rows)")),
                    "y": axis("value", title, scale={"zero": False}),
                    "tooltip": [
                        axis("epoch", both("epoch"), format=".2f"),
                        axis("value", title, format=".4f"),
                    ],
                },
            },
            {
                "data": {"values": best},
                "mark": {"type": "point", "color": ACCENT, "filled": True, "size": 110},
                "encoding": {
                    "x": {"field": "epoch", "type": "quantitative"},
                    "y": {"field": "value", "type": "quantitative"},
                },
            },
        ]
    }
    return Chart(
        f"learning-{index}",
        both("{metric} on validation rows", metric=title),
        both("Measured on rows the model does not train on; the large dot marks the weights that were kept."),
        spec,
        (both("epoch"), both("step"), title),
        [(number(point["epoch"]), point["step"], number(point["value"])) for point in points],
    )


def _learning_rate(steps: list[dict[str, Any]]) -> Chart:
    points = _binned([event for event in steps if event.get("learning_rate") is not None], "learning_rate")
    spec = {
        "data": {"values": points},
        "mark": {"type": "area", "line": {"color": SECOND}, "color": SECOND, "fillOpacity": 0.12},
        "encoding": {
            "x": axis("epoch", both("epoch (pass over the training rows)")),
            "y": axis("value", both("learning rate"), axis={"format": "~g"}),
            "tooltip": [
                axis("epoch", both("epoch"), format=".2f"),
                axis("value", both("learning rate"), format=".3g"),
            ],
        },
    }
    return Chart(
        "learning-rate",
        both("Learning rate"),
        both(
            "How large a step the weights take: it rises while they settle, then falls so that they come to"
            " rest."
        ),
        spec,
        (both("epoch"), both("step"), both("learning rate")),
        [(number(point["epoch"]), point["step"], f"{point['value']:.3g}") for point in points],
    )
