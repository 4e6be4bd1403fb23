"""Rules for lists and arrays, stored or written as text: vectors, sequences and sets."""

from __future__ import annotations

from typing import Any

import polars as pl

from trainwright.data.inference.profile import Guess, Profile
from trainwright.data.values import as_number_lists

_LIST_AS_TEXT = r"^[\[(]\s*[-+.\d][^A-Za-z]*[\])]$|^[-+]?[\d.]+(?:[ ;|]+[-+]?[\d.]+(?:[eE][-+]?\d+)?){3,}$"
_MOSTLY = 0.95


def from_lists(profile: Profile) -> Guess | None:
    """Lists of labels are sets; numbers are a vector where all rows have as many, else a sequence."""
    dtype = profile.values.dtype
    if isinstance(dtype, pl.Array):
        return _from_arrays(dtype)
    if not isinstance(dtype, pl.List):
        return None
    inner = dtype.inner
    lengths = profile.values.list.len().to_numpy()
    shortest, longest = lengths.min(), lengths.max()
    between = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
    if isinstance(inner, pl.String | pl.Categorical | pl.Enum):
        return Guess("set", f"lists of {between} labels")
    if not _innermost(inner).is_numeric():
        return None
    if inner.is_nested():
        return Guess("sequence", f"lists of {between} steps of several numbers")
    if shortest == longest:
        return _vector(f"{longest} numbers in every row")
    return Guess("sequence", f"lists of {between} numbers")


def from_lists_as_text(profile: Profile) -> Guess | None:
    """Text such as `[1, 2.5, 3]` or `12 0 3 7`: at least four numbers where there are no brackets."""
    if profile.share_matching(_LIST_AS_TEXT) < _MOSTLY:
        return None
    lists = as_number_lists(profile.few)
    lengths = lists.lengths[~lists.strays & ~lists.missing]
    if len(lengths) < _MOSTLY * len(profile.few):
        return None
    if lengths.min() == lengths.max():
        return _vector(f"{lengths.max()} numbers in every cell")
    return Guess("sequence", f"lists of {lengths.min()} to {lengths.max()} numbers in a cell")


def _from_arrays(dtype: pl.Array) -> Guess | None:
    if not _innermost(dtype).is_numeric():
        return None
    shape = " x ".join(str(side) for side in dtype.shape)
    if len(dtype.shape) == 1:
        return _vector(f"{shape} numbers in every row")
    return Guess("sequence", f"{shape} numbers in every row: steps of several numbers")


def _vector(reason: str) -> Guess:
    return Guess("vector", reason, (("sequence", "if they are steps in time"),))


def _innermost(dtype: Any) -> pl.DataType:
    while isinstance(dtype, pl.List | pl.Array):
        dtype = dtype.inner
    assert isinstance(dtype, pl.DataType)
    return dtype
