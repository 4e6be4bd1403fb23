"""Files and folders: where caches live, writes that are whole or absent, and paths kept inside a folder."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainwright.foundation.errors import UserError, nearest


def cache_folder(*parts: str) -> Path:
    """Return (and make) a folder of the user's cache; `TRAINWRIGHT_CACHE` moves it."""
    import platformdirs

    root = os.environ.get("TRAINWRIGHT_CACHE") or platformdirs.user_cache_dir("trainwright")
    return make_folder(Path(root).expanduser().joinpath(*parts))


def make_folder(folder: Path) -> Path:
    """Make a folder and its parents.

    Raises:
        UserError: the place cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_folder(folder: Path) -> Path:
    """Return a folder that is to be read, after checking that there is one.

    Raises:
        UserError: there is none; the nearest name beside it is given.
    """
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UserError("this is a file, not a folder", where=str(folder), fix="name the folder")
    with suppress(OSError):
        near = nearest(folder.name, [other.name for other in folder.parent.iterdir() if other.is_dir()])
        if near is not None:
            raise UserError(
                "there is no such folder", where=str(folder), fix=f"did you mean '{folder.with_name(near)}'?"
            )
    raise UserError("there is no such folder", where=str(folder), fix="check the path")


def check_writable(folder: Path) -> None:
    """Check that files can be written into a folder, made for the check where it is not there yet.

    Nothing is left behind: a long preparation may follow, and may find that there is nothing to write.

    Raises:
        UserError: the place cannot be written to.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        make_folder(folder)
        scratch = _scratch(folder / "check")
        with writing(folder):
            scratch.touch(exist_ok=False)
            scratch.unlink()
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into one sentence for the user.

    Errors about files elsewhere, such as a source that the body reads, pass through as they are.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError):
            refusal = None if _is_elsewhere(error, path) else _refusal(error)
        else:
            refusal = _DISK_REFUSALS.get(_os_code(error))
        if refusal is None:
            raise
        what, fix = refusal
        raise UserError(what, where=str(path), fix=fix) from error


_DISK_REFUSALS = {
    errno.ENOSPC: ("the disk is full", "free some space and run it again"),
    errno.EDQUOT: ("your disk quota is used up", "free some space and run it again"),
    errno.EROFS: ("this disk is read-only", "choose another folder"),
}


def _os_code(error: Exception) -> int:
    """Return the operating system's code of an error, 0 without.

    Libraries written in Rust (safetensors, polars) have it in their text only: "… (os error 28)".
    """
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found.group(1)) if found else 0


def _refusal(error: OSError) -> tuple[str, str] | None:
    """Return what is wrong and how to mend it, for the errors of writing that a user can mend."""
    if isinstance(error, PermissionError):
        return "this place cannot be written to", "choose another folder"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands where a folder is needed", "choose another folder"
    if isinstance(error, IsADirectoryError):
        return "a folder stands where a file is needed", "choose another name"
    if isinstance(error, FileNotFoundError):
        return "there is no such folder to write into", "make the folder first"
    code = _os_code(error)
    if code == errno.ENAMETOOLONG:
        return "this name is too long for the disk", "choose a shorter one"
    return _DISK_REFUSALS.get(code)


def _is_elsewhere(error: OSError, path: Path) -> bool:
    """Return whether the error names a file that is neither `path`, its scratch, around nor beneath them."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    named, home = Path(os.fsdecode(error.filename)).absolute(), path.absolute()
    if home.is_relative_to(named):
        return False
    if not named.is_relative_to(home.parent):
        return True
    beside = named.relative_to(home.parent).parts[0]
    return beside != home.name and not beside.startswith(f".{home.name}.")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader (or a crash) sees the old content or the new, never a part.

    Raises:
        UserError: the place cannot be written to, or the disk is full; `path` is left as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    scratch = _scratch(path)
    with writing(path):
        try:
            # O_EXCL never follows a link planted under the scratch name; 0o666 leaves the rest to the umask.
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(path)
        except BaseException:
            with suppress(OSError):
                scratch.unlink()
            raise
        _sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Raises:
        UserError: as `write_atomic`.
        ValueError: the value holds NaN or infinity, which JSON has no words for.
    """
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def whole_folder(folder: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a scratch folder beside `folder` that takes its name at the end, replacing an older one.

    When the body raises, or the folder cannot take its name, the scratch folder is removed and `folder` is
    left as it was. A process killed on the way leaves a hidden scratch folder and never a part of `folder`.

    Args:
        folder: the folder to make.
        durable: wait until the files are on the disk, so that not even a power cut leaves a part; without,
            only a death of the process is survived, which is enough for caches.

    Raises:
        UserError: the place cannot be written to, or the disk is full.
    """
    make_folder(folder.parent)
    scratch = _scratch(folder)
    try:
        with writing(folder):
            scratch.mkdir()
            yield scratch
            if durable:
                for path in scratch.rglob("*"):
                    _sync(path)
                _sync(scratch)
            _take_name(scratch, folder)
            if durable:
                _sync(folder.parent)
    except BaseException as error:
        shutil.rmtree(scratch, ignore_errors=True)
        if isinstance(error, UserError) and (error.where or "").startswith(str(scratch)):
            # The scratch folder is gone, and its name would mean nothing to anyone.
            raise UserError(error.what, where=str(folder), fix=error.fix) from error
        raise


def _take_name(scratch: Path, folder: Path) -> None:
    if not os.path.lexists(folder):
        scratch.replace(folder)
        return
    old = _scratch(folder)
    folder.replace(old)
    try:
        scratch.replace(folder)
    except BaseException:
        old.replace(folder)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


def _scratch(path: Path) -> Path:
    """Return a hidden name beside `path` that nothing else uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}")


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk; Windows lets neither be opened for that."""
    if os.name == "nt" or path.is_symlink():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def inside(root: Path, relative: str) -> Path:
    """Return `root/relative` after checking that it stays inside `root`, links followed.

    Raises:
        UserError: the path leaves the folder, or is no path.
    """
    try:
        path = (root / relative).resolve()
        stays = path.is_relative_to(root.resolve())
    except (ValueError, RuntimeError, OSError) as error:  # a null character, links in a circle
        raise UserError(
            f"the path {relative!r} cannot be followed",
            where=str(root),
            fix="use paths of files inside the folder",
        ) from error
    if not stays:
        raise UserError(
            f"the path '{relative}' leaves the data folder",
            where=str(root),
            fix="use paths inside the folder",
        )
    return path
