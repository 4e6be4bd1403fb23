"""Which rows to look at: those that cost most, and those that the model is least sure of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainwright.evaluation.sample import Array, Sample


def losses(sample: Sample) -> Array:
    """Return the loss of each row, float64 [rows]: log loss, or the absolute error of a number."""
    if sample.kind == "regression":
        error: Array = np.abs(sample.scores.astype(np.float64) - sample.target)
        return error
    return sample.log_losses


def doubts(sample: Sample) -> Array | None:
    """Return how unsure the model is of each row, float64 [rows], more being less sure.

    Classes: 1 minus the distance between the two largest probabilities; several labels: nearness of the
    least sure one to one half; numbers: width of the interval, or None where all are equally wide.
    """
    if sample.kind == "regression":
        if sample.low is None or sample.high is None:
            return None
        width: Array = sample.high.astype(np.float64) - sample.low
        return width if np.ptp(width) > 1e-6 * max(abs(float(width.max())), 1e-30) else None
    scores = sample.scores.astype(np.float64)
    if sample.kind == "multilabel":
        unsure: Array = 1 - np.abs(2 * scores - 1).min(axis=1)
        return unsure
    if sample.classes < 2:
        return None
    top = np.partition(scores, -2, axis=1)[:, -2:]
    margin: Array = 1 - (top[:, 1] - top[:, 0])
    return margin


def largest(values: Array, count: int) -> Array:
    """Return the positions of the `count` largest values, largest first."""
    count = min(count, len(values))
    some = np.argpartition(-values, count - 1)[:count] if count else np.empty(0, dtype=np.int64)
    order: Array = some[np.lexsort((some, -values[some]))]
    return order


def describe(sample: Sample, rows: Array, classes: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return {"true", "predicted", "probability", "loss"} of each of some rows.

    "probability" is that of the predicted class; None for several labels and for numbers.
    """
    loss = losses(sample)
    return [
        {
            "true": _spoken(sample.target[row], classes),
            "predicted": _spoken(sample.labels[row], classes),
            "probability": None
            if sample.kind in {"regression", "multilabel"}
            else float(sample.scores[row, sample.labels[row]]),
            "loss": float(loss[row]),
        }
        for row in rows.tolist()
    ]


def _spoken(value: Any, classes: Sequence[str] | None) -> str | float | list[str]:
    """Return a target or a prediction as a reader knows it."""
    if classes is None:
        return float(value)
    if np.ndim(value):
        return [name for name, there in zip(classes, value, strict=True) if there]
    return classes[int(value)]
