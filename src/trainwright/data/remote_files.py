"""s3, gs and the other file systems of fsspec, with less patience than their clients have."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trainwright.data.cache import CACHE_LIMIT, cache_bytes, prune
from trainwright.data.ranged import ChecksumError, CutOffError, download
from trainwright.data.retry import NoAnswerError, lacks_credentials, retried
from trainwright.data.transfer import CONNECT_SECONDS, broken_off, pieces, save, unreachable
from trainwright.data.urls import public_name, scheme_of
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import cache_folder, inside, write_json, writing

T = TypeVar("T")

MAX_FILES = 1_000_000
_STALL_SECONDS = 60.0
"""A server that gives nothing for so long is asked again."""
_ONE_TRY = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
"""What tells S3 clients not to try again by themselves, which would multiply with our own attempts."""
_AT_ONCE = 8
"""Files that are fetched side by side: one connection seldom fills a line."""
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def fetch_files(url: str) -> Path:
    """Return the local copy of a file, a folder, or the files of a pattern (`*`, `{00..07}`).

    Files come side by side, range by range. What has arrived when a download fails or is killed is not asked
    for again, as long as the file system says that nothing changed.

    Raises:
        DataError: it is not there, is too large, the server cannot be reached, or the download broke off.
    """
    files, path = _filesystem(url)
    with _told(url):
        found, base, is_one = retried(lambda: _found(files, path, url), url)
        _check_sizes(found, url)
        versions = sorted((name, _version(entry)) for name, entry in found.items())
        folder = cache_folder("downloads") / json_hash([url, versions])
        content, marker = folder / "content", folder / "fetched.json"
        if not marker.exists():
            name = public_name(url)
            with locked(
                folder / "lock",
                busy=f"another process is fetching {name}",
                fix="wait for it",
                wait=lambda holder: None,
            ):
                if not marker.exists():
                    with writing(folder):
                        _fetch_all(files, found, base, content, url)
                    files.invalidate_cache()  # it may answer from the listing it made before
                    now, _, _ = retried(lambda: _found(files, path, url), url)
                    if sorted((one, _version(entry)) for one, entry in now.items()) != versions:
                        shutil.rmtree(folder)
                        raise DataError("it changed while it was fetched", where=name, fix="run it again")
                    write_json(marker, {"url": name})
    prune(folder)
    folder.touch()
    return next(content.iterdir()) if is_one else content


def _found(files: Any, path: str, url: str) -> tuple[dict[str, Any], str, bool]:
    """Return path → what the file system says of each file, the folder they lie in, and whether it is one."""
    if "*" in path or _RANGE.search(path):
        found: dict[str, Any] = {}
        for pattern in spread(path):
            found |= _within(_STALL_SECONDS, partial(files.glob, pattern, detail=True))
        found = {name: entry for name, entry in found.items() if entry["type"] == "file"}
        if not found:
            raise DataError("no file is called so", where=public_name(url), fix="check the pattern")
        return found, os.path.commonpath([name.rpartition("/")[0] for name in found]), False
    info = _within(CONNECT_SECONDS * 2, lambda: files.info(path))
    if info["type"] != "directory":
        return {info["name"]: info}, info["name"].rpartition("/")[0], True
    found = _within(_STALL_SECONDS, lambda: files.find(path, detail=True))
    return found, info["name"].rstrip("/"), False


def spread(pattern: str) -> list[str]:
    """Return the patterns that `{00..07}` stands for; numbers keep the width of the first.

    Raises:
        DataError: they are too many.
    """
    found = _RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < MAX_FILES:
        raise DataError("this range of files is empty or too long", where=found[0], fix="check the pattern")
    before, behind = pattern[: found.start()], pattern[found.end() :]
    numbers = (str(number).zfill(len(found[1])) for number in range(first, last + 1))
    return [one for number in numbers for one in spread(f"{before}{number}{behind}")]


def _fetch_all(files: Any, found: Mapping[str, Any], base: str, content: Path, url: str) -> None:
    """Download files side by side; the first that fails for good stops the others, which keep their parts."""
    stop = threading.Event()
    content.mkdir(parents=True, exist_ok=True)
    _check_room(found, content, url)

    def fetch_one(name: str, entry: Mapping[str, Any]) -> None:
        target = inside(content, name.removeprefix(base).lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)

        def read(start: int, end: int) -> bytes:
            return _within(_STALL_SECONDS, lambda: bytes(files.cat_file(name, start=start, end=end)))

        def attempt() -> None:
            if entry.get("size") is None:
                with _within(_STALL_SECONDS, partial(files.open, name, "rb")) as stream:
                    save(_Patient(stream), target, url, None)
            else:
                tag = entry.get("ETag") or entry.get("etag")
                download(read, target, size=int(entry["size"]), tag=tag, stopped=stop.is_set)

        try:
            if not stop.is_set():
                retried(attempt, name)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as pool:
        waiting = [pool.submit(fetch_one, name, entry) for name, entry in sorted(found.items())]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _check_sizes(found: Mapping[str, Any], url: str) -> None:
    total, most = sum(entry.get("size") or 0 for entry in found.values()), cache_bytes()
    if len(found) > MAX_FILES:
        raise DataError(
            f"these are more than {MAX_FILES:,} files",
            where=public_name(url),
            fix="give fewer files, or pack them into tar files or Parquet",
        )
    if total > most:
        raise DataError(
            f"this is {total / 2**30:,.1f} GB, more than the {most / 2**30:,.0f} GB that the cache may take",
            where=public_name(url),
            fix=f"set {CACHE_LIMIT} to as many GB as it may take, or give fewer files",
        )


def _check_room(found: Mapping[str, Any], content: Path, url: str) -> None:
    """Refuse what the disk cannot hold before the first byte arrives."""
    total = sum(entry.get("size") or 0 for entry in found.values())
    have = sum(file.stat().st_size for file in content.rglob("*") if file.is_file())
    free = shutil.disk_usage(content).free
    if total - have > free:
        raise DataError(
            f"{(total - have) / 2**30:,.1f} GB are to come, and the disk has {free / 2**30:,.1f} GB left",
            where=public_name(url),
            fix="make room, or let TRAINWRIGHT_CACHE name a folder on another disk",
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

    amazon = scheme_of(url) in {"s3", "s3a"} and "::" not in url
    with _told(url):
        files, path = fsspec.core.url_to_fs(url, **_ONE_TRY if amazon else {})
        if amazon:
            files.retries = 1
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
        return _within(timeout, read)


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
    except NoAnswerError as error:
        raise DataError(
            f"there is no answer within {error} seconds", where=name, fix="check the address and the network"
        ) from error
    except (CutOffError, ChecksumError) as error:
        raise broken_off(url) from error
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=name, fix="check the address") from error
    except PermissionError as error:
        raise DataError("the server refuses access", where=name, fix="check the credentials") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        raise unreachable(url, error) from error
    except Exception as error:  # clients of file systems raise errors of their own
        if lacks_credentials(error):
            raise DataError("there are no credentials for it", where=name, fix="set them up") from error
        raise unreachable(url, error) from error


def _within(seconds: float, work: Callable[[], T]) -> T:
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
        raise NoAnswerError(f"{seconds:g}")
    return result[0]


class _Patient:
    """A stream whose every read must give something before the download counts as broken off."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return _within(_STALL_SECONDS, lambda: bytes(self._stream.read(size)))
