"""A sample under row weights: what resamples of the rows are to a metric."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from trainwright.evaluation.sample import Array, Sample


class Weighted:
    """A sample whose rows count with weights; many weightings (resamples) at once.

    Sums that several metrics need are made once.

    Attributes:
        shared: results that one metric leaves for another, by name.

    Args:
        sample: the rows.
        weights: float64 [rows, resamples], each ≥ 0; 1 for every row without.
    """

    def __init__(self, sample: Sample, weights: Array | None = None) -> None:
        self.sample = sample
        self.weights = np.ones((sample.rows, 1)) if weights is None else weights
        self.shared: dict[str, tuple[Array, Array]] = {}

    @cached_property
    def total(self) -> Array:
        """Weight of all rows [resamples]."""
        return np.asarray(self.weights.sum(axis=0))

    def mean(self, values: Array) -> Array:
        """Return the weighted mean [resamples] of `values` [rows]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.weights.T @ values.astype(np.float64) / self.total)

    @cached_property
    def counts(self) -> tuple[Array, Array, Array]:
        """Weight of hits, of members and of predicted members of every class, each [classes, resamples]."""
        counts = self.sample.indicators @ self.weights
        hits, members, predicted = np.split(counts, 3)
        return hits, members, predicted

    def running(self, of_class: int) -> tuple[Array, Array]:
        """Return the members' weights in the order of the ranking [members, resamples] and the sums of the
        others' weights below each of its places [places, resamples], the last row being all others."""
        ranking = self.sample.ranking(of_class)
        return self.weights[ranking.members], np.cumsum(ranking.steps @ self.weights, axis=0)

    @cached_property
    def second_class(self) -> tuple[Array, Array]:
        """`running` of the second of two classes."""
        return self.running(1)
