"""Intervals by resampling the test rows, with the same resamples for every model and metric.

Percentile bootstrap (Efron & Tibshirani 1993): a resample draws as many rows as there are, with
replacement; it is held as weights (how often each row was drawn), so that a metric is computed for many
resamples in one go and two models are compared on the very same draws.

Above `LARGE` rows, work and memory stop growing: resamples are drawn within a few random subsets of
`SUBSET` rows, and their distances from their subset's own value are shrunk by √(subset / rows) (m out of n
bootstrap: Bickel, Götze & van Zwet 1997; subsets as in Kleiner et al. 2014).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from trainwright.evaluation.metrics.base import Metric
from trainwright.evaluation.sample import Array, Sample
from trainwright.evaluation.weighted import Weighted
from trainwright.foundation.random import numpy_stream

LARGE = 50_000
"""Test rows above which resamples are drawn within subsets."""
SUBSET = 20_000
"""Rows of such a subset."""

_SUBSETS = 5
_CELLS = 2_000_000
"""Weights (rows times resamples) in memory at a time: 16 MB, and a few arrays of the same size beside it."""
_CLASS_CELLS = 200_000_000
"""Rows times resamples times classes that a metric of every class may take; fewer resamples beyond."""
_FEWEST = 100

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its confidence interval; None where it has none."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Draws:
    """A metric on the rows themselves and on resamples of them.

    Attributes:
        value: on the rows; NaN where it is not defined.
        draws: on each resample, float64 [resamples]; NaN where it is not defined.
    """

    value: float
    draws: Array

    def minus(self, other: Draws) -> Draws:
        """Return the difference on the same resamples: a paired comparison."""
        shared = min(len(self.draws), len(other.draws))
        return Draws(self.value - other.value, self.draws[:shared] - other.draws[:shared])

    def times(self, factor: float) -> Draws:
        """Return the draws scaled by a factor."""
        return Draws(self.value * factor + 0.0, self.draws * factor + 0.0)  # + 0.0: no -0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the draws; NaN where fewer than half are defined."""
        return float(np.nanstd(self.draws)) if self._enough else math.nan

    @property
    def _enough(self) -> bool:
        return len(self.draws) > 1 and np.isnan(self.draws).mean() < 0.5

    def interval(self, confidence: float) -> Interval:
        """Return the interval, without ends where fewer than half of the draws are defined.

        Its ends are the draws' percentiles after the draws were moved so that their mean is the value: a
        metric that repeated rows raise (calibration error, PR-AUC of a rare class) would else lie outside
        of its own interval.
        """
        if math.isnan(self.value):
            return Interval(None)
        if not self._enough:
            return Interval(self.value)
        tail = (1 - confidence) / 2
        draws = self.draws[~np.isnan(self.draws)]
        low, high = np.quantile(draws, [tail, 1 - tail]) + (self.value - draws.mean())
        return Interval(self.value, float(low), float(high))


def interval_of(metric: Metric, draws: Draws, rows: int, confidence: float) -> Interval:
    """Return the interval of a metric over `rows` rows, kept within what the metric can be.

    When all rows are right (or all wrong), every resample says so and the bootstrap knows no spread;
    Wilson's interval still does and is taken instead.
    """
    interval = draws.interval(confidence)
    if interval.low is None or interval.high is None:
        return interval
    if metric.proportion and draws.value in {0.0, 1.0}:
        return Interval(draws.value, *wilson(draws.value, rows, confidence))
    # No error is below 0, and nothing of which more is better is above 1.
    share = metric.format == "share"
    low = max(0.0, interval.low) if share or not metric.greater_is_better else interval.low
    high = min(1.0, interval.high) if share or metric.greater_is_better else interval.high
    return Interval(interval.value, low, high)


