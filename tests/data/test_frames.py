from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trainwright.data.open import open_table
from trainwright.foundation.errors import DataError

COLUMNS: dict[str, Any] = {
    "n": [1, 2, None],
    "x": [1.5, None, 3.0],
    "t": ["a", None, "中"],
    "b": [True, None, False],
}


@pytest.mark.parametrize(
    "data",
    [
        pl.DataFrame(COLUMNS),
        pl.DataFrame(COLUMNS).lazy(),
        pa.table(COLUMNS),
        pd.DataFrame(COLUMNS).convert_dtypes(),
        pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in COLUMNS.items()}),
        COLUMNS,
        {name: pl.Series(values) for name, values in COLUMNS.items()},
        [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
    ],
    ids=["polars", "lazy", "arrow", "pandas", "pandas objects", "lists", "series", "rows"],
)
def test_every_kind_of_frame_gives_the_same(data: Any) -> None:
    table = open_table(data)
    assert table.schema == {"n": pl.Int64, "x": pl.Float64, "t": pl.String, "b": pl.Boolean}
    assert pl.concat(list(table.chunks())).to_dict(as_series=False) == COLUMNS
    assert table.fingerprint == open_table(COLUMNS).fingerprint
    assert (table.name, table.root, table.where(2)) == ("DataFrame", None, "DataFrame row 2")


def test_arrays_of_many_dimensions() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    table = open_table(
        {"images": images, "one": np.array([[1], [2]]), "list": list(images), "fraction": [0.5, float("nan")]}
    )
    assert table.schema["images"] == pl.Array(pl.UInt8, (3, 4))
    assert table.schema["list"] == pl.Array(pl.UInt8, (3, 4))
    assert table.schema["one"] == pl.Int64
    assert (table.column("images").to_numpy() == images).all()
    assert table.column("fraction").to_list() == [0.5, None]


def test_pandas_types() -> None:
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["x", None, "y"]),
            "levels": pd.Categorical([3, 1, 3]),
            "day": pd.to_datetime(["2024-01-02", None, "2024-03-04"]),
            "mixed": [1, "a", None],
            "decimal": [decimal.Decimal("1.5"), None, decimal.Decimal("2")],
            "path": [Path("a/b.jpg"), None, Path("c.jpg")],
            "bytes": [b"x", None, b"y"],
            "vector": [np.array([1, 2]), np.array([3, 4]), np.array([5, 6])],
            "stamp": np.array([pd.Timestamp("2024-01-02"), pd.NaT, pd.NaT], dtype=object),
            "period": pd.period_range("2024-01", periods=3, freq="M"),
            7: [1, 2, 3],
        },
        index=pd.Index([5, 6, 7], name="id"),
    )
    table = open_table(frame)
    rows = pl.concat(list(table.chunks()))
    assert rows["category"].to_list() == ["x", None, "y"]
    assert rows["levels"].to_list() == [3, 1, 3]
    assert rows["day"].dt.date().to_list() == [datetime.date(2024, 1, 2), None, datetime.date(2024, 3, 4)]
    assert rows["mixed"].to_list() == ["1", "a", None]
    assert rows["decimal"].to_list() == [1.5, None, 2.0]
    assert rows["path"].to_list() == ["a/b.jpg", None, "c.jpg"]
    assert rows["bytes"].to_list() == [b"x", None, b"y"]
    assert rows["vector"].to_list() == [[1, 2], [3, 4], [5, 6]]
    assert rows["stamp"].to_list() == [datetime.datetime(2024, 1, 2), None, None]
    assert rows["period"].to_list() == ["2024-01", "2024-02", "2024-03"]
    assert "7" in rows.columns
    assert table.notes == ["The index ('id') is left out; make it a column if it matters."]


def test_frames_by_part() -> None:
    table = open_table({"train": pl.DataFrame({"x": [1, 2]}), "test": pd.DataFrame({"x": [3]})})
    assert table.part is not None
    assert table.part.tolist() == [0, 0, 2]
    with pytest.raises(DataError, match="'other' is no part of the data; call the frames train"):
        open_table({"other": pl.DataFrame({"x": [1, 2]})})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pl.DataFrame(), "the frame has no row"),
        (pl.DataFrame({"a": []}), "the frame has no row"),
        ({}, "the frame has no row"),
        ({"a": [1, 2], "b": [1]}, "the columns differ in length: 'a' 2, 'b' 1"),
        ({"a": 1}, "column 'a': a int is no column"),
        ({"a": "text"}, "column 'a': a str is no column"),
        ({"a": np.float64(3)}, "is no column"),
        ({"a": [1, 2], " a": [1, 2]}, "two columns are called 'a'"),
        ({"a": ["\ud83d"]}, "column 'a': a value holds half a surrogate pair, which is no text; mend it"),
        ([{"a": ["\ud83d"]}], "half a surrogate pair"),
        ({"a": [object(), None]}, "column 'a': it holds object objects, which cannot be read as data"),
        ({"a": np.array([1j, 2j])}, "column 'a': values of type complex128 cannot be learned from"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (pa.table([[1], [2]], names=["a", "a"]), "two columns are called 'a'"),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "column 'a': it holds Python objects"),
        (7, "a int is not a table; give a path, a polars or pandas frame"),
        ([1, 2], "a list is not a table"),
    ],
)
def test_what_is_no_table(data: Any, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        open_table(data)
    assert expected in str(caught.value)


def test_pandas_is_never_imported_for_others() -> None:
    code = (
        "import sys, polars; from trainwright.data.open import open_table;"
        "open_table({'a': [1]}); heavy = ('pandas', 'torch', 'sklearn', 'transformers', 'PIL');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
