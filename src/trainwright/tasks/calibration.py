"""What is learned on validation rows, in NumPy: temperature, threshold and conformal widths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from trainwright.foundation.errors import RecipeError, did_you_mean

Array = npt.NDArray[Any]

_MOST_CELLS = 2_000_000
"""Probabilities that a temperature is fitted on at most: an even share of rows is enough for one number."""
_PRIOR_ROWS = 10.0
"""Weight, in rows, of the belief that the model is calibrated already: a few dozen rows that are all right
must not make it boundlessly sure of itself."""
_SHARPEST = 20.0


def fit_temperature(log_p: Array, target: Array) -> float:
    """Return the temperature that makes probabilities fit best (Guo et al. 2017).

    It minimises the log loss of softmax(log_p / T) over the rows, plus that of `_PRIOR_ROWS` rows whose
    truth is drawn from the model itself. Both are convex in 1 / T, and the second is least at T = 1, so
    the log loss of the rows is never worse than at T = 1.

    Args:
        log_p: log-probabilities or logits [rows, classes].
        target: class index [rows].
    """
    step = -(-log_p.size // _MOST_CELLS)
    log_p, target = log_p[::step].astype(np.float64), target[::step]
    rows = len(target)
    if rows == 0:
        return 1.0
    log_p -= log_p.max(axis=1, keepdims=True)
    right = log_p[np.arange(rows), target].sum()
    prior = _PRIOR_ROWS / rows
    own = prior * _slope(log_p, 1.0)[0]

    low, high, sharpness = 1 / _SHARPEST, _SHARPEST, 1.0
    for _ in range(60):
        mean, variance = _slope(log_p, sharpness)
        slope = (1 + prior) * mean - right - own
        low, high = (low, sharpness) if slope > 0 else (sharpness, high)
        step_to = sharpness - slope / max((1 + prior) * variance, 1e-300)
        # Newton's step where it stays inside the bracket, else the middle: converges from anywhere.
        following = step_to if low < step_to < high else math.sqrt(low * high)
        if abs(following - sharpness) < 1e-9 * sharpness or high / low < 1 + 1e-9:
            break
        sharpness = following
    return 1.0 / sharpness


def calibrated_log_loss(log_p: Array, target: Array) -> float:
    """Return the mean log loss in nats at the temperature that fits these rows best.

    Args:
        log_p: log-probabilities or logits [rows, classes].
        target: class index [rows].
    """
    if not len(target):
        return 0.0
    log_p = log_p / fit_temperature(log_p, target)
    log_p -= log_p.max(axis=1, keepdims=True)
    right = log_p[np.arange(len(target)), target]
    return float((np.log(np.exp(log_p).sum(axis=1)) - right).mean())


def _slope(log_p: Array, sharpness: float) -> tuple[float, float]:
    """Return the sum over rows of mean and variance of log_p under softmax(sharpness * log_p)."""
    p = np.exp(sharpness * log_p)
    p /= p.sum(axis=1, keepdims=True)
    mean = (p * log_p).sum(axis=1)
    variance = (p * log_p**2).sum(axis=1) - mean**2
    return float(mean.sum()), float(variance.sum())


Counts = tuple[Array, Array, Array, Array]


def _f1(hit: Array, wrong: Array, missed: Array) -> Array:
    return cast(Array, 2 * hit / np.maximum(2 * hit + wrong + missed, 1))


def _accuracy(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    return cast(Array, (tp + tn) / (tp + fp + fn + tn))


def _balanced_accuracy(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    return cast(Array, (tp / np.maximum(tp + fn, 1) + tn / np.maximum(tn + fp, 1)) / 2)


def _f1_macro(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    return (_f1(tp, fp, fn) + _f1(tn, fn, fp)) / 2


def _f1_weighted(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    yes, no = tp + fn, tn + fp
    return cast(Array, (yes * _f1(tp, fp, fn) + no * _f1(tn, fn, fp)) / (yes + no))


def _mcc(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    spread = np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))
    return cast(Array, (tp * tn - fp * fn) / np.maximum(spread, 1))


def _kappa(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    total = tp + fp + fn + tn
    chance = ((tp + fp) * (tp + fn) + (tn + fp) * (tn + fn)) / total
    return cast(Array, (tp + tn - chance) / np.maximum(total - chance, 1e-12))


THRESHOLD_METRICS: dict[str, Callable[[Counts], Array]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": lambda counts: _f1(counts[0], counts[1], counts[2]),
    "f1_macro": _f1_macro,
    "f1_micro": _accuracy,
    "f1_weighted": _f1_weighted,
    "mcc": _mcc,
    "kappa": _kappa,
}
"""Metrics that have a best threshold worth choosing (precision and recall alone are best at the ends)."""


def best_threshold(probability: Array, positive: Array, metric: str) -> float:
    """Return the least probability of a yes that makes `metric` best; the one nearest 0.5 of equals.

    Args:
        probability: probability of yes [rows].
        positive: whether it is a yes, bool [rows].
        metric: a key of `THRESHOLD_METRICS`.

    Raises:
        RecipeError: the metric has no such threshold.
    """
    if metric not in THRESHOLD_METRICS:
        raise RecipeError(
            f"no threshold can be chosen for '{metric}'",
            where="evaluation.threshold",
            fix=did_you_mean(metric, THRESHOLD_METRICS),
        )
    if len(probability) == 0:
        return 0.5
    order = np.argsort(-probability, kind="stable")
    sorted_p = probability[order].astype(np.float64)
    hits = np.concatenate([[0.0], np.cumsum(positive[order], dtype=np.float64)])
    called = np.arange(len(sorted_p) + 1, dtype=np.float64)
    tp, fp = hits, called - hits
    fn = hits[-1] - tp
    tn = (called[-1] - hits[-1]) - fp
    # Calling the first k rows a yes is possible only where the probability falls after the k-th.
    possible = np.concatenate([[True], sorted_p[1:] < sorted_p[:-1], [True]])
    value = np.where(possible, THRESHOLD_METRICS[metric]((tp, fp, fn, tn)), -np.inf)
    cuts = (np.concatenate([[1.0], sorted_p]) + np.concatenate([sorted_p, [0.0]])) / 2
    best = np.flatnonzero(value >= value.max() - 1e-12)
    cuts = cuts[best]
    return float(cuts[np.abs(cuts - 0.5).argmin()])


def conformal_quantile(ratios: Array, coverage: float) -> float:
    """Return the factor that makes intervals contain a new value with probability `coverage` or more.

    Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): the ⌈(n + 1) · coverage⌉-th smallest of
    n ratios. Where there are too few rows for that rank the largest is taken, and nothing is promised.

    Args:
        ratios: for each row, the factor at which its interval just contains its true value, ≥ 0 [rows].
        coverage: share of rows wanted.
    """
    rows = len(ratios)
    if rows == 0:
        return 1.0
    rank = min(math.ceil((rows + 1) * coverage), rows)
    return float(np.partition(ratios, rank - 1)[rank - 1])
