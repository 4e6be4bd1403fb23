from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trainwright.data.cache import prune
from trainwright.data.collect import Reading, collect
from trainwright.data.frame_table import FrameTable
from trainwright.data.parquet_table import ParquetTable
from trainwright.data.source import Memory, Place, open_place
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

PLACE = Place("unused", "rows", "/root", ("A note from before.",))
FRAMES = [
    pl.DataFrame({"a": [1, 2], "b": [None, None]}),
    pl.DataFrame({"a": [3, 4], "b": [[1], [2, 3]]}),
    pl.DataFrame({"c": ["x"], "a": [0.5]}),
]


def arriving(reading: Reading, frames: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    yield from frames
    reading.set_aside(7, "broken")
    reading.notes.append("A note.")
    reading.at, reading.by = np.array([1]), np.array([10])


def test_spilled_rows_are_those_in_memory() -> None:
    tables = []
    for left, kind in ((1 << 20, FrameTable), (20, ParquetTable)):
        reading = Reading(PLACE, first=5)
        table = collect(
            reading, arriving(reading, FRAMES), key=f"key-{os.urandom(4).hex()}", memory=Memory(left)
        )
        assert isinstance(table, kind)
        tables.append(table)
    small, large = tables
    assert small.schema == large.schema == {"a": pl.Float64, "b": pl.List(pl.Int64), "c": pl.String}
    assert pl.concat(list(small.chunks())).equals(pl.concat(list(large.chunks())))
    assert small.fingerprint == large.fingerprint
    for table in tables:
        assert table.notes == ["A note from before.", "A note."]
        assert [(row.position, row.reason) for row in table.quarantined] == [(7, "broken")]
        assert (table.where(0), table.where(1), table.root) == ("rows row 5", "rows row 16", "/root")


def test_a_spilled_table_is_read_again_at_once() -> None:
    def never() -> Iterator[pl.DataFrame]:
        raise AssertionError("the rows are in the cache")
        yield

    first = collect(Reading(PLACE), iter(FRAMES), key="again", memory=Memory(20))
    second = collect(Reading(PLACE), never(), key="again", memory=Memory(20))
    assert pl.concat(list(first.chunks())).equals(pl.concat(list(second.chunks())))
    assert first.fingerprint == second.fingerprint


def test_a_reader_that_fails_leaves_nothing() -> None:
    def failing() -> Iterator[pl.DataFrame]:
        yield from FRAMES
        raise DataError("broken half-way")

    with pytest.raises(DataError, match="half-way"):
        collect(Reading(PLACE), failing(), key="failed", memory=Memory(20))
    assert not list((Path(os.environ["TRAINWRIGHT_CACHE"]) / "tables").glob("*failed*"))


def test_no_rows() -> None:
    with pytest.raises(DataError, match="rows: there is a header but no row"):
        collect(Reading(PLACE), iter([]), key="none", memory=Memory())


def test_too_many_broken_rows_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.data.collect._MOST_SET_ASIDE", 3)
    reading = Reading(PLACE)
    for _ in range(3):
        reading.set_aside(1, "short")
    with pytest.raises(DataError, match=r"more than 3 rows cannot be read \(the last: short\)"):
        reading.set_aside(1, "short")


def test_a_csv_file_beyond_memory_is_cached_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("a,b\n" + "".join(f"{i},x\n" for i in range(5000)) + "short\n")
    place = Place(str(path), "d.csv", str(tmp_path))

    def read() -> ParquetTable:
        table = open_place(place, DataSettings(path="d.csv"), Memory(1000))
        assert isinstance(table, ParquetTable)
        return table

    table = read()
    assert (table.num_rows, len(table.quarantined), table.where(4999)) == (5000, 1, "d.csv line 5001")
    small = open_place(place, DataSettings(path="d.csv", delimiter=","), Memory())
    assert small.fingerprint == table.fingerprint
    path.write_text("a,b\n1,2\n" * 400)
    assert read().num_rows == 400
    assert list(tmp_path.iterdir()) == [path], "nothing is written beside the user's file"


def test_the_cache_drops_what_was_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE_GB", str(250 / 2**30))
    for name, days in (("old", 9), ("older", 10), ("today", 0), ("newest", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(100))
        when = time.time() - days * 86_400
        os.utime(tmp_path / name, (when, when))
    prune(tmp_path / "newest")
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["newest", "today"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_large_files_pass_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"d.{kind}"
    frame = pl.DataFrame({f"c{i}": np.random.default_rng(i).normal(size=1_500_000) for i in range(25)})
    frame.write_csv(path) if kind == "csv" else frame.write_parquet(path, row_group_size=1_500_000)
    assert path.stat().st_size > 250e6
    del frame
    code = (
        "import sys; from trainwright.data.open import open_table;"
        "from trainwright.recipe.recipe import DataSettings;"
        "from trainwright.foundation.devices import peak_memory_mb;"
        "table = open_table(DataSettings(path=sys.argv[1])); rows = sum(map(len, table.chunks()));"
        "assert rows == table.num_rows == 1_500_000; table.column('c3'); table.take([5, 1_499_999]);"
        "print(peak_memory_mb())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1500
