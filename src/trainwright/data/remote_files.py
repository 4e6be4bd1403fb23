"""s3, gs and the other file systems of fsspec, with less patience than their clients have."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trainwright.data.cache import prune
from trainwright.data.transfer import CONNECT_SECONDS, MAX_BYTES, pieces, save, unreachable
from trainwright.data.urls import public_name, scheme_of
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.paths import cache_folder, inside, whole_folder, write_json

T = TypeVar("T")

MAX_FILES = 1_000_000
_STALL_SECONDS = 60.0
"""A download that gives nothing for so long has broken off."""


def fetch_files(url: str) -> Path:
    """Return the local copy of a file or folder, fetched again only when the file system says it changed.

    Raises:
        DataError: it is not there, is too large, the server cannot be reached, or the download broke off.
    """
    files, path = _filesystem(url)
    with _told(url):
        info = _within(CONNECT_SECONDS * 2, lambda: files.info(path), url)
        is_folder = info["type"] == "directory"
        base = info["name"].rstrip("/") if is_folder else info["name"].rpartition("/")[0]
        found: dict[str, Any] = {info["name"]: info}
        if is_folder:
            found = _within(_STALL_SECONDS, lambda: files.find(path, detail=True), url)
        _check_sizes(found, url)
        versions = sorted((name, _version(entry)) for name, entry in found.items())
        folder = cache_folder("downloads") / json_hash([url, versions])
        if not (folder / "fetched.json").exists():
            with whole_folder(folder) as scratch:
                (scratch / "content").mkdir()
                for name, entry in found.items():
                    target = inside(scratch / "content", name.removeprefix(base).lstrip("/"))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with _within(_STALL_SECONDS, partial(files.open, name, "rb"), url) as stream:
                        save(_Patient(stream, url), target, url, entry.get("size"))
                write_json(scratch / "fetched.json", {"url": public_name(url)})
    prune(folder)
    folder.touch()
    content = folder / "content"
    return content if is_folder else next(content.iterdir())


def _check_sizes(found: dict[str, Any], url: str) -> None:
    total = sum(entry.get("size") or 0 for entry in found.values())
    if len(found) > MAX_FILES or total > MAX_BYTES:
        raise DataError(
            f"this is more than {MAX_BYTES >> 30} GB or {MAX_FILES:,} files",
            where=public_name(url),
            fix="give fewer files, or copy them to this machine",
        )


_VERSION_WORDS = (
    "size",
    "ETag",
    "etag",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "created",
    "md5Hash",
    "checksum",
)


def _version(entry: dict[str, Any]) -> str:
    """Return what changes when a remote file does, as far as its file system says."""
    return repr([(word, entry[word]) for word in _VERSION_WORDS if word in entry])


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    with _told(url):
        files, path = fsspec.core.url_to_fs(url)
        return files, path


def read_file(url: str, *, max_bytes: int, timeout: float) -> bytes:
    """Return the content of one file.

    Raises:
        DataError: it cannot be fetched in time, or has more than `max_bytes`.
    """
    files, path = _filesystem(url)

    def read() -> bytes:
        with files.open(path, "rb") as stream:
            return b"".join(pieces(stream, url, max_bytes, timeout))

    with _told(url):
        return _within(timeout, read, url)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into one sentence."""
    name = public_name(url)
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"'{scheme_of(url)}://' needs a package that is not installed",
            where=name,
            fix=reason[:1].lower() + reason[1:],
        ) from error
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=name, fix="check the address") from error
    except PermissionError as error:
        raise DataError("the server refuses access", where=name, fix="check the credentials") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        raise unreachable(url, error) from error
    except Exception as error:  # clients of file systems raise errors of their own
        raise unreachable(url, error) from error


def _within(seconds: float, work: Callable[[], T], url: str) -> T:
    """Return what `work` returns, or give up after some seconds; its own time-outs may be minutes."""
    result: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failed.append(error)

    # A daemon: a thread that hangs must not keep the program from ending.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not result:
        raise DataError(
            f"there is no answer within {seconds:g} seconds",
            where=public_name(url),
            fix="check the address and the network",
        )
    return result[0]


class _Patient:
    """A stream whose every read must give something before the download counts as broken off."""

    def __init__(self, stream: Any, url: str) -> None:
        self._stream = stream
        self._url = url

    def read(self, size: int) -> bytes:
        return _within(_STALL_SECONDS, lambda: bytes(self._stream.read(size)), self._url)
