"""Metrics of predicted classes: how often they are right, and which mistakes they make.

All come from three counts a class (hits, members, predicted members), so that a thousand classes cost no
matrix of a million cells. Definitions and conventions (an F1 without any member is 0) are scikit-learn's.
"""

from __future__ import annotations

import numpy as np

from trainwright.evaluation.metrics.base import CLASSES, LABELLED, metric, ratio
from trainwright.evaluation.sample import Array
from trainwright.evaluation.weighted import Weighted

_ONE_CLASS = "all rows have the same class"


@metric("accuracy", "Accuracy", LABELLED, proportion=True)
def accuracy(weighted: Weighted) -> Array:
    """Share of rows with the right class; multilabel: with exactly the right classes."""
    sample = weighted.sample
    right = sample.target == sample.labels
    return weighted.mean(right.all(axis=1) if right.ndim == 2 else right)


@metric("balanced_accuracy", "Balanced accuracy", CLASSES)
def balanced_accuracy(weighted: Weighted) -> Array:
    """Mean over classes of the share of their members that were found."""
    hits, members, _ = weighted.counts
    return np.asarray(np.nanmean(ratio(hits, members), axis=0))


@metric("precision", "Precision", LABELLED)
def precision(weighted: Weighted) -> Array:
    """Share of predicted members that are members: of the second class, or mean over classes."""
    hits, _, predicted = weighted.counts
    return _one_or_mean(weighted, ratio(hits, predicted, empty=0))


@metric("recall", "Recall", LABELLED)
def recall(weighted: Weighted) -> Array:
    """Share of members that were found: of the second class, or mean over classes."""
    hits, members, _ = weighted.counts
    return _one_or_mean(weighted, ratio(hits, members, empty=0))


@metric("f1", "F1", ("binary",))
def f1(weighted: Weighted) -> Array:
    """Harmonic mean of precision and recall of the second class."""
    return np.asarray(_f1(weighted)[1])


@metric("f1_macro", "F1, mean over classes", LABELLED)
def f1_macro(weighted: Weighted) -> Array:
    """Mean over classes of F1."""
    return _mean_over_seen(weighted, _f1(weighted))


@metric("f1_weighted", "F1, weighted by class size", LABELLED)
def f1_weighted(weighted: Weighted) -> Array:
    """Mean over classes of F1, weighted by their members."""
    members = weighted.counts[1]
    return ratio((_f1(weighted) * members).sum(axis=0), members.sum(axis=0), empty=0)


@metric("f1_micro", "F1 over all decisions", LABELLED)
def f1_micro(weighted: Weighted) -> Array:
    """F1 of all decisions together; where a row has one class it is the accuracy."""
    hits, members, predicted = (count.sum(axis=0) for count in weighted.counts)
    return ratio(2 * hits, members + predicted, empty=0)


@metric("mcc", "Matthews correlation", CLASSES, format="score")
def mcc(weighted: Weighted) -> Array:
    """Correlation of predicted and true classes (Matthews 1975; Gorodkin 2004 for several classes)."""
    hits, members, predicted = weighted.counts
    total = weighted.total
    agreement = hits.sum(axis=0) * total - (members * predicted).sum(axis=0)
    spread = (total**2 - (predicted**2).sum(axis=0)) * (total**2 - (members**2).sum(axis=0))
    return ratio(agreement, np.sqrt(np.maximum(spread, 0)), empty=0)


@metric("kappa", "Cohen's kappa", CLASSES, format="score", undefined=_ONE_CLASS)
def kappa(weighted: Weighted) -> Array:
    """Agreement beyond what chance gives (Cohen 1960)."""
    hits, members, predicted = weighted.counts
    total = weighted.total
    by_chance = (members * predicted).sum(axis=0) / total
    return ratio(hits.sum(axis=0) - by_chance, total - by_chance)


@metric("quadratic_kappa", "Quadratic kappa", CLASSES, format="score", undefined=_ONE_CLASS)
def quadratic_kappa(weighted: Weighted) -> Array:
    """Agreement beyond chance where a mistake costs the square of its distance (Cohen 1968)."""
    sample = weighted.sample
    true, predicted = sample.target.astype(np.float64), sample.labels.astype(np.float64)
    cost = weighted.mean((true - predicted) ** 2)
    chance = (
        weighted.mean(true**2)
        + weighted.mean(predicted**2)
        - 2 * weighted.mean(true) * weighted.mean(predicted)
    )
    return 1 - ratio(cost, np.where(chance > 1e-12, chance, 0.0))


def _f1(weighted: Weighted) -> Array:
    """F1 of each class [classes, resamples]."""
    hits, members, predicted = weighted.counts
    return ratio(2 * hits, members + predicted, empty=0)


def _one_or_mean(weighted: Weighted, values: Array) -> Array:
    return np.asarray(values[1]) if weighted.sample.kind == "binary" else _mean_over_seen(weighted, values)


def _mean_over_seen(weighted: Weighted, values: Array) -> Array:
    """Mean over the classes that occur, true or predicted; multilabel: over all of them."""
    if weighted.sample.kind == "multilabel":
        return np.asarray(values.mean(axis=0))
    seen = (weighted.counts[1] + weighted.counts[2]) > 0
    return ratio((values * seen).sum(axis=0), seen.sum(axis=0))
