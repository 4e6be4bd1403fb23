"""Judging one target: everything the report says about how good the model is, as one JSON-able document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from trainwright.evaluation import curves
from trainwright.evaluation.baselines import Baseline
from trainwright.evaluation.bootstrap import Interval
from trainwright.evaluation.comparison import best_line, measure
from trainwright.evaluation.examples import describe, doubts, largest, losses
from trainwright.evaluation.metrics.base import METRICS, Metric
from trainwright.evaluation.sample import Array, Sample
from trainwright.evaluation.slices import cut, judge_slices
from trainwright.evaluation.verdict import verdict
from trainwright.foundation.errors import RecipeError, UserError

if TYPE_CHECKING:
    from trainwright.recipe.recipe import EvaluationSettings

EXAMPLES = 12
"""Rows shown as worst and as most doubtful, each."""


def headline_metric(name: str, sample: Sample) -> Metric:
    """Return a metric by name, checked to be made for the task.

    Raises:
        RecipeError: there is no such metric, or it judges other tasks.
    """
    metric = METRICS[name]
    if not metric.fits(sample):
        fitting = ", ".join(other for other, each in METRICS.items() if each.fits(sample))
        raise RecipeError(
            f"the metric '{name}' does not judge a {sample.kind} target",
            where="evaluation.metric",
            fix=f"choose one of: {fitting}",
        )
    return metric


def judge(
    test: Sample,
    *,
    settings: EvaluationSettings,
    metrics: Sequence[str],
    classes: Sequence[str] | None = None,
    validation: Sample | None = None,
    baselines: Sequence[Baseline] = (),
    baseline_rows: Array | None = None,
    values: Callable[[str], pl.Series] | None = None,
    types: Mapping[str, str] | None = None,
    rows: Array | None = None,
    show: Callable[[Array], Sequence[Mapping[str, Any]]] | None = None,
    threshold: float | None = None,
    temperature: float | None = None,
    contributions: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Return the document of one target: JSON-able, without NaN, None where something is not defined.

    Everything given by row (`baselines`, `values`, `rows`) stands for the rows that `Sample.of` was given for
    `test`, those without a target among them.

    Args:
        test: truth and scores of the test rows that have a target.
        settings: metric, resamples, confidence, coverage, slices.
        metrics: the task's metrics, most telling first; those that do not fit are left out.
        classes: class names, for tasks with classes.
        validation: truth and scores of the validation rows.
        baselines: simple models' scores of the same test rows.
        baseline_rows: positions that the simple models scored, ascending; all without.
        values: input column → its raw values in the test rows, for slices.
        types: input column → feature type, for slices.
        rows: row numbers in the table of the test rows [rows]; their positions without.
        show: row numbers → {"where", "inputs"} of each, for examples.
        threshold: least probability of a yes.
        temperature: that probabilities were scaled with.
        contributions: from `importance.contributions`.
        seed: the run's seed.

    Raises:
        UserError: there is no test row with a target.
        RecipeError: the metric asked for does not exist or does not judge such a target.
    """
    if test.rows == 0:
        raise UserError("no test row has a target", fix="give more rows or a larger split.test")
    names = None if test.kind == "regression" else list(classes or map(str, range(test.classes)))
    chosen = [METRICS[name] for name in metrics if METRICS[name].fits(test)]
    headline = headline_metric(settings.metric or metrics[0], test)
    chosen = [headline, *(metric for metric in chosen if metric.name != headline.name)]
    table, simple = measure(
        test,
        chosen,
        baselines,
        settings=settings,
        validation=validation,
        positions=baseline_rows,
        seed=seed,
    )
    best = best_line(simple, headline)
    numbers = rows if rows is not None else np.arange(test.rows if test.kept is None else test.kept[-1] + 1)
    if test.kept is not None:
        numbers = numbers[test.kept]

    def kept_values(column: str) -> pl.Series:
        assert values is not None
        found = values(column)
        return found if test.kept is None else found.gather(test.kept)

    own = table[headline.name]
    numeric = test.kind == "regression"
    return {
        "task": test.kind,
        "metric": headline.name,
        "classes": names,
        "rows": {"test": test.rows, "validation": validation.rows if validation else 0},
        "confidence": settings.confidence,
        "resamples": settings.bootstrap,
        "metrics": table,
        "validation": {
            metric.name: {"value": _or_none(metric(validation))}
            for metric in (chosen if validation else ())
            if validation and metric.fits(validation)
        },
        "baselines": simple,
        "verdict": verdict(
            headline,
            Interval(own["value"], own["low"], own["high"]),
            rows=test.rows,
            confidence=settings.confidence,
            baseline=best,
            difference=Interval(**best["difference"]) if best else None,
        ),
        "threshold": threshold,
        "temperature": temperature,
        "confusion": curves.confusion(test),
        "confused": curves.confused(test, names or ()),
        "roc": [] if names is None else curves.roc(test, names),
        "pr": [] if names is None else curves.precision_recall(test, names),
        "calibration": [] if numeric else curves.calibration(test),
        "residuals": curves.residuals(test, seed) if numeric else None,
        "per_class": [] if names is None else curves.per_class(test, names),
        "slices": judge_slices(
            test,
            [] if values is None or types is None else cut(kept_values, types, settings.slices),
            headline,
            confidence=settings.confidence,
            seed=seed,
            resamples=settings.bootstrap,
        ),
        "examples": {
            "worst": _examples(test, largest(losses(test), EXAMPLES), numbers, names, show),
            "doubtful": _examples(test, _doubtful(test), numbers, names, show),
        },
        "contributions": [dict(line) for line in contributions],
    }


def _doubtful(test: Sample) -> Array:
    unsure = doubts(test)
    return np.empty(0, dtype=np.int64) if unsure is None else largest(unsure, EXAMPLES)


def _examples(
    test: Sample,
    positions: Array,
    numbers: Array,
    names: Sequence[str] | None,
    show: Callable[[Array], Sequence[Mapping[str, Any]]] | None,
) -> list[dict[str, Any]]:
    shown = show(numbers[positions]) if show and len(positions) else [{}] * len(positions)
    return [
        {"row": int(numbers[position]), "where": None, "inputs": {}, **said, **extra}
        for position, said, extra in zip(
            positions.tolist(), describe(test, positions, names), shown, strict=True
        )
    ]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
