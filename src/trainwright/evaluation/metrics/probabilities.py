"""Metrics of probabilities: how good they are, and whether they mean what they say."""

from __future__ import annotations

import numpy as np

from trainwright.evaluation.metrics.base import CLASSES, LABELLED, metric
from trainwright.evaluation.sample import CALIBRATION_BINS, Array
from trainwright.evaluation.weighted import Weighted


@metric("log_loss", "Log loss", LABELLED, greater_is_better=False, format="score")
def log_loss(weighted: Weighted) -> Array:
    """Mean of minus the logarithm of the probability that the truth was given."""
    return weighted.mean(weighted.sample.log_losses)


@metric("brier", "Brier score", LABELLED, greater_is_better=False, format="score")
def brier(weighted: Weighted) -> Array:
    """Mean squared error of the probabilities (Brier 1950); several classes: summed over them."""
    return weighted.mean(weighted.sample.squared_losses)


@metric("ece", "Calibration error", LABELLED, greater_is_better=False)
def ece(weighted: Weighted) -> Array:
    """Expected calibration error (Guo et al. 2017): the mean distance, over bins of confidence, between the
    confidence and how often it came true."""
    from scipy.sparse import csr_array

    sample = weighted.sample
    confidence, came_true, row = sample.confidence
    gaps = csr_array(
        (confidence.astype(np.float64) - came_true, (sample.calibration_bins, row)),
        shape=(CALIBRATION_BINS, sample.rows),
    )
    cells = weighted.total * (len(row) / sample.rows)
    return np.asarray(np.abs(gaps @ weighted.weights).sum(axis=0) / cells)


@metric("top_5", "Among the five most probable", CLASSES, least_classes=6, proportion=True)
def top_5(weighted: Weighted) -> Array:
    """Share of rows whose class is among the five most probable; a tie at the fifth place counts."""
    sample = weighted.sample
    right = sample.scores[np.arange(sample.rows), sample.target]
    return weighted.mean((sample.scores > right[:, None]).sum(axis=1) < 5)
