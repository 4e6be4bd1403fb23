"""The verdict: is the model better than the best simple one, as two sentences and as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from trainwright.evaluation.bootstrap import Interval
from trainwright.evaluation.metrics.base import Metric

_NAMES = {"Brier", "Matthews", "Cohen's"}

Outcome = Literal["better", "as good", "worse", "undecided", "no baseline"]


def outcome_of(difference: Interval | None) -> Outcome:
    """Return how the model stands to the best simple one.

    Args:
        difference: of the headline metric, positive where the model is better; None without a simple model.
            Where it has no interval nothing can be told.
    """
    if difference is None:
        return "no baseline"
    if difference.low is None or difference.high is None:
        return "undecided"
    return "better" if difference.low > 0 else "worse" if difference.high < 0 else "as good"


def verdict(
    metric: Metric,
    own: Interval,
    *,
    rows: int,
    confidence: float,
    baseline: Mapping[str, Any] | None,
    difference: Interval | None,
) -> dict[str, Any]:
    """Return {"outcome", "baseline", "key", "values", "sentences"}.

    "key" is the outcome as one word ("better", "as_good", "worse", "undecided", "no_baseline"): a report
    translates the sentence of that key and fills in "values".

    Args:
        metric: the headline.
        own: the model's value.
        rows: test rows.
        confidence: of the intervals.
        baseline: the best simple model, as in `judge`'s list.
        difference: see `outcome_of`.
    """
    outcome = outcome_of(difference)
    theirs = baseline["metrics"][metric.name] if baseline else {}
    values = {
        "metric": metric.name,
        "metric_title": metric.title,
        "greater_is_better": metric.greater_is_better,
        "format": metric.format,
        "rows": rows,
        "confidence": confidence,
        "value": own.value,
        "low": own.low,
        "high": own.high,
        "baseline_title": baseline["title"] if baseline else None,
        "baseline_value": theirs.get("value"),
        "difference": difference.value if difference else None,
        "difference_low": difference.low if difference else None,
        "difference_high": difference.high if difference else None,
    }
    return {
        "outcome": outcome,
        "baseline": baseline["name"] if baseline else None,
        "key": outcome.replace(" ", "_"),
        "values": values,
        "sentences": [_first(metric, values), _second(outcome, values)],
    }


def _first(metric: Metric, values: Mapping[str, Any]) -> str:
    rows = f"{values['rows']:,} test row{'' if values['rows'] == 1 else 's'}"
    if values["value"] is None:
        return f"On {rows} the {in_sentence(metric.title)} is not defined: {metric.undefined}."
    between = _between(values["low"], values["high"], values["confidence"])
    return f"On {rows} the model's {in_sentence(metric.title)} is {number(values['value'])}{between}."


def _second(outcome: Outcome, values: Mapping[str, Any]) -> str:
    if outcome == "no baseline":
        return "No simple model was trained to compare it with."
    simple = f"the best simple model, {values['baseline_title']}"
    theirs = f"{number(values['baseline_value'])}" if values["baseline_value"] is not None else "undefined"
    if outcome == "undecided":
        return f"It cannot be compared with {simple} ({theirs}): the difference has no interval."
    low, high = sorted((abs(values["difference_low"]), abs(values["difference_high"])))
    by = f"by {number(abs(values['difference']))}{_between(low, high, None)}"
    if outcome == "better":
        return f"That is better than {simple} ({theirs}), {by}."
    if outcome == "worse":
        return f"That is worse than {simple} ({theirs}), {by}: use the simple one."
    spread = f"{number(values['difference_low'])} to {number(values['difference_high'])}"
    return (
        f"It cannot be told from {simple} ({theirs}; difference {number(values['difference'])}, {spread}), "
        "so the simple one is as good."
    )


def _between(low: float | None, high: float | None, confidence: float | None) -> str:
    if low is None or high is None:
        return ""
    said = f"{100 * confidence:.4g} % interval " if confidence else ""
    return f" ({said}{number(low)} to {number(high)})"


def number(value: float) -> str:
    """Return a number to three places: more where it is near 0 or just below 1, fewer where it is large."""
    size = abs(value)
    if 0 < size < 0.01:
        return f"{value:.2g}"
    if 0.9995 <= size < 1:
        return f"{value:.6f}".rstrip("0") if size < 0.9999995 else "just under 1"
    return f"{value:.3f}" if size < 10 else f"{value:,.1f}" if size < 10_000 else f"{value:,.0f}"


def in_sentence(title: str) -> str:
    """Return a metric's title as it is written within a sentence."""
    first = title.split(maxsplit=1)[0].split(",", maxsplit=1)[0]
    keeps_capital = first in _NAMES or not first.isalpha() or first.isupper()
    return title if keeps_capital else title[0].lower() + title[1:]
