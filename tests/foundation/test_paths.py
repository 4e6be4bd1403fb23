from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.foundation.errors import UserError
from trainwright.foundation.paths import (
    cache_folder,
    check_folder,
    check_writable,
    inside,
    make_folder,
    whole_folder,
    write_atomic,
    write_json,
    writing,
)

Fail = Callable[..., object]


def refuse(code: int) -> Fail:
    def fail(*_: object, **__: object) -> object:
        raise OSError(code, os.strerror(code))

    return fail


def interrupt(*_: object, **__: object) -> object:
    raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# write_atomic


def test_a_write_replaces_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "one")
    write_atomic(path, "价格\n")
    assert path.read_text(encoding="utf-8") == "价格\n"
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("where", ["os.open", "os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("fail", [refuse(errno.ENOSPC), refuse(errno.EIO), interrupt])
def test_a_failed_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, fail: Fail
) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "old")
    with monkeypatch.context() as patched:
        patched.setattr(where, fail)
        with pytest.raises((UserError, OSError, KeyboardInterrupt)):
            write_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "your disk quota is used up; free some space"),
        (errno.EROFS, "this disk is read-only; choose another folder"),
        (errno.EACCES, "this place cannot be written to; choose another folder"),
        (errno.EPERM, "this place cannot be written to; choose another folder"),
        (errno.ENAMETOOLONG, "this name is too long for the disk; choose a shorter one"),
    ],
)
def test_refusals_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    path = tmp_path / "a.txt"
    monkeypatch.setattr("os.fsync", refuse(code))
    with pytest.raises(UserError) as caught:
        write_atomic(path, "new")
    assert str(caught.value).startswith(f"{path}: {sentence}")


def test_an_error_that_no_user_can_mend_is_not_dressed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output") as caught:
        write_atomic(tmp_path / "a.txt", "new")
    assert not isinstance(caught.value, UserError)


def test_a_missing_folder_a_folder_in_the_way_and_a_file_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder to write into"):
        write_atomic(tmp_path / "no" / "a.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="a folder stands where a file is needed"):
        write_atomic(tmp_path / "folder", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / "file" / "run")
    assert names(tmp_path) == ["file", "folder"]


def test_files_and_folders_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a.txt", "x")
        with whole_folder(tmp_path / "run") as scratch:
            (scratch / "b").write_text("")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o750


def test_a_process_killed_while_writing_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = (
        "import sys; from pathlib import Path; from trainwright.foundation.paths import write_atomic\n"
        "path, turn = Path(sys.argv[1]), 0\n"
        "while True: write_atomic(path, 'ab'[turn % 2] * 2_000_000); turn += 1"
    )
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)])
        try:
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.05)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        content = path.read_text()
        assert content in {"a" * 2_000_000, "b" * 2_000_000}


def test_write_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"价": [1, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"价": [1, None]}
    assert "价" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"loss": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"价": [1, None]}


# whole_folder


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    with whole_folder(folder) as scratch:
        (scratch / "sub").mkdir()
        (scratch / "sub" / "a").write_text("1")
        assert not folder.exists()
    assert (folder / "sub" / "a").read_text() == "1"
    assert names(folder.parent) == ["run"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_folder_replaces_an_older_one(tmp_path: Path, durable: bool) -> None:
    for content in ("old", "new"):
        with whole_folder(tmp_path / "run", durable=durable) as scratch:
            (scratch / content).write_text("")
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["new"]


def test_what_stands_in_the_way_is_replaced_and_links_are_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.mkdir()
    (target / "mine").write_text("")
    (tmp_path / "run").symlink_to(target)
    with whole_folder(tmp_path / "run") as scratch:
        (scratch / "a").write_text("")
    assert names(tmp_path / "run") == ["a"]
    assert names(target) == ["mine"]
    assert names(tmp_path) == ["kept", "run"]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_body_that_fails_leaves_the_old_folder(tmp_path: Path, error: BaseException) -> None:
    folder = tmp_path / "run"
    with whole_folder(folder) as scratch:
        (scratch / "old").write_text("")
    with pytest.raises(type(error)), whole_folder(folder) as scratch:
        (scratch / "new").write_text("")
        raise error
    assert names(tmp_path) == ["run"]
    assert names(folder) == ["old"]


@pytest.mark.parametrize("nth", [1, 2])
def test_a_rename_that_fails_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    folder = tmp_path / "run"
    with whole_folder(folder) as scratch:
        (scratch / "old").write_text("")
    replace, calls = Path.replace, 0

    def fail_once(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.ENOSPC, "full")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(UserError, match="the disk is full"), whole_folder(folder) as scratch:
        (scratch / "new").write_text("")
    assert names(tmp_path) == ["run"]
    assert names(folder) == ["old"]


def test_a_full_disk_in_the_body_or_at_the_end_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=r"run: the disk is full"), whole_folder(folder):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("os.fsync", refuse(errno.ENOSPC))
    with pytest.raises(UserError, match=r"run: the disk is full"), whole_folder(folder) as scratch:
        (scratch / "a").write_text("")
    assert names(tmp_path) == []