def wilson(share: float, rows: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of a share of `rows` rows."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Resamples:
    """Some resamples of the same rows.

    Attributes:
        subset: positions of the rows they are drawn from; None for all rows.
        weights: how often each of those rows was drawn, float64 [rows, resamples].
        shrink: factor for distances from the subset's own value.
    """

    subset: Array | None
    weights: Array
    shrink: float


class Bootstrap:
    """Resamples of the rows 0 … rows - 1: the same ones at every iteration.

    Args:
        rows: how many rows there are.
        resamples: how many resamples to draw; 0 gives none.
        seed: the run's seed.
        name: what for, as the name of the random stream.
    """

    def __init__(self, rows: int, *, resamples: int, seed: int, name: str = "bootstrap") -> None:
        self.rows = rows
        self.resamples = resamples if rows > 1 else 0
        self._seed = seed
        self._name = name

    def __iter__(self) -> Iterator[Resamples]:
        generator = numpy_stream(self._seed, self._name)
        if self.rows <= LARGE:
            yield from self._of(generator, None, self.rows, self.resamples)
            return
        parts = min(_SUBSETS, self.rows // SUBSET)
        order = generator.permutation(self.rows)
        for part in range(parts):
            subset = np.sort(order[part * SUBSET : (part + 1) * SUBSET])
            share = self.resamples * (part + 1) // parts - self.resamples * part // parts
            yield from self._of(generator, subset, SUBSET, share)

    def _of(
        self, generator: np.random.Generator, subset: Array | None, rows: int, resamples: int
    ) -> Iterator[Resamples]:
        step = max(1, _CELLS // max(rows, 1))
        for start in range(0, resamples, step):
            count = min(step, resamples - start)
            drawn = generator.integers(rows, size=(count, rows), dtype=np.int32)
            counts = np.stack([np.bincount(row, minlength=rows) for row in drawn])
            weights = np.ascontiguousarray(counts.T, dtype=np.float64)
            yield Resamples(subset, weights, math.sqrt(rows / self.rows))

    def limit(self, metric: Metric, classes: int) -> int:
        """Return how many resamples a metric gets: fewer where it must sort out many classes."""
        if not metric.per_class or classes <= 2:
            return self.resamples
        cells = min(self.rows, LARGE) * classes
        return min(self.resamples, max(_FEWEST, _CLASS_CELLS // cells))


def bootstrap(
    samples: Mapping[Key, Sample], metrics: Sequence[Metric], resamples: Bootstrap
) -> dict[Key, dict[str, Draws]]:
    """Return every metric of every sample with its draws; all samples hold the same rows in the same order.

    Metrics that do not fit a sample (see `Metric.fits`) are left out for it.
    """
    chosen = {key: [metric for metric in metrics if metric.fits(sample)] for key, sample in samples.items()}
    values = {
        key: {metric.name: metric.draws(whole)[0] for metric in chosen[key]}
        for key, sample in samples.items()
        for whole in [Weighted(sample)]
    }
    drawn: dict[Key, dict[str, list[Array]]] = {
        key: {metric.name: [] for metric in chosen[key]} for key in samples
    }
    own: dict[Key, dict[str, float]] = {}
    parts: dict[Key, Sample] = dict(samples)
    subset, done = None, 0
    for some in resamples:
        if some.subset is not None and some.subset is not subset:
            subset = some.subset
            parts = {key: sample.take(subset) for key, sample in samples.items()}
            own = {key: {metric.name: metric(part) for metric in chosen[key]} for key, part in parts.items()}
        for key, part in parts.items():
            weighted = Weighted(part, some.weights)
            for metric in chosen[key]:
                if done >= resamples.limit(metric, part.classes):
                    continue
                draws = metric.draws(weighted)
                if subset is not None:
                    draws = values[key][metric.name] + some.shrink * (draws - own[key][metric.name])
                drawn[key][metric.name].append(draws)
        done += some.weights.shape[1]
    return {
        key: {
            name: Draws(float(values[key][name]), np.concatenate(draws) if draws else np.empty(0))
            for name, draws in by_metric.items()
        }
        for key, by_metric in drawn.items()
    }
