"""Which groups of rows the model serves worse than the rest, beyond what chance would give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.values import as_numbers, as_words
from trainwright.evaluation.bootstrap import Bootstrap, Draws, interval_of
from trainwright.evaluation.metrics.base import Metric
from trainwright.evaluation.sample import Array, Sample
from trainwright.evaluation.weighted import Weighted

MISSING = "(missing)"
"""What the slice of rows without a value is called."""
LEVELS = 12
"""Levels of a category that get a line, the most frequent ones."""
COLUMNS = 12
"""Columns that are cut when none was named."""

_RESAMPLES = 200
_FEWEST_ROWS = 10
"""Rows below which a slice has a value but no interval."""
_FLAG_ROWS = 30


@dataclass(frozen=True)
class Slice:
    """Some rows that share a value.

    Attributes:
        column: the column that was cut.
        value: the level, or the range of a quarter of the numbers.
        rows: positions of its rows, ascending.
    """

    column: str
    value: str
    rows: Array


def cut(
    values: Callable[[str], pl.Series], types: Mapping[str, str], columns: Sequence[str] = ()
) -> list[Slice]:
    """Return the slices of some columns: levels of categories and booleans, quarters of numbers.

    Args:
        values: column → raw values of the rows; asked for one column at a time, so that memory holds one.
        types: column → feature type; columns of other types are not cut.
        columns: which columns; without, the first 12 that have from 2 to 12 levels, or are numbers.
    """
    chosen = [name for name in columns or types if name in types]
    slices: list[Slice] = []
    used = 0
    for name in chosen:
        if not columns and used == COLUMNS:
            break
        if types[name] in {"category", "boolean", "ordinal"}:
            found = _levels(name, values(name), all_levels=bool(columns))
        elif types[name] == "number":
            found = _quarters(name, values(name))
        else:
            continue
        if len(found) > 1:
            slices += found
            used += 1
    return slices


def judge_slices(
    sample: Sample, slices: Sequence[Slice], metric: Metric, *, confidence: float, seed: int, resamples: int
) -> list[dict[str, Any]]:
    """Return {"column", "value", "rows", "metric": {"value", "low", "high"}, "flag"} of each slice.

    A slice is flagged when it is worse than all rows together, on the same resamples, by more than chance
    gives to the worst of so many slices (one-sided z test, Holm 1979, at 1 - confidence), and has 30 rows
    or more. Above 50,000 rows the intervals come from a random part of them.
    """
    if not slices:
        return []
    drawn = _draws(sample, slices, metric, min(resamples, _RESAMPLES), seed)
    whole = metric(sample)
    worse: dict[int, float] = {}
    lines = []
    for index, (part, (draws, differences)) in enumerate(zip(slices, drawn, strict=True)):
        rows = len(part.rows)
        interval = interval_of(metric, draws, rows, confidence)
        if rows < _FEWEST_ROWS:
            interval = Draws(draws.value, np.empty(0)).interval(confidence)
        lack = metric.sign * (whole - draws.value)
        deviation = differences.deviation
        if rows >= _FLAG_ROWS and not math.isnan(lack) and deviation > 0:
            worse[index] = 1 - NormalDist().cdf(lack / deviation)
        lines.append(
            {
                "column": part.column,
                "value": part.value,
                "rows": rows,
                "metric": {"value": interval.value, "low": interval.low, "high": interval.high},
                "flag": False,
            }
        )
    for place, index in enumerate(sorted(worse, key=worse.__getitem__)):
        if worse[index] > (1 - confidence) / (len(worse) - place):
            break
        lines[index]["flag"] = True
    return lines


def _draws(
    sample: Sample, slices: Sequence[Slice], metric: Metric, resamples: int, seed: int
) -> list[tuple[Draws, Draws]]:
    """Return for each slice its draws, and those of its difference to all rows."""
    bootstrap = Bootstrap(sample.rows, resamples=resamples, seed=seed, name="slices")
    values = [metric(sample.take(part.rows)) for part in slices]
    drawn: list[list[Array]] = [[] for _ in slices]
    differences: list[list[Array]] = [[] for _ in slices]
    for some in bootstrap:
        inside = np.arange(sample.rows) if some.subset is None else some.subset
        base = sample if some.subset is None else sample.take(some.subset)
        everything = metric.draws(Weighted(base, some.weights))
        own_whole = metric(base)
        for index, part in enumerate(slices):
            place = part.rows
            if some.subset is not None:
                place = np.flatnonzero(np.isin(inside, part.rows, assume_unique=True))
            cut_sample = base.take(place)
            own = metric(cut_sample)
            draws = metric.draws(Weighted(cut_sample, some.weights[place]))
            drawn[index].append(values[index] + some.shrink * (draws - own))
            differences[index].append(some.shrink * ((draws - own) - (everything - own_whole)))
    return [
        (
            Draws(value, np.concatenate(draws) if draws else np.empty(0)),
            Draws(0.0, np.concatenate(difference) if difference else np.empty(0)),
        )
        for value, draws, difference in zip(values, drawn, differences, strict=True)
    ]


def _levels(name: str, values: pl.Series, *, all_levels: bool) -> list[Slice]:
    text = as_words(values).fill_null(MISSING).rename("level")
    counts = text.value_counts(sort=True)
    if not all_levels and len(counts) > LEVELS:
        return []
    top = counts.sort(["count", "level"], descending=[True, False])["level"].head(LEVELS)
    return [Slice(name, level, text.eq(level).arg_true().to_numpy()) for level in top]


def _quarters(name: str, values: pl.Series) -> list[Slice]:
    array = as_numbers(values).values
    known = array[~np.isnan(array)]
    if len(known) == 0:
        return []
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
    slices = []
    for place, (low, high) in enumerate(pairwise(edges)):
        inside = (array > low if place else array >= low) & (array <= high)
        said = f"{low:.4g} to {high:.4g}" if place == 0 else f"over {low:.4g} to {high:.4g}"
        slices.append(Slice(name, said, np.flatnonzero(inside)))
    missing = np.flatnonzero(np.isnan(array))
    if len(missing):
        slices.append(Slice(name, MISSING, missing))
    return slices
