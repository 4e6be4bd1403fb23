"""Metrics of order: whether members of a class score higher than the others.

With several classes they are means over classes, each against the rest. A resample re-uses the one sorted
order: it only sums other weights along it.
"""

from __future__ import annotations

import numpy as np

from trainwright.evaluation.metrics.base import LABELLED, metric, ratio
from trainwright.evaluation.sample import Array, Ranking
from trainwright.evaluation.weighted import Weighted


@metric("roc_auc", "ROC-AUC", LABELLED, per_class=True, undefined="all rows have the same class")
def roc_auc(weighted: Weighted) -> Array:
    """Chance that a member scores higher than another row, ties counting half (Hanley & McNeil 1982)."""
    if weighted.sample.kind == "binary":
        return _auc(weighted.sample.ranking(1), *weighted.second_class)
    return _means_over_classes(weighted)[0]


@metric("pr_auc", "PR-AUC", LABELLED, per_class=True, undefined="all rows have the same class")
def pr_auc(weighted: Weighted) -> Array:
    """Average precision: the mean, over members, of the precision at their score."""
    if weighted.sample.kind == "binary":
        return _average_precision(weighted.sample.ranking(1), *weighted.second_class)
    return _means_over_classes(weighted)[1]


def _means_over_classes(weighted: Weighted) -> tuple[Array, Array]:
    """Return the means of both metrics over the classes that have members and others, each [resamples].

    Both at once: the running sums of a class are most of the work, and too large to keep for all classes.
    """
    if "ranking" not in weighted.shared:
        total = np.zeros((2, weighted.weights.shape[1]))
        defined = np.zeros(weighted.weights.shape[1])
        for of_class in range(weighted.sample.classes):
            ranking, running = weighted.sample.ranking(of_class), weighted.running(of_class)
            values = np.stack([_auc(ranking, *running), _average_precision(ranking, *running)])
            total += np.nan_to_num(values)
            defined += ~np.isnan(values[0])
        auc, precision = ratio(total, defined)
        weighted.shared["ranking"] = auc, precision
    return weighted.shared["ranking"]


def _auc(ranking: Ranking, members: Array, others: Array) -> Array:
    """ROC-AUC [resamples] of one class; the arrays are those of `Weighted.running`."""
    beaten = others[ranking.below] + others[ranking.up_to]
    wins = np.einsum("mr,mr->r", members, beaten) / 2
    return ratio(wins, members.sum(axis=0) * others[-1])


def _average_precision(ranking: Ranking, members: Array, others: Array) -> Array:
    """Average precision [resamples] of one class; the arrays are those of `Weighted.running`."""
    before = np.zeros((len(members) + 1, members.shape[1]))
    np.cumsum(members, axis=0, out=before[1:])
    true = before[-1] - before[ranking.tied_from]
    false = others[-1] - others[ranking.below]
    precision = ratio(true, true + false, empty=0)
    value = ratio(np.einsum("mr,mr->r", members, precision), before[-1])
    return np.where(others[-1] > 0, value, np.nan)
