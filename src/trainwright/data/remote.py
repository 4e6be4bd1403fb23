"""Files behind URLs: fetched once into the user's cache, with sizes checked and little patience.

http and https are fetched by the standard library; s3, gs and the rest by fsspec and the package that it
names for them.
"""

from __future__ import annotations

import errno
import http.client
import math
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from trainwright.data.cache import prune
from trainwright.foundation.errors import DataError, UserError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.paths import cache_folder, inside, whole_folder, write_json

T = TypeVar("T")

REMOTE = frozenset(
    {"http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hf"}
    | {"webdav", "webhdfs", "hdfs", "ftp", "sftp"}
)
"""Kinds of URL that never open a file of this machine."""

MAX_BYTES = 64 * 2**30
MAX_FILES = 1_000_000
_BLOCK = 1 << 20
_USER = re.compile(r"[^/?#@]*@")
_ODD_USER = re.compile(r"^[^/?#@]*:.*@")
"""A password that should have been percent-encoded."""

_PASSWORD = re.compile(r"[^:]+://[^:/@]*:(.+)@")
_CONNECT_SECONDS = 10.0
_STALL_SECONDS = 60.0
"""A download that gives nothing for so long has broken off."""


def scheme_of(url: str) -> str:
    """Return the kind of a URL in lower case."""
    return url.partition("://")[0].lower()


def public_name(url: str) -> str:
    """Return a URL as messages may show it: without user, password and query, which may hold keys."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    rest = _USER.sub("", rest) if _USER.match(rest) else _ODD_USER.sub("", rest)
    return f"{scheme}://{rest.partition('?')[0].partition('#')[0]}"


def without_password(text: str, url: str) -> str:
    """Return a message with the password of a URL blotted out."""
    found = _PASSWORD.match(url)
    for word in {found[1], unquote(found[1])} if found else set():
        text = text.replace(word, "***")
    return text


def fetch(url: str) -> Path:
    """Return the local copy of a remote file or folder.

    What has not changed since the last time, by the server's own word, is not fetched again.

    Raises:
        DataError: it is not there, the server cannot be reached, or the download broke off.
    """
    if scheme_of(url) in {"http", "https"}:
        return _fetch_http(url)
    return _fetch_fsspec(url)


def download_bytes(url: str, *, max_bytes: int, timeout: float) -> bytes:
    """Return the content of a URL; it is not cached.

    Raises:
        DataError: it cannot be fetched in time, or has more than `max_bytes`.
    """
    if scheme_of(url) in {"http", "https"}:
        with _http(url, timeout) as answer:
            return b"".join(_pieces(answer, url, max_bytes, timeout))
    files, path = _filesystem(url)

    def read() -> bytes:
        with files.open(path, "rb") as stream:
            return b"".join(_pieces(stream, url, max_bytes, timeout))

    with _told(url):
        return _within(timeout, read, url)


def _pieces(stream: Any, url: str, max_bytes: int, seconds: float = math.inf) -> Iterator[bytes]:
    total, began = 0, time.monotonic()
    while block := stream.read(_BLOCK):
        total += len(block)
        if total > max_bytes:
            raise DataError(f"the file is larger than {max_bytes >> 20:,} MB", where=public_name(url))
        if time.monotonic() - began > seconds:
            raise DataError(f"the file did not arrive within {seconds:g} seconds", where=public_name(url))
        yield block


@contextmanager
def _http(url: str, timeout: float) -> Iterator[Any]:
    name = public_name(url)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "trainwright"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            yield answer
    except UserError:  # which is a ValueError too
        raise
    except urllib.error.HTTPError as error:
        raise DataError(
            f"the server answers {error.code} ({error.reason})", where=name, fix="check the address"
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise _unreachable(url, getattr(error, "reason", error)) from error
    except http.client.IncompleteRead as error:
        raise _broken_off(url) from error
    except (http.client.HTTPException, ValueError, UnicodeError) as error:
        raise DataError(f"the address cannot be used ({error})", where=name, fix="check it") from error


def _fetch_http(url: str) -> Path:
    with _http(url, _CONNECT_SECONDS) as answer:
        headers = answer.headers
        version = headers.get("ETag") or headers.get("Last-Modified")
        size = int(headers["Content-Length"]) if (headers.get("Content-Length") or "").isdigit() else None
        name = PurePosixPath(unquote(urlsplit(url).path)).name or "download"
        folder = cache_folder("downloads") / json_hash([url, version, size])
        path = folder / _safe(name)
        if version is None or not (folder / "fetched.json").exists():
            with whole_folder(folder) as scratch:
                _save(answer, scratch / path.name, url, size)
                write_json(scratch / "fetched.json", {"url": public_name(url), "version": version})
    prune(folder)
    folder.touch()
    return path


def _save(stream: Any, path: Path, url: str, size: int | None) -> None:
    num_bytes = 0
    with path.open("wb") as out:
        for block in _pieces(stream, url, MAX_BYTES):
            out.write(block)
            num_bytes += len(block)
    if size is not None and num_bytes != size:
        raise _broken_off(url)


def _fetch_fsspec(url: str) -> Path:
    files, path = _filesystem(url)
    with _told(url):
        info = _within(_CONNECT_SECONDS * 2, lambda: files.info(path), url)
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
                        _save(_Patient(stream, url), target, url, entry.get("size"))
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
)


def _version(entry: dict[str, Any]) -> str:
    """Return what changes when a remote file does, as far as its file system says."""
    words = (
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
    return repr([(word, entry[word]) for word in words if word in entry])


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    with _told(url):
        files, path = fsspec.core.url_to_fs(url)
        return files, path


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
        raise _unreachable(url, error) from error
    except Exception as error:  # clients of file systems raise errors of their own
        raise _unreachable(url, error) from error


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


def _safe(name: str) -> str:
    return name if name not in {"", ".", ".."} and "\0" not in name else "download"


def _unreachable(url: str, reason: object) -> DataError:
    text = (str(reason).strip().splitlines() or ["no reason given"])[0].rstrip(".")
    return DataError(
        f"it cannot be reached ({without_password(text, url)})",
        where=public_name(url),
        fix="check the address and the network",
    )


def _broken_off(url: str) -> DataError:
    return DataError("the download broke off", where=public_name(url), fix="run it again")
