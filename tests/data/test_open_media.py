from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from trainwright.data.media import open_media
from trainwright.foundation.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.bin").write_bytes(b"content")
    (folder / "empty.bin").write_bytes(b"")
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "good.bin").symlink_to(folder / "sub" / "a.bin")
    return folder


def test_paths_inside_the_root(root: Path) -> None:
    for value in ("sub/a.bin", "./sub/../sub/a.bin", str(root / "sub" / "a.bin"), "good.bin"):
        assert open_media(value, str(root)) == b"content"


def test_bytes_are_themselves() -> None:
    assert open_media(b"x", None) == b"x"


@pytest.mark.parametrize("value", ["../secret.bin", "sub/../../secret.bin", "link.bin", "/etc/passwd"])
def test_paths_that_leave_the_root_are_refused(root: Path, value: str) -> None:
    with pytest.raises(DataError, match=r"the path '.*' leaves the data folder; use paths inside the folder"):
        open_media(value, str(root))


def test_without_a_root_paths_are_the_programs_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert open_media("sub/a.bin", None) == b"content"
    assert open_media(str(root.parent / "secret.bin"), None) == b"secret"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("missing.bin", "the file does not exist"),
        ("empty.bin", "the file is empty"),
        ("sub", "this is a folder, not a file"),
        ("a\0b", "the file cannot be read"),
        ("file:///etc/passwd", "'file://' URLs are not opened"),
        ("simplecache::file:///etc/passwd", "URLs are not opened"),
        ("memory://x/a.bin", "'memory://' URLs are not opened"),
    ],
)
def test_what_cannot_be_opened(root: Path, value: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        open_media(value, str(root))
    assert expected in str(caught.value)


def test_the_size_has_a_limit(root: Path) -> None:
    for value in ("sub/a.bin", b"content"):
        with pytest.raises(DataError, match="the file is larger than 0 MB"):
            open_media(value, str(root), max_bytes=6)


def test_a_root_that_is_a_url() -> None:
    with fsspec.open("memory://bucket/data/a.bin", "wb") as stream:
        stream.write(b"far away")
    assert open_media("a.bin", "memory://bucket/data") == b"far away"
    assert open_media("memory://bucket/data/a.bin", "memory://bucket/data") == b"far away"
    with pytest.raises(DataError, match="larger than"):
        open_media("a.bin", "memory://bucket/data", max_bytes=4)
    with pytest.raises(DataError, match="there is no such file"):
        open_media("b.bin", "memory://bucket/data")
    for value in ("../a.bin", "/etc/passwd"):
        with pytest.raises(DataError, match="leaves the data folder"):
            open_media(value, "memory://bucket/data")
