"""What each input contributes: how much worse the model gets when that input's values are shuffled.

Permutation importance (Breiman 2001; Fisher, Rudin & Dominici 2019) on the headline metric.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from trainwright.evaluation.bootstrap import Bootstrap, bootstrap
from trainwright.evaluation.metrics.base import Metric
from trainwright.evaluation.sample import Sample
from trainwright.foundation.random import stream_seed

Score = Callable[[str | None, int], Sample]
"""(input whose values are shuffled among the rows, or None; seed of the shuffle) → the sample it gives."""


def contributions(
    inputs: Sequence[str],
    score: Score,
    metric: Metric,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    seconds: float | None = None,
) -> list[dict[str, Any]]:
    """Return {"input", "value", "low", "high"} of each input, the largest contribution first.

    "value" is the loss of the metric when the input is shuffled, positive when the input helps; its
    interval is that of the paired difference on the same rows. Inputs that the other inputs can stand in
    for show little: the model still has the others.

    Args:
        inputs: names to shuffle, one after another.
        score: predicts the same rows every time; the caller bounds how many.
        metric: what is measured.
        confidence: of the intervals.
        resamples: bootstrap resamples.
        seed: the run's seed.
        seconds: start no further input after so long; those that were not reached are missing from the
            answer.
    """
    began = time.monotonic()
    whole = score(None, 0)
    table = []
    for name in inputs:
        if seconds is not None and time.monotonic() - began > seconds:
            break
        shuffled = score(name, stream_seed(seed, "contribution", name))
        both = bootstrap(
            {"whole": whole, "shuffled": shuffled},
            [metric],
            Bootstrap(whole.rows, resamples=resamples, seed=seed),
        )
        loss = both["whole"][metric.name].minus(both["shuffled"][metric.name]).times(metric.sign)
        interval = loss.interval(confidence)
        table.append({"input": name, "value": interval.value, "low": interval.low, "high": interval.high})
    return sorted(table, key=lambda line: -(line["value"] or 0.0))
