"""The verdict of a target in two sentences: how good the model is, and whether a simple one does as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.reporting.language import Message, both, mark
from trainwright.reporting.numbers import count, number, percent
from trainwright.reporting.words import baseline_title, metric_title

_BADGES = {
    "better": mark("Better than the simple models"),
    "as good": mark("No better than a simple model"),
    "worse": mark("A simple model is better"),
    "undecided": mark("Not to be told from a simple model"),
    "no baseline": mark("Not compared with a simple model"),
}


@dataclass(frozen=True)
class Verdict:
    """What to think of a model, in words.

    Attributes:
        outcome: ours beside the best simple model: "better", "as good", "worse", "undecided", "no baseline".
        badge: the outcome in a few words.
        result: one sentence with the headline figure and its interval.
        comparison: one sentence that puts it beside the best simple model.
    """

    outcome: str
    badge: Message
    result: Message
    comparison: Message


def verdict_of(target: str, evaluation: Mapping[str, Any]) -> Verdict:
    """Return the verdict on one target of evaluation.json."""
    outcome = evaluation["verdict"]["outcome"]
    return Verdict(
        outcome, both(_BADGES[outcome]), _result(target, evaluation), _comparison(outcome, evaluation)
    )


def headline(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figure of the headline metric on the test rows: title, value, low, high."""
    return dict(evaluation["metrics"][evaluation["metric"]])


def best_baseline(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the best simple model, or None where none was trained."""
    name = evaluation["verdict"].get("baseline")
    return next((dict(simple) for simple in evaluation["baselines"] if simple["name"] == name), None)


def _result(target: str, evaluation: Mapping[str, Any]) -> Message:
    figure = headline(evaluation)
    values = {
        "target": target,
        "metric": metric_title(evaluation["metric"], figure["title"]),
        "value": number(figure["value"]),
        "rows": count(evaluation["rows"]["test"]),
    }
    if figure["value"] is None:
        return both(
            "On {rows} rows that it had never seen, the {metric} of {target} is not defined.", **values
        )
    if figure.get("low") is None:
        return both(
            "On {rows} rows that it had never seen, the model predicts {target} with {metric} {value}.",
            **values,
        )
    return both(
        "On {rows} rows that it had never seen, the model predicts {target} with {metric} {value}"
        " ({confidence} interval {low} to {high}).",
        **values,
        confidence=percent(evaluation.get("confidence", 0.95)),
        low=number(figure["low"], like=figure["value"]),
        high=number(figure["high"], like=figure["value"]),
    )


def _comparison(outcome: str, evaluation: Mapping[str, Any]) -> Message:
    simple = best_baseline(evaluation)
    if simple is None:
        return both(
            "No simple model was trained beside it, so this figure does not tell how hard the problem is."
        )
    metric = evaluation["metric"]
    difference = simple.get("difference") or {}
    # Positive means that ours is better, whichever way the metric runs.
    lead = difference.get("value") or 0.0
    ends = sorted(abs(difference.get(end) or 0.0) for end in ("low", "high"))
    values = {
        "baseline": baseline_title(simple["name"], simple["title"]),
        "theirs": number(simple["metrics"][metric]["value"]),
        "difference": number(abs(lead)),
        "low": number(ends[0], like=lead),
        "high": number(ends[1], like=lead),
    }
    match outcome:
        case "better":
            return both(
                "That is better by {difference} (between {low} and {high}) than the best simple model,"
                " {baseline} ({theirs}), on the same rows.",
                **values,
            )
        case "worse":
            return both(
                "The best simple model, {baseline} ({theirs}), is better by {difference} (between {low} and"
                " {high}): use it, or give this one more data or a larger budget.",
                **values,
            )
        case "as good":
            return both(
                "The best simple model, {baseline}, is as good ({theirs}; the difference of {difference} is"
                " no more than chance): prefer it unless something else speaks for this one.",
                **values,
            )
        case _:
            return both(
                "The best simple model, {baseline}, reaches {theirs}; so few rows cannot tell which is"
                " better.",
                **values,
            )
