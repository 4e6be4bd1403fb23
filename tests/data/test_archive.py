from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from trainwright.data.open import open_table
from trainwright.data.table import Table
from trainwright.foundation.errors import DataError
from trainwright.recipe.recipe import DataSettings

CSV = b"a,b\n1,2\n3,4\n"


def read(path: Path) -> Table:
    return open_table(DataSettings(path=str(path)))


def zipped(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def tarred(path: Path, *members: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, io.BytesIO(CSV) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(CSV) if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    ("ending", "mode"),
    [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")],
)
def test_a_table_in_a_tar(tmp_path: Path, ending: str, mode: str) -> None:
    table = read(tarred(tmp_path / f"d{ending}", member("inner/d.csv"), mode=mode))
    assert table.num_rows == 2
    assert table.where(0) == f"{tmp_path}/d{ending} line 2"


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_a_compressed_file(tmp_path: Path, ending: str, pack: object) -> None:
    path = tmp_path / f"d.csv{ending}"
    path.write_bytes(pack(CSV))  # type: ignore[operator]
    assert read(path).column("b").to_list() == ["2", "4"]


def test_media_by_class_in_a_zip(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "d.zip",
        ("pets/cat/1.jpg", b"x"),
        ("pets/dog/2.jpg", b"y"),
        ("__MACOSX/pets/cat/._1.jpg", b"z"),
    )
    table = read(path)
    assert table.column("label").to_list() == ["cat", "dog"]
    assert table.root is not None
    assert (Path(table.root) / table.column("image")[1]).read_bytes() == b"y"
    assert list(tmp_path.iterdir()) == [path], "nothing is written beside the user's file"


def test_names_packed_in_gbk(tmp_path: Path) -> None:
    path = zipped(tmp_path / "d.zip", ("QQ/1.jpg", b"x"), ("WW/2.jpg", b"y"))
    content = path.read_bytes()  # the packers of Chinese Windows write GBK bytes and no flag
    path.write_bytes(content.replace(b"QQ/", "猫/".encode("gbk")).replace(b"WW/", "狗/".encode("gbk")))
    assert sorted(read(path).column("label")) == ["狗", "猫"]


@pytest.mark.parametrize(
    "name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:/evil.csv"]
)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    for path in (zipped(tmp_path / "d.zip", (name, CSV)), tarred(tmp_path / "d.tar", member(name))):
        with pytest.raises(DataError, match=r"holds a path that leaves the folder: '.*evil.csv'"):
            read(path)
    assert not list(tmp_path.parent.rglob("evil.csv"))


def test_links_and_devices_are_left_out_and_said(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"s\n1\n")
    path = tarred(
        tmp_path / "d.tar",
        member("link.csv", tarfile.SYMTYPE, str(secret)),
        member("hard.csv", tarfile.LNKTYPE, str(secret)),
        member("pipe.csv", tarfile.FIFOTYPE),
        member("device.csv", tarfile.CHRTYPE),
        member("d.csv"),
    )
    table = read(path)
    assert list(table.schema) == ["a", "b"]
    assert table.notes == [f"Links and devices left out of {path}: 4."]


def test_links_in_a_zip_are_left_out(tmp_path: Path) -> None:
    path = zipped(tmp_path / "d.zip", ("d.csv", CSV))
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert read(path).notes == [f"Links and devices left out of {path}: 1."]


def test_bombs_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    zeros = bytes(70 << 20)
    bombs = [zipped(tmp_path / "d.zip", ("d.csv", zeros)), tmp_path / "d.csv.gz", tmp_path / "d.tar.gz"]
    bombs[1].write_bytes(gzip.compress(zeros))
    with tarfile.open(bombs[2], "w:gz") as archive:
        info = tarfile.TarInfo("d.csv")
        info.size = len(zeros)
        archive.addfile(info, io.BytesIO(zeros))
    for bomb in bombs:
        with pytest.raises(
            DataError, match="looks like a zip bomb: it unpacks to more than 200 times its size"
        ):
            read(bomb)
    cache = Path(os.environ["TRAINWRIGHT_CACHE"]) / "archives"
    assert not [file for file in cache.rglob("*") if file.is_file() and file.stat().st_size > 1 << 20]


def test_a_zip_that_lies_about_its_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "d.zip", ("d.csv", bytes(70 << 20)))
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError):
        read(path)


@pytest.mark.parametrize("name", ["d.zip", "d.tar.gz", "d.csv.gz", "d.csv.bz2", "d.csv.xz", "d.tar"])
def test_damage_is_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for content in (
        b"no archive",
        gzip.compress(os.urandom(9000))[:5000],
        b"PK\x03\x04" + bytes(99),
        b"BZh9" + bytes(99),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match="the archive is cut off or damaged; copy or download it again"):
            read(path)


def test_a_file_that_is_also_a_folder(tmp_path: Path) -> None:
    path = zipped(tmp_path / "d.zip", ("a", CSV), ("a/b.csv", CSV))
    with pytest.raises(DataError):
        read(path)


def test_the_second_time_the_cached_copy_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "d.zip", ("a.jpg", b"x"), ("b.jpg", b"y"))
    root = read(path).root
    assert root is not None
    before = (Path(root) / "a.jpg").stat().st_ino
    assert read(path).root == root
    assert (Path(root) / "a.jpg").stat().st_ino == before
    os.utime(path, (1, 1))
    assert read(path).root != root
