"""What the values of a media column may be: paths, bytes, structs of both, and arrays of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl

from trainwright.data.media import open_media
from trainwright.features.base import Array, Context
from trainwright.foundation.errors import DataError
from trainwright.foundation.random import numpy_stream

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

Result = TypeVar("Result")
Value = str | bytes | Array | None

_BLOCKS_PER_WORKER = 4
"""Pieces a thread gets of a chunk: few enough to cost nothing, enough to even out slow files."""


class Unreadable(Exception):  # noqa: N818 (a verdict on one value, not a failure of the program)
    """A value that cannot be used; its text is the reason a person reads, the same for the same fault."""


def read_bytes(value: str | bytes, root: str | None) -> bytes:
    """Return the bytes of a file.

    Raises:
        Unreadable: the file is missing, empty or out of bounds.
    """
    try:
        return open_media(value, root)
    except DataError as error:
        raise Unreadable(error.what) from error


def media_values(values: pl.Series, column: str) -> list[Value]:
    """Return one value a row: a path, bytes, an array of numbers, or None where it is missing.

    Empty paths count as missing. Nested columns of one shape come as views of one block. A struct of
    `bytes` and `path` (the layout of Hugging Face Parquet files) gives its bytes, else its path.

    Raises:
        DataError: the column's type cannot hold media.
    """
    dtype = values.dtype
    if dtype == pl.String:
        return [value or None for value in values.to_list()]
    if dtype == pl.Binary:
        return list(values.to_list())
    if dtype == pl.Null:
        return [None] * len(values)
    if isinstance(dtype, pl.Struct):
        fields = {field.name for field in dtype.fields} & {"bytes", "path"}
        if fields:
            parts = [media_values(values.struct.field(name), column) for name in sorted(fields)]
            return [
                next((part for part in row if part is not None), None) for row in zip(*parts, strict=True)
            ]
    if is_numeric_nested(dtype):
        return _array_values(values)
    raise DataError(
        f"values of type {dtype} are no media",
        where=f"column '{column}'",
        fix="give paths, bytes or arrays of numbers",
    )


def _first(values: Sequence[Value]) -> Value:
    return next((value for value in values if value is not None), None)


def is_numeric_nested(dtype: pl.DataType) -> bool:
    """Return whether a column holds lists or arrays (of lists …) of numbers."""
    leaf: PolarsDataType = dtype
    while isinstance(leaf, pl.List | pl.Array):
        leaf = leaf.inner
    return bool(leaf != dtype and (leaf.is_numeric() or leaf == pl.Boolean))


def uniform_block(values: pl.Series) -> Array | None:
    """Return rows of one shape as one array [rows, ...]; None where shapes differ or numbers are missing."""
    shape = [len(values)]
    while isinstance(values.dtype, pl.List | pl.Array):
        if values.null_count():
            return None
        if isinstance(values.dtype, pl.List):
            widths = values.list.len()
            if widths.n_unique() > 1:
                return None
            width = int(widths[0]) if len(widths) else 0
        else:
            width = values.dtype.shape[0]
        shape.append(width)
        if width == 0:
            return np.zeros(shape, dtype=np.float32)
        values = values.explode()
    if values.null_count():
        return None
    numbers = values.to_numpy()
    if numbers.dtype == np.bool_:
        numbers = numbers.view(np.uint8)
    return numbers.reshape(shape)


def _array_values(values: pl.Series) -> list[Value]:
    missing = values.is_null().to_list()
    block = uniform_block(values.drop_nulls())
    if block is not None:
        rows = iter(block)
        return [None if gone else next(rows) for gone in missing]
    return [
        None if gone else _ragged_row(uniform_block(values.slice(row, 1))) for row, gone in enumerate(missing)
    ]


def _ragged_row(block: Array | None) -> Array:
    return block[0] if block is not None else np.zeros(0, dtype=np.float32)


def sample_rows(values: pl.Series, limit: int, context: Context, *names: str) -> pl.Series:
    """Return a seeded sample of at most `limit` values that are not missing, in their order."""
    present = values.drop_nulls()
    if len(present) <= limit:
        return present
    rows = np.sort(numpy_stream(context.seed, *names).choice(len(present), limit, replace=False))
    return present.gather(rows)


def in_threads(function: Callable[[int], Result], count: int, workers: int) -> list[Result]:
    """Return `function(0) … function(count - 1)`, shared out among threads in contiguous blocks."""
    if workers <= 1 or count < 2:
        return [function(row) for row in range(count)]
    size = max(1, -(-count // (workers * _BLOCKS_PER_WORKER)))

    def block(start: int) -> list[Result]:
        return [function(row) for row in range(start, min(start + size, count))]

    with ThreadPoolExecutor(workers) as pool:
        blocks = list(pool.map(block, range(0, count, size)))
    return [result for part in blocks for result in part]


def first_reason(failures: Sequence[Unreadable]) -> str:
    """Return the commonest reason, for a message about a column of which nothing can be read."""
    reasons = [str(failure) for failure in failures]
    return max(reasons, key=reasons.count) if reasons else "all values are missing"
