"""Frames that a program already holds: polars, pandas, Arrow, Hugging Face data sets, mappings of arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import polars as pl

from trainwright.data.frame_table import FrameTable
from trainwright.data.joined_table import JoinedTable
from trainwright.data.plain import column_names, series_of
from trainwright.data.splits.parts import PART_WORDS
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError

_HINT = "give a path, a polars or pandas frame, an Arrow table, or a dictionary of columns"


def frame_table(data: Any, *, root: str | None = None) -> Table:
    """Return rows in memory as a table.

    Arrays of two and more dimensions become columns of arrays; columns of several kinds of value become
    text. No package is imported for the sake of a frame that the caller does not have.

    Args:
        data: polars or pandas frame, Arrow table, `datasets.Dataset`, mapping of column → values (lists or
            arrays [rows, ...]), or a list of mappings, one a row; or a mapping of `train`, `validation` and
            `test` to such frames.
        root: folder or URL that relative media paths start from; see `open_media` for None.

    Raises:
        DataError: it is none of these, has no row or column, or columns are of different lengths.
    """
    if isinstance(data, Mapping) and data and all(map(_is_frame, data.values())):
        parts = [_part(name) for name in data]
        return JoinedTable([frame_table(frame, root=root) for frame in data.values()], parts=parts)
    notes: list[str] = []
    frame = _frame(data, notes)
    names = column_names(frame.columns, where="DataFrame", notes=notes)
    if frame.is_empty():
        raise DataError("the frame has no row", where="DataFrame", fix="give a frame with rows")
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    return FrameTable(frame.rechunk(), root=root, notes=notes)


def _frame(data: Any, notes: list[str]) -> pl.DataFrame:
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if _is_pandas(data):
        return _from_pandas(data, notes)
    if _is_dataset(data):
        data = data.with_format("arrow")[:]
    if isinstance(data, Mapping):
        return _from_columns({str(name): values for name, values in data.items()})
    if hasattr(data, "__arrow_c_stream__"):
        return _from_arrow(data)
    if _is_rows(data):
        names = dict.fromkeys(str(name) for row in data for name in row)
        return pl.DataFrame([series_of(name, [row.get(name) for row in data]) for name in names])
    raise DataError(f"a {type(data).__name__} is not a table", fix=_HINT)


def _is_frame(data: Any) -> bool:
    return isinstance(data, pl.DataFrame | pl.LazyFrame) or _is_pandas(data) or _is_dataset(data)


def _part(name: Any) -> int:
    part = PART_WORDS.get(str(name).lower())
    if part is None:
        raise DataError(
            f"'{name}' is no part of the data",
            where="DataFrame",
            fix="call the frames train, validation and test",
        )
    return part


def _module(data: Any) -> str:
    return type(data).__module__.partition(".")[0]


def _is_pandas(data: Any) -> bool:
    return _module(data) == "pandas" and hasattr(data, "columns")


def _is_dataset(data: Any) -> bool:
    return _module(data) == "datasets" and hasattr(data, "with_format") and hasattr(data, "features")


def _is_rows(data: Any) -> bool:
    return isinstance(data, Sequence) and len(data) > 0 and all(isinstance(row, Mapping) for row in data)


def _from_arrow(data: Any) -> pl.DataFrame:
    names = getattr(getattr(data, "schema", None), "names", None)
    if names is not None:  # polars would say it in other words
        column_names(names, where="DataFrame", notes=[])
    return pl.DataFrame(data)


def _from_pandas(data: Any, notes: list[str]) -> pl.DataFrame:
    names = [str(name) for name in data.columns]
    column_names(names, where="DataFrame", notes=[])
    if data.index.name is not None or data.index.nlevels > 1:
        called = ", ".join(f"'{name}'" for name in data.index.names)
        notes.append(f"The index ({called}) is left out; make it a column if it matters.")
    columns = [_pandas_column(name, data.iloc[:, place]) for place, name in enumerate(names)]
    return pl.DataFrame(columns)


def _pandas_column(name: str, column: Any) -> pl.Series:
    kind = str(column.dtype)
    if kind == "object":
        return _column(name, column.tolist())
    if kind == "category":
        return _column(name, column.astype(object).tolist())
    if kind.startswith(("period", "interval", "Sparse", "complex")):
        return _column(name, column.astype(str).where(column.notna(), None).tolist())
    return pl.Series(name, pl.from_pandas(column, nan_to_null=True))


def _from_columns(columns: Mapping[str, Any]) -> pl.DataFrame:
    column_names(list(columns), where="DataFrame", notes=[])
    series = [_column(name, values) for name, values in columns.items()]
    lengths = {len(one) for one in series}
    if len(lengths) > 1:
        shown = ", ".join(f"'{one.name}' {len(one)}" for one in series[:6])
        raise DataError(
            f"the columns differ in length: {shown}", where="DataFrame", fix="give columns of one length"
        )
    return pl.DataFrame(series)


def _column(name: str, values: Any) -> pl.Series:
    """Return anything that is like a list as a column."""
    if isinstance(values, pl.Series):
        return values.alias(name)
    if _module(values) == "pandas" and hasattr(values, "dtype"):
        return _pandas_column(name, values.to_series() if hasattr(values, "to_series") else values)
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        return pl.Series(name, values)
    if _module(values) == "torch" and hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray):
        return _array_column(name, values)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise DataError(
            f"a {type(values).__name__} is no column", where=f"column '{name}'", fix="give a list or an array"
        )
    items = list(values)
    arrays = [item for item in items if isinstance(item, np.ndarray)]
    if arrays and len({(array.shape, array.dtype) for array in arrays}) == 1 and len(arrays) == len(items):
        return _array_column(name, np.stack(arrays))
    return series_of(name, [_value(item, name) for item in items])


def _array_column(name: str, values: np.ndarray[Any, Any]) -> pl.Series:
    if values.ndim == 0:
        raise DataError(
            "a single number is no column", where=f"column '{name}'", fix="give a list or an array"
        )
    if values.ndim > 1 and values.shape[1:] == (1,) * (values.ndim - 1):
        values = values.reshape(-1)
    if values.dtype.kind == "O":
        return _column(name, values.tolist())
    if values.dtype.kind == "f":
        values = values.astype(np.float32 if values.dtype.itemsize < 4 else values.dtype.newbyteorder("="))
    if values.dtype.kind not in "biufSUMm":
        raise DataError(
            f"values of type {values.dtype} cannot be learned from",
            where=f"column '{name}'",
            fix="give numbers or text",
        )
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    column = pl.Series(name, np.ascontiguousarray(values))
    return column.fill_nan(None) if values.ndim == 1 and values.dtype.kind == "f" else column


def _value(item: Any, name: str) -> Any:
    """Return a Python value for an item of a list of things."""
    if isinstance(item, np.generic):
        item = item.item()
    if isinstance(item, np.ndarray):
        return item.tolist()
    if isinstance(item, PurePath):
        return str(item)
    if isinstance(item, float) and math.isnan(item):
        return None
    if _module(item) == "pandas":
        if str(item) in {"NaT", "<NA>"}:
            return None
        return item.to_pydatetime() if hasattr(item, "to_pydatetime") else str(item)
    if item is None or isinstance(item, _PLAIN) or hasattr(item, "isoformat"):
        return item
    if type(item).__module__.partition(".")[0] in {"decimal", "fractions"}:
        return float(item)
    raise DataError(
        f"it holds {type(item).__name__} objects, which cannot be read as data",
        where=f"column '{name}'",
        fix="give numbers, text, bytes, paths or arrays",
    )


_PLAIN = (bool, int, float, str, bytes, list, tuple, dict)
