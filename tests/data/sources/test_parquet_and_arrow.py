from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainwright.data.frame_table import FrameTable
from trainwright.data.open import open_table
from trainwright.data.parquet_table import ParquetTable
from trainwright.data.source import Memory, Place, open_place
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

FRAME = pl.DataFrame(
    {
        "number": [1.5, None, 3.0],
        "text": ["a", None, "中"],
        "day": [datetime.date(2024, 1, 2), None, datetime.date(2025, 3, 4)],
        "list": [[1, 2], [], None],
        "bytes": [b"x", None, b"\0"],
        "array": pl.Series(np.arange(12, dtype=np.uint8).reshape(3, 2, 2)),
    }
)


def read(path: Path) -> Table:
    return open_table(DataSettings(path=str(path)))


def write(path: Path, frame: pl.DataFrame) -> Path:
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".arrows":
        frame.write_ipc_stream(path)
    else:
        frame.write_ipc(path)
    return path


@pytest.mark.parametrize("name", ["d.parquet", "d.arrow", "d.feather", "d.arrows"])
def test_types_are_kept(tmp_path: Path, name: str) -> None:
    table = read(write(tmp_path / name, FRAME))
    assert table.schema == FRAME.schema
    assert pl.concat(list(table.chunks())).equals(FRAME)
    assert table.where(2) == f"{tmp_path / name} row 2"


@pytest.mark.parametrize("name", ["d.parquet", "d.arrow"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, pl.DataFrame({"a": np.random.default_rng(0).normal(size=5000)}))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(
        DataError, match=r"this is not a whole (Parquet|Arrow) file: it is cut off or damaged; "
    ):
        read(path)


def test_damage_in_the_middle_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pl.DataFrame({"a": np.random.default_rng(0).integers(0, 99, 50_000)}).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:4000] = bytes(3996)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cut off or damaged"):
        read(path)


def test_text_called_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read(path)


@pytest.mark.parametrize("name", ["d.parquet", "d.arrow"])
def test_no_rows_and_equal_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no row"):
        read(write(tmp_path / name, pl.DataFrame({"a": []}, schema={"a": pl.Int64})))
    with pytest.raises(DataError, match="two columns are called 'a'"):
        read(write(tmp_path / name, pl.DataFrame({"a": [1], " a": [2]})))


def test_plain_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "category": pa.array(["x", "y", None]).dictionary_encode(),
            "decimal": pa.array([1, 2, None], pa.decimal128(10, 2)),
            "nothing": pa.nulls(3),
            "struct": [{"x": 1}, None, {"x": 3}],
            "image": [{"bytes": b"a", "path": "1.png"}, None, {"bytes": b"c", "path": None}],
        }
    )
    pq.write_table(table, tmp_path / "d.parquet")
    found = read(tmp_path / "d.parquet")
    assert found.schema == {
        "category": pl.String,
        "decimal": pl.Float64,
        "nothing": pl.String,
        "struct": pl.String,
        "image": pl.Struct({"bytes": pl.Binary, "path": pl.String}),
    }
    assert found.column("struct").to_list() == ['{"x":1}', None, '{"x":3}']
    assert found.column("image").struct.field("bytes").to_list() == [b"a", None, b"c"]
    assert len(found.fingerprint) == 32


def test_large_files_are_read_in_place_and_give_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", FRAME.rename({"text": " text "}))
    place = Place(str(path), "d.parquet", str(tmp_path))
    small = open_place(place, DataSettings(path="d.parquet"), Memory())
    large = open_place(place, DataSettings(path="d.parquet"), Memory(left=10))
    assert isinstance(small, FrameTable)
    assert isinstance(large, ParquetTable)
    assert large.schema == small.schema
    assert large.notes == small.notes == ["Spaces around column names were cut off."]
    rows = np.array([2, 0, 2])
    assert large.take(rows).equals(small.take(rows))


def test_runs_that_are_small_on_disk_only_are_not_taken_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pl.DataFrame({f"c{i}": np.zeros(30_000) for i in range(40)}).write_parquet(path)
    assert path.stat().st_size < 1_000_000
    place = Place(str(path), "d.parquet", None)
    assert isinstance(open_place(place, DataSettings(path="d.parquet"), Memory(left=9_000_000)), ParquetTable)
    assert isinstance(open_place(place, DataSettings(path="d.parquet"), Memory(left=10_000_000)), FrameTable)
