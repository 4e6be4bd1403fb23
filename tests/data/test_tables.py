"""One contract for every kind of table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainwright.data.fingerprint import Fingerprint, file_fingerprint, frame_fingerprint
from trainwright.data.frame_table import FrameTable
from trainwright.data.joined_table import JoinedTable
from trainwright.data.parquet_table import ParquetTable
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError

ROWS = 1000
FRAME = pl.DataFrame(
    {
        "n": np.arange(ROWS),
        "t": [None if i % 7 == 0 else f"text {i}" for i in range(ROWS)],
        "v": [[i, i + 1][: i % 3] for i in range(ROWS)],
        "a": np.arange(ROWS * 4, dtype=np.float32).reshape(ROWS, 2, 2),
        "^n.*$": ["odd name"] * ROWS,
    }
)


def in_parquet(folder: Path) -> Table:
    FRAME.write_parquet(folder / "d.parquet", row_group_size=130)
    return ParquetTable(folder / "d.parquet")


def joined(folder: Path) -> Table:
    FRAME[:400].write_parquet(folder / "a.parquet", row_group_size=90)
    tables = [ParquetTable(folder / "a.parquet"), FrameTable(FRAME[400:401]), FrameTable(FRAME[401:])]
    return JoinedTable(tables)


@pytest.fixture(
    params=[lambda folder: FrameTable(FRAME), in_parquet, joined], ids=["frame", "parquet", "joined"]
)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Table:
    make: Callable[[Path], Table] = request.param
    return make(tmp_path_factory.mktemp("table"))


def test_chunks_give_all_rows_in_order(table: Table) -> None:
    assert table.num_rows == ROWS
    assert table.schema == FRAME.schema
    for size in (1, 99, 130, 5000):
        chunks = list(table.chunks(size=size))
        assert max(map(len, chunks)) <= size
        assert pl.concat(chunks).equals(FRAME)
    assert pl.concat(list(table.chunks(["t", "n"]))).equals(FRAME[["t", "n"]])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, ROWS - 1), max_size=30))
def test_take_and_column_give_what_was_asked_for(table: Table, rows: list[int]) -> None:
    indices = np.array(rows, dtype=np.int64)
    assert table.take(indices).equals(FRAME[indices])
    assert table.take(indices, ["v", "^n.*$"]).equals(FRAME[indices][["v", "^n.*$"]])
    ascending = np.unique(indices)
    for name in ("n", "t", "a"):
        assert table.column(name, ascending).equals(FRAME[name][ascending])


def test_a_whole_column(table: Table) -> None:
    for name in FRAME.columns:
        assert table.column(name).equals(FRAME[name])


def test_unknown_columns_are_named(table: Table) -> None:
    for ask in (
        lambda: table.column("tt"),
        lambda: table.take(np.array([0]), ["tt"]),
        lambda: list(table.chunks(["tt"])),
    ):
        with pytest.raises(DataError, match=r"there is no column 'tt'; (did|choose)"):
            ask()


def test_joined_tables_agree_on_types_and_parts() -> None:
    one = FrameTable(pl.DataFrame({"x": [1, 2], "y": ["a", "b"]}), name="one")
    other = FrameTable(
        pl.DataFrame({"y": ["c"], "x": [2.5]}), name="other", part=np.array([2], dtype=np.int8)
    )
    table = JoinedTable([one, other], parts=[0, None])
    assert table.schema == {"x": pl.Float64, "y": pl.String}
    assert table.column("x").to_list() == [1.0, 2.0, 2.5]
    assert table.take(np.array([2, 0])).rows() == [(2.5, "c"), (1.0, "a")]
    assert table.part is not None
    assert table.part.tolist() == [0, 0, 2]
    assert table.where(2) == "other row 0"
    text = JoinedTable([one, FrameTable(pl.DataFrame({"x": ["z"], "y": [1]}))])
    assert text.column("x").to_list() == ["1", "2", "z"]


def test_memory_stays_bounded_within_one_huge_row_group(tmp_path: Path) -> None:
    rows = 500_000
    pl.DataFrame({f"c{i}": np.random.default_rng(i).normal(size=rows) for i in range(4)}).write_parquet(
        tmp_path / "d.parquet", row_group_size=rows
    )
    table = ParquetTable(tmp_path / "d.parquet")
    assert max(map(len, table.chunks())) <= 65_536
    assert table.take(np.array([rows - 1]), ["c0"]).equals(table.take(np.array([rows - 1]))[["c0"]])


VALUES = {
    "text": st.one_of(st.none(), st.text(max_size=5)),
    "whole": st.one_of(st.none(), st.integers(-9, 9)),
    "list": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=3)),
    "flag": st.one_of(st.none(), st.booleans()),
    "bytes": st.one_of(st.none(), st.binary(max_size=3)),
}
KINDS = {
    "text": pl.String,
    "whole": pl.Int64,
    "list": pl.List(pl.String),
    "flag": pl.Boolean,
    "bytes": pl.Binary,
}
FRAMES = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=12).map(
    lambda rows: pl.DataFrame(rows, schema=KINDS)
)


@settings(max_examples=60, deadline=None)
@given(FRAMES, st.integers(1, 11))
def test_a_fingerprint_does_not_depend_on_chunks(frame: pl.DataFrame, size: int) -> None:
    fingerprint = Fingerprint()
    for piece in frame.iter_slices(size):
        fingerprint.update(piece)
    assert fingerprint.hexdigest() == frame_fingerprint(frame)


@settings(max_examples=60, deadline=None)
@given(FRAMES, FRAMES)
def test_fingerprints_are_equal_exactly_where_frames_are(one: pl.DataFrame, other: pl.DataFrame) -> None:
    assert (frame_fingerprint(one) == frame_fingerprint(other)) == one.equals(other)


def test_file_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, copy = tmp_path / "a", tmp_path / "b"
    content = bytearray(np.random.default_rng(0).bytes(8 << 20))
    path.write_bytes(content)
    copy.write_bytes(content)
    assert file_fingerprint(path) == file_fingerprint(copy)
    monkeypatch.setattr("trainwright.data.fingerprint._WHOLE_BYTES", 1 << 20)
    before = file_fingerprint(path)
    assert file_fingerprint(path) == before
    content[-1] ^= 1
    path.write_bytes(content)
    assert file_fingerprint(path) != before
