from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainwright.data.open import open_table
from trainwright.data.source import SOURCES
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError, RecipeError
from trainwright.recipe.recipe import DataSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("one", "1,a\n2,b\n"), ("two", "3,c\n"), ("valid", "4,d\n"), ("test", "5,e\n6,f\n")):
        (tmp_path / f"{name}.csv").write_text("x,y\n" + rows)
    return tmp_path


def read(folder: Path, path: Any, **options: Any) -> Table:
    return open_table(DataSettings(path=path, **options), base=folder)


def test_paths_start_from_the_base(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(folder, "one.csv").name == "one.csv"
    assert read(folder, str(folder / "one.csv")).num_rows == 2
    monkeypatch.chdir(folder)
    assert open_table(DataSettings(path="one.csv")).num_rows == 2
    monkeypatch.setenv("HOME", str(folder))
    assert open_table(DataSettings(path="~/one.csv")).num_rows == 2


def test_globs_and_lists(folder: Path) -> None:
    table = read(folder, "*o*.csv")
    assert table.column("x").to_list() == ["1", "2", "3"]
    assert table.name == "*o*.csv"
    assert table.where(2) == "two.csv line 2"
    table = read(folder, ["two.csv", "one.csv"])
    assert (table.column("x").to_list(), table.name) == (["3", "1", "2"], "two.csv and 1 more")
    (folder / "odd[1].csv").write_text("x,y\n7,g\n")
    assert read(folder, "odd[1].csv").column("x").to_list() == ["7"]
    with pytest.raises(DataError, match=r"no\*.csv: no file is called so; check the pattern"):
        read(folder, "no*.csv")


def test_files_of_their_own_for_validation_and_test(folder: Path) -> None:
    table = read(folder, "one.csv", validation="valid.csv", test="test.csv")
    assert table.part is not None
    assert table.part.tolist() == [0, 0, 1, 2, 2]
    assert table.column("x").to_list() == ["1", "2", "4", "5", "6"]
    assert table.name == "one.csv"
    assert table.where(3) == "test.csv line 2"
    (folder / "bad.csv").write_text("x,z\n1,2\n")
    with pytest.raises(
        DataError, match=r"bad.csv: there is no column 'y', which one.csv has; rename its column 'z'|give"
    ):
        read(folder, "one.csv", test="bad.csv")


def test_names_of_globbed_files_say_the_parts(folder: Path) -> None:
    (folder / "one.csv").rename(folder / "train.csv")
    table = read(folder, "t[er]*.csv")
    assert table.part is not None
    assert table.part.tolist() == [2, 2, 0, 0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("oen.csv", "oen.csv: there is no file or folder 'oen.csv' in '{folder}'; did you mean 'one.csv'?"),
        (
            "missing/one.csv",
            "missing/one.csv: there is no file or folder 'missing' in '{folder}'; check the path.",
        ),
        ("one.csv/x", "one.csv/x: there is no file or folder 'x' in '{folder}/one.csv'; check the path."),
    ],
)
def test_what_is_not_there(folder: Path, path: Any, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        read(folder, path)
    assert str(caught.value) == expected.format(folder=folder)


def test_formats_are_told_by_name_or_content(folder: Path) -> None:
    (folder / "rows").write_text('{"x": 1}\n{"x": 2}\n')
    assert read(folder, "rows").column("x").to_list() == [1, 2]
    pl.DataFrame({"x": [1]}).write_parquet(folder / "table.bin")
    assert read(folder, "table.bin").column("x").to_list() == [1]
    (folder / "words.log").write_text("x;y\n1;2\n")
    assert read(folder, "words.log").column("y").to_list() == ["2"]
    with pytest.raises(RecipeError, match="there is no data format called 'cvs'; did you mean 'csv'"):
        read(folder, "one.csv", format="cvs")


def test_an_unreadable_file_is_one_sentence(folder: Path) -> None:
    (folder / "one.csv").chmod(0)
    try:
        (folder / "one.csv").read_bytes()
    except PermissionError:
        with pytest.raises(DataError, match="the file cannot be read; check its permissions"):
            read(folder, "one.csv")
    else:
        pytest.skip("this user may read everything")


def test_every_format_of_the_recipe_is_there() -> None:
    known = {"arrow", "csv", "excel", "folder", "hub", "jsonl", "npz", "parquet", "sql", "tar", "text"}
    assert set(SOURCES) == known


def test_real_tables_open(shared_data: Path) -> None:
    files = sorted(shared_data.glob("*/*.csv"))
    assert len(files) > 20
    for file in files:
        table = open_table(DataSettings(path=str(file)))
        assert table.num_rows > 100
        assert not table.quarantined, file
        assert not table.notes, (file, table.notes)
        last = table.where(table.num_rows - 1).rsplit(" ", 1)[1]
        lines = file.read_bytes().rstrip().count(b"\n") + 1
        assert int(last) <= lines


def test_real_images_open(shared_data: Path) -> None:
    table = open_table(DataSettings(path=str(shared_data / "cifar10_folder")))
    assert (table.num_rows, table.column("label").n_unique()) == (2500, 10)
    assert table.part is not None
    assert np.bincount(table.part).tolist() == [2000, 0, 500]
    table = open_table(DataSettings(path=str(shared_data / "cifar10" / "test.parquet")))
    assert (table.num_rows, table.schema["image"]) == (10_000, pl.Binary)
    table = open_table(DataSettings(path=str(shared_data / "mnist10k" / "mnist10k.npz")))
    assert table.schema == {"images": pl.Array(pl.UInt8, (28, 28)), "labels": pl.UInt8}
    table = open_table(DataSettings(path=str(shared_data / "pneumoniamnist" / "pneumoniamnist.npz")))
    assert table.schema["labels"] == pl.UInt8
    assert table.part is not None
    assert np.bincount(table.part).tolist() == [2428, 270, 468]


def test_real_json_lines_open(shared_data: Path) -> None:
    table = open_table(DataSettings(path=str(shared_data / "multi30k")))
    assert table.num_rows == 32_014
    assert list(table.schema) == ["en", "de", "fr"]
