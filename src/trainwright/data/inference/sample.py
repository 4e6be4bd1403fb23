"""Which values a column is judged by: a bounded sample, and the whole column where only that can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.inference.profile import Profile
from trainwright.data.table import CHUNK_ROWS, Table
from trainwright.foundation.random import numpy_stream

SAMPLE_ROWS = 20_000
"""Rows that a column is judged by at most."""

_FIRST_LOOK = 1_000
_NESTED_ROWS = 64
_LONG_VALUE = 1_000
"""Mean characters from which a column is judged by the first look alone."""
_MOST_CELLS = 4_000_000
_MOST_HASHED = 10_000_000
"""Rows up to which it is counted how many values of a whole column differ (8 bytes each)."""
_OTHERS = 1_000


def take_profiles(table: Table, names: Sequence[str], seed: int) -> dict[str, Profile]:
    """Return the profile of each column, from the first rows and from others spread over the table.

    Memory is bounded: long texts get fewer rows, bytes and lists fewer still.
    """
    nested = [name for name in names if _is_large(table.schema[name])]
    plain = [name for name in names if name not in nested]
    first = _look(table, plain, _FIRST_LOOK, seed)
    long = [name for name in plain if _mean_length(first[name]) > _LONG_VALUE]
    rest = [name for name in plain if name not in long]
    rows = min(SAMPLE_ROWS, max(_FIRST_LOOK, _MOST_CELLS // max(len(rest), 1)))
    samples = {
        **_look(table, nested, _NESTED_ROWS, seed),
        **{name: first[name] for name in long},
        **(_look(table, rest, rows, seed) if table.num_rows > _FIRST_LOOK else first),
    }
    return {name: Profile.of(samples[name]) for name in names}


def _is_large(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype in {pl.Binary, pl.Object}


def _mean_length(values: pl.Series) -> float:
    if values.dtype != pl.String:
        return 0.0
    return float(values.str.len_chars().mean() or 0.0)  # type: ignore[arg-type]


def _look(table: Table, names: Sequence[str], rows: int, seed: int) -> dict[str, pl.Series]:
    if not names:
        return {}
    frame = table.take(sample_rows(table.num_rows, rows, seed), names)
    return {name: frame[name] for name in names}


def sample_rows(num_rows: int, rows: int, seed: int) -> npt.NDArray[np.int64]:
    """Return ascending row numbers: the first half of the sample from the top, the rest from anywhere."""
    if num_rows <= rows:
        return np.arange(num_rows)
    top = rows // 2
    others = numpy_stream(seed, "schema").choice(num_rows - top, rows - top, replace=False)
    return np.concatenate([np.arange(top), top + np.sort(others)])


def confirm(
    table: Table, profiles: Mapping[str, Profile], *, constant: Iterable[str], unique: Iterable[str]
) -> dict[str, Profile]:
    """Go through the whole table once for what a sample cannot prove.

    Args:
        table: the rows.
        profiles: what the samples showed.
        constant: columns whose sample holds one value or none; values that differ are added to it.
        unique: columns whose sample holds hardly a value twice; the share of different values is counted.

    Returns:
        Better profiles, of the columns where there is something to correct.
    """
    constant = [name for name in constant if profiles[name].rows < table.num_rows]
    unique = [name for name in unique if profiles[name].rows < table.num_rows <= _MOST_HASHED]
    others: dict[str, list[pl.Series]] = {name: [] for name in constant}
    hashes: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in unique}
    names = [*constant, *unique]
    size = CHUNK_ROWS if not any(_is_large(table.schema[name]) for name in names) else _FIRST_LOOK
    for frame in table.chunks(names, size=size) if names else ():
        for name in constant:
            if sum(map(len, others[name])) < _OTHERS:
                others[name].append(_different(frame[name], profiles[name]))
        for name in unique:
            values = Profile.of(frame[name]).values
            hashes[name].append(values.to_frame().hash_rows().to_numpy())
    better = {}
    for name in constant:
        found = pl.concat(others[name])
        if len(found):
            better[name] = profiles[name].with_values(found)
    for name in unique:
        whole = np.concatenate(hashes[name])
        distinct = pl.Series(whole).n_unique() / max(len(whole), 1)
        better[name] = profiles[name].with_distinct(distinct)
    return better


def _different(values: pl.Series, profile: Profile) -> pl.Series:
    """Return up to a few hundred values that are not the one in the profile."""
    known = Profile.of(values).values
    if profile.count:
        same = pl.Series([profile.values[0]], dtype=known.dtype)
        known = known.filter(known.to_frame().hash_rows() != same.to_frame(known.name).hash_rows()[0])
    return known.head(_OTHERS)