def test_an_unwritable_place_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may write anywhere: the system's refusal is put in its mouth."""

    def deny(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", deny)
    for attempt in (
        lambda: make_folder(tmp_path / "run"),
        lambda: whole_folder(tmp_path / "run").__enter__(),
        lambda: cache_folder("encoded"),
    ):
        with pytest.raises(UserError, match="this place cannot be written to; choose another folder"):
            attempt()
    assert names(tmp_path) == []


def test_errors_about_other_files_pass_through(tmp_path: Path) -> None:
    missing = tmp_path / "photos" / "1.jpg"
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "run"):
        missing.read_bytes()
    with pytest.raises(PermissionError), writing(tmp_path / "out" / "a.csv"):
        raise PermissionError(errno.EACCES, "Permission denied", str(missing))
    with pytest.raises(UserError), writing(tmp_path / "out" / "a.csv"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out"))


# inside


def test_paths_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.jpg").write_text("")
    (root / "link").symlink_to(root / "sub")
    (tmp_path / "secret").write_text("")
    (root / "out").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    for good in ("sub/a.jpg", "./sub/../sub/a.jpg", "link/a.jpg", str(root / "sub" / "a.jpg")):
        assert inside(root, good) == root.resolve() / "sub" / "a.jpg"
    assert inside(root, "not yet/there.jpg") == root.resolve() / "not yet" / "there.jpg"
    for bad in ("../secret", "sub/../../secret", "out/secret", "/etc/passwd", "..", "a\0b", "../data2/a"):
        with pytest.raises(UserError, match=r"leaves the data folder|cannot be followed"):
            inside(root, bad)
    with pytest.raises(UserError, match="cannot be followed"):
        inside(root, "loop/a.jpg")


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "root", "a.jpg") == (tmp_path / "real" / "a.jpg").resolve()
    with pytest.raises(UserError, match="leaves the data folder"):
        inside(tmp_path / "root", "../other.jpg")


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "..a"]), max_size=8))
def test_no_row_of_steps_gets_out(parts: list[str]) -> None:
    root = Path("/nowhere/data")
    try:
        path = inside(root, "/".join(parts).lstrip("/"))
    except UserError:
        depth = lowest = 0
        for part in parts:
            depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
            lowest = min(lowest, depth)
        assert lowest < 0
    else:
        assert path.is_relative_to(root)


def test_the_cache_goes_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    assert cache_folder("encoded", "a") == tmp_path / "cache" / "encoded" / "a"
    assert (tmp_path / "cache" / "encoded" / "a").is_dir()


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert names(tmp_path) == []
    (tmp_path / "there").mkdir()
    check_writable(tmp_path / "there")
    assert names(tmp_path) == ["there"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        check_writable(tmp_path / "file" / "a")
    assert names(tmp_path) == ["file", "there"]


def test_a_folder_to_read_is_there_or_its_neighbour_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "table.csv").touch()
    assert check_folder(tmp_path / "runs") == tmp_path / "runs"
    with pytest.raises(UserError, match=r"did you mean '.*runs'\?"):
        check_folder(tmp_path / "rusn")
    with pytest.raises(UserError, match="a file, not a folder"):
        check_folder(tmp_path / "table.csv")
    with pytest.raises(UserError, match="no such folder; check the path"):
        check_folder(tmp_path / "else" / "where")


def test_a_full_disk_that_a_rust_library_met_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the disk is full"), writing(tmp_path / "file"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError), writing(tmp_path / "file"):
        raise RuntimeError("I/O error: No such file or directory (os error 2)")


def test_an_error_within_a_scratch_folder_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error, whole_folder(tmp_path / "model") as scratch:
        raise UserError("the disk is full", where=str(scratch / "weights"), fix="free some space")
    assert str(error.value) == f"{tmp_path / 'model'}: the disk is full; free some space."
