"""The model beside the simple models: every metric of each, and the paired difference of the headline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainwright.evaluation.baselines import Baseline
from trainwright.evaluation.bootstrap import Bootstrap, Draws, bootstrap, interval_of
from trainwright.evaluation.metrics.base import Metric
from trainwright.evaluation.sample import Array, Sample
from trainwright.tasks.calibration import best_threshold

if TYPE_CHECKING:
    from trainwright.recipe.recipe import EvaluationSettings

_OURS = "model"


def measure(
    test: Sample,
    metrics: Sequence[Metric],
    baselines: Sequence[Baseline],
    *,
    settings: EvaluationSettings,
    validation: Sample | None = None,
    positions: Array | None = None,
    seed: int = 0,
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Return the model's metrics (see `metric_table`) and a line for each simple model.

    A line is {"name", "title", "metrics", "difference", "rows", "threshold", "seconds", "note"};
    "difference" is that of the first metric, positive where the model is better than the simple one. A
    threshold is chosen for a simple model as it is for ours, on the same validation rows.

    Args:
        test: the model's sample.
        metrics: the headline first.
        baselines: what simple models said of the same rows.
        settings: resamples, confidence, threshold.
        validation: the model's sample of the validation rows.
        positions: rows that the simple models scored, ascending, among those `Sample.of` was given for
            `test`; all without.
        seed: the run's seed.
    """
    positions, scored = _matched(test, positions, baselines)
    compared = test if positions is None else test.take(positions)
    samples = {_OURS: compared}
    thresholds: dict[str, float] = {}
    for baseline in baselines:
        if baseline.scores is None:
            continue
        asked = settings.threshold if test.kind in {"binary", "multilabel"} else None
        if asked and validation and baseline.validation_scores is not None:
            thresholds[baseline.name] = _threshold(asked, validation, baseline.validation_scores)
        scores = baseline.scores if scored is None else baseline.scores[scored]
        assert len(scores) == compared.rows, f"{baseline.name} scored other rows than the model"
        samples[baseline.name] = Sample.of(
            test.kind, compared.target, scores, threshold=thresholds.get(baseline.name)
        )
    drawn = bootstrap(samples, metrics, Bootstrap(compared.rows, resamples=settings.bootstrap, seed=seed))
    own = drawn[_OURS]
    if positions is not None:
        whole = Bootstrap(test.rows, resamples=settings.bootstrap, seed=seed)
        own = bootstrap({_OURS: test}, metrics, whole)[_OURS]
    lines = []
    for baseline in baselines:
        theirs = drawn.get(baseline.name, {})
        lines.append(
            {
                "name": baseline.name,
                "title": baseline.title,
                "metrics": metric_table(theirs, metrics, compared.rows, settings.confidence),
                "difference": _difference(drawn[_OURS], theirs, metrics[0], settings.confidence),
                "rows": compared.rows,
                "threshold": thresholds.get(baseline.name),
                "seconds": round(baseline.seconds, 3),
                "note": baseline.note,
            }
        )
    return metric_table(own, metrics, test.rows, settings.confidence), lines


def metric_table(
    drawn: Mapping[str, Draws], metrics: Sequence[Metric], rows: int, confidence: float
) -> dict[str, dict[str, Any]]:
    """Return metric → {"title", "value", "low", "high", "greater_is_better", "format", "why"}.

    A value that is not defined is None and "why" says the reason.
    """
    table = {}
    for metric in metrics:
        if metric.name not in drawn:
            continue
        interval = interval_of(metric, drawn[metric.name], rows, confidence)
        table[metric.name] = {
            "title": metric.title,
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "greater_is_better": metric.greater_is_better,
            "format": metric.format,
            "why": metric.undefined if interval.value is None else None,
        }
    return table


def best_line(lines: Sequence[dict[str, Any]], headline: Metric) -> dict[str, Any] | None:
    """Return the simple model with the best headline; a defined value comes before none."""

    def worth(line: dict[str, Any]) -> float:
        value = line["metrics"][headline.name]["value"]
        return -math.inf if value is None else float(headline.sign * value)

    compared = [line for line in lines if line["difference"] is not None]
    return max(compared, key=worth) if compared else None


def _matched(
    test: Sample, positions: Array | None, baselines: Sequence[Baseline]
) -> tuple[Array | None, Array | None]:
    """Return which rows of `test` the simple models scored, and where in their scores (None: all of them).

    Rows without a target are missing from `test`, but the simple models scored them too.
    """
    if test.kept is None:
        return positions, None
    if positions is None:
        return None, test.kept
    place = np.searchsorted(test.kept, positions)
    inside = place < len(test.kept)
    inside[inside] = test.kept[place[inside]] == positions[inside]
    return place[inside], np.flatnonzero(inside)


def _threshold(metric: str, validation: Sample, scores: Array) -> float:
    """Return the threshold that the task would choose for these validation scores; see `Task.calibrate`."""
    if validation.kept is not None:
        scores = scores[validation.kept]
    if validation.kind == "multilabel":
        return best_threshold(scores.ravel(), validation.target.ravel(), "f1")
    return best_threshold(scores[:, 1], validation.target == 1, metric)


def _difference(
    ours: Mapping[str, Draws], theirs: Mapping[str, Draws], headline: Metric, confidence: float
) -> dict[str, float | None] | None:
    if headline.name not in theirs:
        return None
    gain = ours[headline.name].minus(theirs[headline.name]).times(headline.sign).interval(confidence)
    return {"value": gain.value, "low": gain.low, "high": gain.high}
