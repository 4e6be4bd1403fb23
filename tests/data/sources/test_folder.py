from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


def make(root: Path, *paths: str, content: bytes = b"x") -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def read(path: Path, **options: Any) -> Table:
    return open_table(DataSettings(path=str(path), **options))


def test_media_by_class(tmp_path: Path) -> None:
    table = read(make(tmp_path, "dog/1.jpg", "cat/b/2.PNG", "cat/10.jpeg", ".hidden/3.jpg", "readme.md"))
    assert pl.concat(list(table.chunks())).rows() == [
        ("cat/10.jpeg", "cat"),
        ("cat/b/2.PNG", "cat"),
        ("dog/1.jpg", "dog"),
    ]
    assert list(table.schema) == ["image", "label"]
    assert table.part is None
    assert table.root == str(tmp_path)
    assert table.where(2) == f"{tmp_path}/dog/1.jpg"
    assert table.notes == [
        "Left out: 1 file of other kinds (readme.md).",
        "Folders within class folders do not count: the class is the outer folder.",
    ]


def test_media_by_part_and_class(tmp_path: Path) -> None:
    table = read(
        make(tmp_path, "Train/yes/1.wav", "train2.txt", "valid/no/2.flac", "test/yes/3.wav", "test/no/4.wav")
    )
    assert list(table.schema) == ["audio", "label"]
    assert table.part is not None
    assert table.part.tolist() == [0, 2, 2, 1]
    assert table.column("label").to_list() == ["yes", "no", "yes", "no"]


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    table = read(make(tmp_path, "test/1.jpg", "exam/2.jpg"))
    assert table.part is None
    assert table.column("label").to_list() == ["exam", "test"]


def test_a_folder_around_the_classes_is_seen_through(tmp_path: Path) -> None:
    table = read(make(tmp_path, "pets-v2/cat/1.jpg", "pets-v2/dog/2.jpg"))
    assert table.column("label").to_list() == ["cat", "dog"]
    assert table.column("image").to_list() == ["cat/1.jpg", "dog/2.jpg"]
    assert table.root == str(tmp_path / "pets-v2")


def test_media_without_classes(tmp_path: Path) -> None:
    table = read(make(tmp_path, "1.jpg", "2.jpg"))
    assert list(table.schema) == ["image"]
    make(tmp_path, "cat/3.jpg")
    table = read(tmp_path)
    assert table.column("label").to_list() == [None, None, "cat"]
    assert table.notes == ["No label: 2 files outside of class folders."]


def test_equal_content_gives_an_equal_fingerprint(tmp_path: Path) -> None:
    one = read(make(tmp_path / "one", "a/1.jpg", "b/2.jpg"))
    other = read(make(tmp_path / "other", "a/1.jpg", "b/2.jpg"))
    assert one.fingerprint == other.fingerprint
    changed = read(make(tmp_path / "other", "b/2.jpg", content=b"y"))
    assert changed.fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (
            ["a/1.doc", "a/2.doc"],
            r"there are no tables, images or sounds in this folder \(but 2 x .doc\); give",
        ),
        ([".x/1.jpg"], "there are no tables, images or sounds in this folder; give"),
        (["a/1.jpg", "a/2.wav"], "the folder holds 1 image and 1 sound; keep one kind in it"),
    ],
)
def test_folders_that_say_nothing_are_refused(tmp_path: Path, paths: list[str], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read(make(tmp_path, *paths))


def test_tables_in_a_folder_are_read_in_turn(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("x,y\n3,4\n")
    (tmp_path / "a.csv").write_text("y,x\n2,1\n")
    make(tmp_path, "images/1.jpg", "README.txt")
    table = read(tmp_path)
    assert pl.concat(list(table.chunks())).rows() == [("2", "1"), ("4", "3")]
    assert table.part is None
    assert table.where(1) == f"{tmp_path}/b.csv line 2"


def test_names_of_tables_say_the_parts(tmp_path: Path) -> None:
    for name, value in (("test", 3), ("mnist_train", 1), ("dev", 2)):
        (tmp_path / f"{name}.csv").write_text(f"x\n{value}\n")
    table = read(tmp_path)
    assert table.part is not None
    assert dict(zip(table.column("x").to_list(), table.part.tolist(), strict=True)) == {
        "1": 0,
        "2": 1,
        "3": 2,
    }
    (tmp_path / "other.csv").write_text("x\n4\n")
    assert read(tmp_path).part is None


def test_tables_in_folders_of_parts(tmp_path: Path) -> None:
    for part, value in (("train", 1), ("test", 2)):
        (tmp_path / part).mkdir()
        pl.DataFrame({"x": [value]}).write_parquet(tmp_path / part / "0000.parquet")
    table = read(tmp_path)
    assert table.part is not None
    assert (table.part == np.array([0, 2])).all()


def test_a_column_that_a_file_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("price,y\n1,2\n")
    (tmp_path / "b.csv").write_text("prize,y\n1,2\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/b.csv: there is no column 'price', which {tmp_path}/a.csv has; "
        "rename its column 'prize'."
    )


def test_columns_that_only_one_file_has_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    table = read(tmp_path)
    assert list(table.schema) == ["x"]
    assert table.notes == [f"Columns that only {tmp_path}/b.csv has are left out: 'z'."]


def test_a_format_picks_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.jsonl").write_text('{"x": 2}\n')
    assert read(tmp_path, format="jsonl").column("x").to_list() == [2]
    assert read(tmp_path).column("x").to_list() == ["1", "2"]
