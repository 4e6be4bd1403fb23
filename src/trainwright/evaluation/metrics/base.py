"""What a metric is: one number for a sample, under many row weights at once.

A new metric is one new function under `@metric(...)` in a file of this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainwright.evaluation.sample import Array, Kind, Sample
from trainwright.evaluation.weighted import Weighted
from trainwright.foundation.registry import Registry

Format = Literal["share", "score", "target", "target squared"]
Function = Callable[[Weighted], Array]
CLASSES: tuple[Kind, ...] = ("binary", "multiclass", "ordinal")
LABELLED: tuple[Kind, ...] = (*CLASSES, "multilabel")


@dataclass(frozen=True)
class Metric:
    """One way to judge predictions.

    Attributes:
        name: name in the registry and in recipes.
        title: what a reader calls it.
        function: sample under weights → float64 [resamples]; NaN where it is not defined.
        kinds: tasks it is made for.
        greater_is_better: whether more is better.
        format: "share" (0 to 1), "score" (no unit), "target" (the target's unit) or "target squared".
        undefined: why it can be without a value.
        needs_interval: whether it judges intervals and not values.
        per_class: its work grows with the number of classes.
        least_classes: how many classes it takes to say anything.
        proportion: the share of rows that are right, so that Wilson's interval holds for it.
    """

    name: str
    title: str
    function: Function
    kinds: tuple[Kind, ...]
    greater_is_better: bool = True
    format: Format = "share"
    undefined: str = "there are no rows"
    needs_interval: bool = False
    per_class: bool = False
    least_classes: int = 0
    proportion: bool = False

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.greater_is_better else -1

    def fits(self, sample: Sample) -> bool:
        """Return whether the metric is made for such a sample."""
        has_interval = sample.low is not None and sample.high is not None
        return (
            sample.kind in self.kinds
            and sample.classes >= self.least_classes
            and (has_interval or not self.needs_interval)
        )

    def draws(self, weighted: Weighted) -> Array:
        """Return the metric under each weighting, float64 [resamples]; NaN where it is not defined."""
        if weighted.sample.rows == 0:
            return np.full(weighted.weights.shape[1], np.nan)
        return self.function(weighted)

    def __call__(self, sample: Sample) -> float:
        """Return the metric of a sample; NaN where it is not defined."""
        return float(self.draws(Weighted(sample))[0])


METRICS: Registry[Metric] = Registry("metric", package="trainwright.evaluation.metrics")


def metric(
    name: str,
    title: str,
    kinds: tuple[Kind, ...],
    *,
    greater_is_better: bool = True,
    format: Format = "share",
    undefined: str = "there are no rows",
    needs_interval: bool = False,
    per_class: bool = False,
    least_classes: int = 0,
    proportion: bool = False,
) -> Callable[[Function], Function]:
    """Return a decorator that registers a function as a metric; the arguments are `Metric`'s."""

    def store(function: Function) -> Function:
        METRICS.register(name)(
            Metric(
                name,
                title,
                function,
                kinds,
                greater_is_better=greater_is_better,
                format=format,
                undefined=undefined,
                needs_interval=needs_interval,
                per_class=per_class,
                least_classes=least_classes,
                proportion=proportion,
            )
        )
        return function

    return store


def ratio(numerator: Array, denominator: Array, *, empty: float = np.nan) -> Array:
    """Return the quotient, and `empty` where the denominator is 0."""
    out = np.full(np.broadcast(numerator, denominator).shape, empty, dtype=np.float64)
    np.divide(numerator, denominator, out=out, where=denominator != 0)
    return out
