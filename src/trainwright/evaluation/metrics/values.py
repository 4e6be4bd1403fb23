"""Metrics of predicted numbers and of their intervals."""

from __future__ import annotations

import numpy as np

from trainwright.evaluation.metrics.base import metric
from trainwright.evaluation.sample import Array, Kind
from trainwright.evaluation.weighted import Weighted

_NUMBERS: tuple[Kind, ...] = ("regression",)


def _errors(weighted: Weighted) -> Array:
    """Predicted minus true, float64 [rows]; for ordered classes in steps."""
    sample = weighted.sample
    return sample.labels.astype(np.float64) - sample.target


@metric("mse", "Mean squared error", _NUMBERS, greater_is_better=False, format="target squared")
def mse(weighted: Weighted) -> Array:
    """Mean squared error."""
    return weighted.mean(_errors(weighted) ** 2)


@metric("rmse", "Root mean squared error", _NUMBERS, greater_is_better=False, format="target")
def rmse(weighted: Weighted) -> Array:
    """Root of the mean squared error."""
    return np.sqrt(mse(weighted))


@metric("mae", "Mean absolute error", ("regression", "ordinal"), greater_is_better=False, format="target")
def mae(weighted: Weighted) -> Array:
    """Mean absolute error; for ordered classes, in steps."""
    return weighted.mean(np.abs(_errors(weighted)))


@metric("r2", "R²", _NUMBERS, format="score", undefined="all true values are the same")
def r2(weighted: Weighted) -> Array:
    """Share of the variance that is explained; below 0 when the mean would do better."""
    target = weighted.sample.target
    centred = target - target.mean()  # before squaring, so that large offsets cost no digits
    variance = weighted.mean(centred**2) - weighted.mean(centred) ** 2
    flat = variance <= 1e-12 * np.mean(centred**2) if centred.any() else np.ones(len(variance), dtype=bool)
    error = mse(weighted)
    return np.where(flat, np.nan, 1 - error / np.where(flat, 1, variance))


@metric("mape", "Mean relative error", _NUMBERS, greater_is_better=False, undefined="a true value is 0")
def mape(weighted: Weighted) -> Array:
    """Mean of the error as a share of the true value."""
    target = weighted.sample.target
    if (target == 0).any():
        return np.full(weighted.weights.shape[1], np.nan)
    return weighted.mean(np.abs(_errors(weighted) / target))


@metric("pinball", "Pinball loss", _NUMBERS, greater_is_better=False, format="target", needs_interval=True)
def pinball(weighted: Weighted) -> Array:
    """Mean quantile loss of both ends of the interval (Koenker & Bassett 1978)."""
    sample = weighted.sample
    assert sample.low is not None and sample.high is not None
    tail = (1 - sample.coverage) / 2
    return weighted.mean(
        (_pinball(sample.target, sample.low, tail) + _pinball(sample.target, sample.high, 1 - tail)) / 2
    )


@metric("coverage", "Coverage of the interval", _NUMBERS, needs_interval=True, proportion=True)
def coverage(weighted: Weighted) -> Array:
    """Share of rows whose true value lies in the interval. More is not better than what was asked for."""
    sample = weighted.sample
    assert sample.low is not None and sample.high is not None
    return weighted.mean((sample.low <= sample.target) & (sample.target <= sample.high))


def _pinball(target: Array, predicted: Array, quantile: float) -> Array:
    error = target - predicted
    return np.maximum(quantile * error, (quantile - 1) * error)
