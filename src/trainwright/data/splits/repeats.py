"""Rows that are the same: found by hash, named by the first of them, so that hash values decide nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from trainwright.data.table import CHUNK_ROWS, Table

Rows = npt.NDArray[np.int64]

_HEAVY_ROWS = 1_024
_COMMON = 0.05
"""Share of the rows from which equal ones are the rule, not copies: such rows may be in all parts."""
_FEWEST_GROUPS = 10
"""Fewer different rows make no training, validation and test."""


def first_equal(table: Table, columns: Sequence[str]) -> Rows:
    """Return for every row the first row with the same values in `columns`, int64 [rows].

    Two different rows are taken for equal with a chance of one in 2⁶⁴ for each pair: one in a million for
    six million rows. Takes 8 bytes a row, and about 60 on the way.
    """
    heavy = any(table.schema[name].is_nested() or table.schema[name] == pl.Binary for name in columns)
    hashes = np.empty(table.num_rows, dtype=np.uint64)
    start = 0
    for frame in table.chunks(columns, size=_HEAVY_ROWS if heavy else CHUNK_ROWS):
        hashes[start : start + len(frame)] = frame.select(columns).hash_rows().to_numpy()
        start += len(frame)
    return _first_of_hashes(hashes)


def first_of(values: pl.Series) -> Rows:
    """Return for every value the first position of an equal one, int64 [values]; nulls are equal."""
    return _first_of_hashes(values.hash().to_numpy())


def _first_of_hashes(hashes: npt.NDArray[np.uint64]) -> Rows:
    order = np.argsort(hashes, kind="stable")  # stable: the first of equals leads them
    ordered = hashes[order]
    leads = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else order
    first = np.empty(len(order), dtype=np.int64)
    first[order] = np.repeat(order[leads], np.diff(leads, append=len(order)))
    return first


def first_of_numbers(numbers: Rows) -> Rows:
    """Return the same as `first_of` for numbers below their count or little more; takes no sorting."""
    lead = np.empty(int(numbers.max(initial=-1)) + 1, dtype=np.int64)
    backwards = np.arange(len(numbers) - 1, -1, -1)
    lead[numbers[backwards]] = backwards  # of equal numbers the last one written stays: the first
    return lead[numbers]


def numbered(first: Rows) -> Rows:
    """Return groups numbered 0, 1, … in the order of their first rows, from what `first_of` gave."""
    is_first = first == np.arange(len(first))
    numbers: Rows = (np.cumsum(is_first) - 1)[first]
    return numbers


def kept_together(first: Rows) -> tuple[Rows, int, int]:
    """Return groups of equal rows, unless they are so many that they are no copies, or too few to be split.

    Args:
        first: for every row the first one that equals it, int64 [rows].

    Returns:
        group: of each row, numbered by first row, int64 [rows].
        copies: rows that repeat another one and are in its group.
        common: rows that too many rows equal, each a group of its own.
    """
    own = np.arange(len(first))
    count = np.bincount(first, minlength=len(first))[first]
    few = int((first == own).sum()) < _FEWEST_GROUPS
    common = count > (1 if few else max(_COMMON * len(first), 10))
    copies = int(((first != own) & ~common).sum())
    return numbered(np.where(common, own, first)), copies, int(common.sum())


def joined(one: Rows, other: Rows) -> Rows:
    """Return groups that hold together what either grouping holds together, numbered by first row.

    Args:
        one: group of each row, 0 … n - 1.
        other: another grouping of the same rows.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = int(one.max(initial=-1)) + 1
    nodes = ones + int(other.max(initial=-1)) + 1
    links = coo_array((np.ones(len(one), dtype=np.int8), (one, ones + other)), shape=(nodes, nodes))
    _, component = connected_components(links, directed=False)
    return numbered(first_of_numbers(component[one].astype(np.int64)))
