"""Columns in the few types that the rest of the project knows, whatever a source stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

import polars as pl
import polars.selectors as cs

from trainwright.foundation.errors import DataError

if TYPE_CHECKING:
    from polars.datatypes import PolarsDataType  # type: ignore[attr-defined]

Schema = Mapping[str, pl.DataType]

_WIDE = (pl.Decimal, pl.Int128, pl.UInt128)
"""Numbers beyond 64 bits, which nothing that learns has a use for."""


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with every column in a plain type.

    Categories become strings, decimals and 128-bit integers 64-bit floats, columns without any value
    strings, and nested objects JSON text; a struct of `bytes` (and `path`), which is how Hugging Face
    stores media, stays. Numbers, strings, bytes, dates, lists and arrays stay as they are.

    Raises:
        DataError: a column holds Python objects.
    """
    changes = [change for name, kind in frame.schema.items() if (change := _change(name, kind)) is not None]
    return frame.with_columns(changes) if changes else frame


def plain_schema(schema: Schema) -> dict[str, pl.DataType]:
    """Return the schema that `plain` gives to frames of this schema."""
    return dict(plain(pl.DataFrame(schema=dict(schema))).schema)


def _change(name: str, kind: PolarsDataType) -> pl.Expr | None:
    column = cs.by_name(name)
    if kind == pl.Null or isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if isinstance(kind, _WIDE):
        return column.cast(pl.Float64)
    if kind == pl.Float16:
        return column.cast(pl.Float32)
    if kind == pl.Object:
        raise DataError(
            "it holds Python objects, which cannot be read as data",
            where=f"column '{name}'",
            fix="turn them into numbers, text, bytes or paths",
        )
    if isinstance(kind, pl.Struct):
        return None if is_media_struct(kind) else as_json(name)
    if isinstance(kind, pl.List | pl.Array):
        innermost = kind
        while isinstance(innermost, pl.List | pl.Array):
            innermost = innermost.inner  # type: ignore[assignment]
        if isinstance(innermost, pl.Struct | pl.Object):
            return as_json(name)
        if innermost == pl.Null or isinstance(innermost, pl.Categorical | pl.Enum):
            return column.cast(_with_innermost(kind, pl.String()))
        if isinstance(innermost, _WIDE):
            return column.cast(_with_innermost(kind, pl.Float64()))
    return None


def is_media_struct(kind: PolarsDataType) -> bool:
    """Return whether a type is the struct in which Hugging Face stores one image or sound."""
    if not isinstance(kind, pl.Struct):
        return False
    fields = {field.name: field.dtype for field in kind.fields}
    return fields.get("bytes") == pl.Binary and set(fields) <= {"bytes", "path"}


def as_json(name: str) -> pl.Expr:
    """Return the expression that writes each value of a column as JSON; null stays null."""
    column = cs.by_name(name)
    wrapped = pl.struct(column.alias("v")).struct.json_encode()  # {"v":…}
    return pl.when(column.is_not_null()).then(wrapped.str.slice(5).str.head(-1)).alias(name)


def _with_innermost(kind: PolarsDataType, innermost: pl.DataType) -> pl.DataType:
    if isinstance(kind, pl.List):
        return pl.List(_with_innermost(kind.inner, innermost))
    if isinstance(kind, pl.Array):
        assert kind.size is not None
        return pl.Array(_with_innermost(kind.inner, innermost), kind.size)
    return innermost


def common_schema(schemas: Iterable[Schema]) -> dict[str, pl.DataType]:
    """Return the columns of all schemas, in order of appearance, with types that hold the values of each."""
    kinds: dict[str, list[pl.DataType]] = {}
    for schema in schemas:
        for name, kind in schema.items():
            seen = kinds.setdefault(name, [])
            if kind not in seen:
                seen.append(kind)
    return {name: reduce(_common, seen) for name, seen in kinds.items()}


