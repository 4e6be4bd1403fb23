"""The ways to share rows out. Each takes a drawing and a column, and returns the part of every row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from trainwright.data.dates import read_dates
from trainwright.data.splits.drawing import Array, Drawing, class_target
from trainwright.data.splits.parts import PARTS, named_parts
from trainwright.data.splits.repeats import first_of, joined, numbered
from trainwright.data.splits.share_out import share_out_evenly
from trainwright.data.values import as_words
from trainwright.foundation.errors import DataError


def given(drawing: Drawing, column: str | None) -> Array:
    """Parts that the source gives."""
    assert drawing.table.part is not None
    drawing.say("the parts are those of the source")
    return _completed(drawing, drawing.table.part[drawing.rows].copy())


def by_column(drawing: Drawing, column: str | None) -> Array:
    """Parts that a column names."""
    assert column is not None
    part = named_parts(drawing.values(column), where=drawing.table.name, column=column, say=drawing.say)
    return _completed(drawing, part)


def _completed(drawing: Drawing, part: Array) -> Array:
    """Draw validation, and test, from training where the source has none."""
    there = [bool((part == index).any()) for index in (1, 2)]
    training = np.flatnonzero(part == 0)
    # Shares are of all rows: what is there already counts as having its share.
    left = 1 - sum(share for share, has in zip(drawing.shares, there, strict=True) if has)
    validation, test = (
        0.0 if has else share / left for share, has in zip(drawing.shares, there, strict=True)
    )
    if len(training) and (validation or test):
        part[training] = drawing.drawn(training, (validation, test), class_target(drawing.schema))
        drawn = [name for name, share in zip(PARTS[1:], (validation, test), strict=True) if share]
        drawing.say(f"the source has no {' and no '.join(drawn)} rows: they are drawn from training")
    drawing.say_straddling(part)
    return part


def at_random(drawing: Drawing, column: str | None) -> Array:
    """Parts drawn without regard to the target."""
    return drawing.drawn(np.arange(len(drawing.rows)), drawing.shares, None)


def stratified(drawing: Drawing, column: str | None) -> Array:
    """Parts with the same share of every class."""
    drawing.say(f"each part has the same share of every class of '{column}'")
    return drawing.drawn(np.arange(len(drawing.rows)), drawing.shares, column)


def by_group(drawing: Drawing, column: str | None) -> Array:
    """Parts that share no group, nor rows with equal inputs."""
    assert column is not None
    names = as_words(drawing.values(column))
    alone = names.is_null().to_numpy()
    group = numbered(np.where(alone, np.arange(len(names)), first_of(names)))
    num_groups = int(group.max(initial=-1)) + 1 - int(alone.sum())
    together = joined(group, drawing.together(np.arange(len(names))))
    # A few equal rows between groups join them; where they join nearly all, there would be no split.
    if np.bincount(together).max(initial=0) <= max(np.bincount(group).max(initial=0), 0.1 * len(group)):
        group = together
    else:
        drawing.say(f"equal rows would join most groups of '{column}', so they may be in two parts")
    part = share_out_evenly(
        np.bincount(group), _class_counts(drawing, group), drawing.shares, drawing.generator
    )
    drawing.say(f"no group of '{column}' is in two parts ({num_groups:,} groups)")
    if alone.any():
        drawing.say(f"{int(alone.sum()):,} rows without a group are groups of one")
    return part[group]


def _class_counts(drawing: Drawing, group: Array) -> Array | None:
    """Return rows of each class in each group [groups, classes], where that stays small."""
    target = class_target(drawing.schema)
    if target is None:
        return None
    classes = drawing.classes(target)
    groups, width = int(group.max(initial=-1)) + 1, int(classes.max(initial=-1)) + 1
    if groups * width > 1_000_000:
        return None
    return np.bincount(group * width + classes, minlength=groups * width).reshape(groups, width)


def by_time(drawing: Drawing, column: str | None) -> Array:
    """The latest rows are for the test, those before them for validation."""
    assert column is not None
    times = _times(drawing.values(column))
    known = np.flatnonzero(~np.isnan(times))
    if len(known) < 0.95 * len(times):
        raise DataError(
            f"only {len(known):,} of {len(times):,} values are times",
            where=f"{drawing.table.name}, column '{column}'",
            fix="mend them, or split by another column",
        )
    order = known[np.argsort(times[known], kind="stable")]
    ordered = times[order]
    validation, test = (round(share * len(ordered)) for share in drawing.shares)
    test_from = _cut(ordered, len(ordered) - test)
    validation_from = _cut(ordered[:test_from], test_from - validation)
    part = np.zeros(len(times), dtype=np.int8)
    part[order[validation_from:test_from]], part[order[test_from:]] = 1, 2
    drawing.say(f"the latest rows by '{column}' are the test, those before them the validation")
    if len(known) < len(times):
        drawing.say(f"{len(times) - len(known):,} rows without a time are for training")
    drawing.say_straddling(part)
    return part


def _times(values: pl.Series) -> Array:
    """Return moments as numbers that sort, float64 [rows]; NaN where there is none."""
    numbers = values.cast(pl.Float64, strict=False) if values.dtype == pl.String else values
    if not numbers.dtype.is_numeric() or numbers.null_count() > 0.05 * len(numbers):
        numbers = read_dates(values).to_physical()
    return numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _cut(ordered: Array, at: int) -> int:
    """Return the position near `at` where the time changes, so that no moment is in two parts."""
    if not 0 < at < len(ordered):
        return max(at, 0)
    ends = (int(np.searchsorted(ordered, ordered[at], side=side)) for side in ("left", "right"))
    inside = [end for end in ends if 0 < end < len(ordered)]
    return min(inside, key=lambda end: abs(end - at)) if inside else at


SPLITTERS: dict[str, Callable[[Drawing, str | None], Array]] = {
    "given": given,
    "column": by_column,
    "random": at_random,
    "stratified": stratified,
    "group": by_group,
    "time": by_time,
}
"""Method → how it shares rows out; parts are 0 training, 1 validation, 2 test, int8 [rows]."""
