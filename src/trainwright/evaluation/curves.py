"""What charts are drawn from: curves of a few hundred points, confusion and residuals, as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainwright.evaluation.sample import CALIBRATION_BINS, Array, Sample
from trainwright.foundation.random import numpy_stream

POINTS = 200
"""Points of a curve at most."""
MATRIX_CLASSES = 50
"""Classes up to which the whole confusion matrix is given."""

_CURVES = 20
_RESIDUALS = 1000
_HISTOGRAM_BINS = 30
_PAIRS = 10


def roc(sample: Sample, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return ROC curves: {"class", "points": [[false positive rate, true positive rate], …]}.

    One for the second of two classes, else one for each of the 20 largest classes against the rest; a
    class without members or without others has none.
    """
    curves = []
    for of_class in _shown(sample):
        true, false = _cumulative(sample, of_class)
        if true[-1] and false[-1]:
            points = np.stack([false / false[-1], true / true[-1]], axis=1)
            curves.append({"class": classes[of_class], "points": _thin(points)})
    return curves


def precision_recall(sample: Sample, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return precision-recall curves: {"class", "points": [[recall, precision], …]}; classes as in `roc`."""
    curves = []
    for of_class in _shown(sample):
        true, false = (counts[1:] for counts in _cumulative(sample, of_class))
        if len(true) and true[-1] and false[-1]:
            precision = true / (true + false)
            points = np.stack([true / true[-1], precision], axis=1)
            points = np.concatenate([[[0, precision[0]]], points])
            curves.append({"class": classes[of_class], "points": _thin(points)})
    return curves


def calibration(sample: Sample) -> list[dict[str, Any]]:
    """Return, for each bin of confidence that has any, {"confidence", "accuracy", "count"} (means)."""
    confidence, came_true, _ = sample.confidence
    bins = sample.calibration_bins
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    said = np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS)
    was = np.bincount(bins, weights=came_true, minlength=CALIBRATION_BINS)
    return [
        {"confidence": said[b] / count[b], "accuracy": was[b] / count[b], "count": int(count[b])}
        for b in np.flatnonzero(count).tolist()
    ]


def confusion(sample: Sample) -> list[list[int]] | None:
    """Return counts [true][predicted]; None for several labels or more than 50 classes."""
    classes = sample.classes
    if sample.kind in {"multilabel", "regression"} or classes > MATRIX_CLASSES:
        return None
    cells = np.bincount(sample.target * classes + sample.labels, minlength=classes**2)
    table: list[list[int]] = cells.reshape(classes, classes).tolist()
    return table


def confused(sample: Sample, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the ten most frequent mistakes: {"true", "predicted", "count"}, most frequent first."""
    if sample.kind in {"multilabel", "regression"}:
        return []
    wrong = sample.target != sample.labels
    pairs, counts = np.unique(
        sample.target[wrong] * sample.classes + sample.labels[wrong], return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:_PAIRS]
    return [
        {
            "true": classes[pair // sample.classes],
            "predicted": classes[pair % sample.classes],
            "count": count,
        }
        for pair, count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    ]


def per_class(sample: Sample, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return {"class", "precision", "recall", "f1", "support"} of each class.

    A share of nothing (the recall of a class without rows) is None.
    """
    counts = np.asarray(sample.indicators.sum(axis=1)).reshape(3, -1)
    table = []
    for name, (hits, members, predicted) in zip(classes, counts.T.tolist(), strict=True):
        table.append(
            {
                "class": name,
                "precision": hits / predicted if predicted else None,
                "recall": hits / members if members else None,
                "f1": 2 * hits / (members + predicted) if members + predicted else None,
                "support": int(members),
            }
        )
    return table


def residuals(sample: Sample, seed: int) -> dict[str, Any]:
    """Return what a regression's charts show.

    "points": at most 1000 rows drawn at random, [[predicted, true], …]; "histogram" of predicted minus true
    over the middle 99 %, the outermost bins taking the rest: [{"low", "high", "count"}]; "interval":
    {"coverage_wanted", "coverage", "mean_width"} or None.
    """
    errors = sample.scores.astype(np.float64) - sample.target
    shown = np.arange(sample.rows)
    if sample.rows > _RESIDUALS:
        shown = np.sort(numpy_stream(seed, "residuals").choice(sample.rows, _RESIDUALS, replace=False))
    interval = None
    if sample.low is not None and sample.high is not None:
        inside = (sample.low <= sample.target) & (sample.target <= sample.high)
        interval = {
            "coverage_wanted": sample.coverage,
            "coverage": float(inside.mean()),
            "mean_width": float(np.mean(sample.high - sample.low, dtype=np.float64)),
        }
    return {
        "points": np.stack([sample.scores[shown].astype(np.float64), sample.target[shown]], axis=1).tolist(),
        "histogram": histogram(errors),
        "interval": interval,
    }


def histogram(values: Array) -> list[dict[str, Any]]:
    """Return [{"low", "high", "count"}] over the middle 99 % of values; the outermost bins take the rest."""
    low, high = np.quantile(values, [0.005, 0.995])
    bins = min(_HISTOGRAM_BINS, len(np.unique(values)))
    edges = np.linspace(low, high, bins + 1)
    counts, _ = np.histogram(np.clip(values, low, high), edges) if high > low else ([len(values)], None)
    edges = edges if high > low else np.array([low, high])
    return [
        {"low": a, "high": b, "count": int(count)}
        for a, b, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts, strict=True)
    ]


def _shown(sample: Sample) -> list[int]:
    """Return the classes that get a curve of their own."""
    if sample.kind == "binary":
        return [1]
    support = np.asarray(sample.indicators.sum(axis=1)).reshape(3, -1)[1]
    largest = np.argsort(-support, kind="stable")[:_CURVES]
    shown: list[int] = np.sort(largest).tolist()
    return shown


def _cumulative(sample: Sample, of_class: int) -> tuple[Array, Array]:
    """Return how many members and how many others score at least each distinct score, from 0 to all."""
    scores, member = sample.scores[:, of_class], sample.membership(of_class)
    order = np.argsort(-scores, kind="stable")
    ends = np.concatenate([np.flatnonzero(np.diff(scores[order])), [len(order) - 1]])
    true = np.cumsum(member[order])[ends]
    return np.concatenate([[0], true]), np.concatenate([[0], ends + 1 - true])


def _thin(points: Array) -> list[list[float]]:
    """Return at most `POINTS` of the points [n, 2], evenly spread along the curve, both ends kept."""
    if len(points) > POINTS:
        length = np.concatenate([[0], np.cumsum(np.abs(np.diff(points, axis=0)).sum(axis=1))])
        wanted = np.linspace(0, length[-1], POINTS)
        points = points[np.unique(np.clip(np.searchsorted(length, wanted), 0, len(points) - 1))]
    thinned: list[list[float]] = np.round(points, 6).tolist()
    return thinned