def _common(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    if other in (one, pl.Null):
        return one
    if one == pl.Null:
        return other
    if one.is_numeric() and other.is_numeric():
        return pl.Int64() if one.is_integer() and other.is_integer() else pl.Float64()
    if isinstance(one, pl.List) and isinstance(other, pl.List):
        inner = _common(_instance(one.inner), _instance(other.inner))
        return pl.List(inner) if not one.inner.is_nested() or inner.is_nested() else pl.String()
    if isinstance(one, pl.Datetime | pl.Date) and isinstance(other, pl.Datetime | pl.Date):
        zones = {kind.time_zone for kind in (one, other) if isinstance(kind, pl.Datetime)}
        return pl.Datetime("us", zones.pop()) if len(zones) == 1 else pl.String()
    return pl.String()


def _instance(kind: PolarsDataType) -> pl.DataType:
    return kind if isinstance(kind, pl.DataType) else kind()


def conform(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the frame with exactly the columns and types of `schema`; a column it lacks is null."""
    if dict(frame.schema) == dict(schema) and frame.columns == list(schema):
        return frame
    return frame.select(
        pl.lit(None, dtype=kind).alias(name)
        if name not in frame.columns
        else _cast(name, frame.schema[name], kind)
        for name, kind in schema.items()
    )


def _cast(name: str, now: pl.DataType, then: pl.DataType) -> pl.Expr:
    column = cs.by_name(name)
    if now == then:
        return column
    if then == pl.String and now.is_nested():
        return as_json(name)
    if then == pl.String and now == pl.Binary:
        return column.bin.encode("base64")
    return column.cast(then)


def series_of(name: str, values: Sequence[Any]) -> pl.Series:
    """Return Python values as a column; values of several kinds become text, JSON where they are nested.

    Raises:
        DataError: a string of them is no text.
    """
    try:
        return _series(name, values)
    except UnicodeEncodeError as error:
        raise DataError(
            "a value holds half a surrogate pair, which is no text", where=f"column '{name}'", fix="mend it"
        ) from error


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pl.Series(name, values, dtype=pl.Null)
    if Decimal in kinds and kinds <= {
        int,
        float,
        Decimal,
    }:  # a database has NaN among decimals, polars has not
        values = [None if value is None else float(value) for value in values]
        kinds = {float}
    if kinds <= {int, float}:
        integers = float not in kinds and all(abs(value) < 2**63 for value in values if value is not None)
        return pl.Series(name, values, dtype=pl.Int64 if integers else pl.Float64, strict=integers)
    if len(kinds) == 1 and not kinds & {dict, tuple}:
        try:
            column = pl.Series(name, values, strict=True)
            if column.dtype != pl.Object:  # such as UUIDs and network addresses of a database
                return column
        except (TypeError, pl.exceptions.PolarsError):
            if kinds == {list}:
                inner = {type(item) for value in values if value is not None for item in value} - {type(None)}
                if inner <= {int, float}:
                    return pl.Series(name, values, dtype=pl.List(pl.Float64), strict=False)
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def column_names(raw: Sequence[str | None], *, where: str, notes: list[str]) -> list[str]:
    """Return the names of columns as everything else uses them.

    Spaces around a name are cut off, and a column without a name is called `column_3` by its place.

    Raises:
        DataError: two columns have the same name.
    """
    stripped = [(name or "").strip().removeprefix("\ufeff").strip() for name in raw]
    if any(name is not None and name != clean for name, clean in zip(raw, stripped, strict=True)):
        notes.append("Spaces around column names were cut off.")
    taken = set(stripped)
    names = []
    for place, name in enumerate(stripped, start=1):
        new = name or f"column_{place}"
        while not name and new in taken:
            new += "_"
        names.append(new)
    nameless = [new for new, name in zip(names, stripped, strict=True) if not name]
    if nameless:
        shown = ", ".join(nameless[:5]) + (", …" if len(nameless) > 5 else "")
        notes.append(f"Columns without a name were called {shown}.")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"two columns are called '{name}'", where=where, fix="rename one of them")
        seen.add(name)
    return names
