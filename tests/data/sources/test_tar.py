"""Tar files of samples on the disk."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from trainwright.data.open import open_table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_files_of_a_stem_are_a_row(tmp_path: Path) -> None:
    files = {
        "a/1.left.jpg": b"L1",
        "a/1.right.jpg": b"R1",
        "a/1.txt": "好 one\n".encode(),
        "a/2.left.jpg": b"L2",
        "a/2.txt": b"two",
    }
    table = open_table(DataSettings(path=str(tar(tmp_path / "s.tar", files))))
    assert table.column("left").to_list() == [b"L1", b"L2"]
    assert table.column("right").to_list() == [b"R1", None]
    assert table.column("txt").to_list() == ["好 one", "two"]


def test_a_sample_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    files = {f"{number}.{ending}": b"0" for number in range(9) for ending in ("jpg", "cls")}
    files |= {"9.jpg": b"0", "9.json": b"{oh", "a.jpg": b"0", "a.txt": b"\xff\xfe\xfd"}
    table = open_table(DataSettings(path=str(tar(tmp_path / "s.tar", files))))
    assert table.num_rows == 9
    assert [row.position for row in table.quarantined] == [9, 10]
    assert "no JSON" in table.quarantined[0].reason and "no UTF-8" in table.quarantined[1].reason


def test_a_tar_file_of_other_things_is_unpacked_as_before(tmp_path: Path) -> None:
    files = {f"{label}/{number}.jpg": b"x" for label in ("cat", "dog") for number in range(3)}
    table = open_table(DataSettings(path=str(tar(tmp_path / "classes.tar", files))))
    assert list(table.schema) == ["image", "label"]
    rows = open_table(DataSettings(path=str(tar(tmp_path / "t.tar", {"rows.csv": b"a,b\n1,2\n"}))))
    assert rows.column("b").to_list() == ["2"]


def test_one_that_is_cut_off_is_said(tmp_path: Path) -> None:
    whole = tar(tmp_path / "s.tar", {f"{n}.{end}": b"x" * 900 for n in range(99) for end in ("jpg", "cls")})
    whole.write_bytes(whole.read_bytes()[:100_200])
    with pytest.raises(DataError, match="cut off"):
        open_table(DataSettings(path=str(whole)))


def test_a_header_that_is_damaged_is_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = tar(tmp_path / "s.tar", {f"{n}.{end}": b"x" * 100 for n in range(9) for end in ("jpg", "cls")})
    content = bytearray(whole.read_bytes())
    content[10 * tarfile.BLOCKSIZE] ^= 1  # the name of the sixth file: its checksum does not fit any more
    whole.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        open_table(DataSettings(path=str(whole)))


def test_half_a_character_is_set_aside(tmp_path: Path) -> None:
    files = {f"{number}.{ending}": b"0" for number in range(9) for ending in ("jpg", "cls")}
    files |= {"9.jpg": b"0", "9.json": b'{"caption": "\\ud83d"}'}
    table = open_table(DataSettings(path=str(tar(tmp_path / "s.tar", files))))
    assert table.num_rows == 9
    assert [row.position for row in table.quarantined] == [9]


@pytest.mark.parametrize("named", ["", "/*.tar", "/part-{0..2}.tar"])
def test_shards_of_a_folder_a_pattern_or_a_range_are_one_table(tmp_path: Path, named: str) -> None:
    for shard in range(3):
        files = {f"{shard}{n}.{end}": f"{shard}{n}".encode() for n in range(4) for end in ("wav", "cls")}
        tar(tmp_path / f"part-{shard}.tar", files)
    table = open_table(DataSettings(path=f"{tmp_path}{named}"))
    assert table.column("cls").to_list() == [f"{shard}{n}" for shard in range(3) for n in range(4)]
    assert table.column("audio").to_list() == [word.encode() for word in table.column("cls").to_list()]


def test_a_shard_of_a_range_that_is_not_there_is_named(tmp_path: Path) -> None:
    tar(tmp_path / "part-0.tar", {"0.jpg": b"x", "0.cls": b"a"})
    with pytest.raises(DataError, match=r"no file or folder 'part-1.tar'"):
        open_table(DataSettings(path=f"{tmp_path}/part-{{0..1}}.tar"))


@pytest.mark.parametrize(
    "twice", [{"jpg": b"x", "png": b"y"}, {"cls": b"x", "json": b'{"cls": "y"}'}], ids=["media", "json"]
)
def test_two_values_of_one_name_are_not_one(tmp_path: Path, twice: dict[str, bytes]) -> None:
    files = {f"{n}.{end}": b"x" for n in range(9) for end in ("jpg", "cls")}
    files |= {f"9.{end}": content for end, content in twice.items()}
    table = open_table(DataSettings(path=str(tar(tmp_path / "s.tar", files))))
    assert table.num_rows == 9
    assert "two of its files hold" in table.quarantined[0].reason


def test_columns_and_types_that_come_later_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.data.sources.tar.CHUNK_ROWS", 2)
    numbers = ["1", "2", "3.5", "null", '"word"', "4"]
    files = {f"{n}.{end}": b"x" for n in range(6) for end in ("jpg",)}
    files |= {f"{n}.json": f'{{"p": {number}}}'.encode() for n, number in enumerate(numbers)}
    files = dict(sorted(files.items())) | {"6.jpg": b"x", "6.txt": b"late"}
    table = open_table(DataSettings(path=str(tar(tmp_path / "s.tar", files))))
    assert table.column("p").to_list() == ["1", "2", "3.5", None, "word", "4", None]
    assert table.column("txt").to_list() == [None] * 6 + ["late"]
