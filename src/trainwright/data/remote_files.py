"""s3, gs and the other file systems of fsspec, with less patience than their clients have."""

from __future__ import annotations

import glob
import secrets
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from trainwright.data import patience
from trainwright.data.cache import CACHE_LIMIT, cache_bytes, prune
from trainwright.data.patience import within
from trainwright.data.patterns import MAX_FILES, fixed_part, has_range, spread, widened
from trainwright.data.remote_errors import told
from trainwright.data.retry import retried
from trainwright.data.shards import Entries, fetch_shards, take_over, target_of, version
from trainwright.data.transfer import CONNECT_SECONDS, pieces
from trainwright.data.urls import public_name, scheme_of
from trainwright.foundation.errors import DataError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.leases import use
from trainwright.foundation.locks import locked
from trainwright.foundation.paths import cache_folder, write_json, writing

_ONE_TRY = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
"""What tells S3 clients not to try again by themselves, which would multiply with our own attempts."""


def fetch_files(url: str) -> Path:
    """Return the local copy of a file, a folder, or the files of a pattern (`*`, `{00..07}`).

    Files come side by side, range by range. What has arrived when a download fails or is killed is not asked
    for again, as long as the file system says that nothing changed.

    Raises:
        DataError: it is not there, is too large, the server cannot be reached, or the download broke off.
    """
    files, path = _filesystem(url)
    with told(url):
        found, base, is_one = _look(files, path, url)
        _check_sizes(found, url)
        folder = cache_folder("downloads") / _key(url, found)
        use(folder)
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
                        content.mkdir(exist_ok=True)
                        take_over(folder, found, base)
                        _make_room(folder, found, url)
                        fetch_shards(files, found, base, content, url=url)
                    now, _, _ = _look(files, path, url)
                    _check_same(found, now, base, content, url)
                    write_json(marker, {"url": name})
    prune(folder)
    folder.touch()
    return target_of(content, next(iter(found)), base) if is_one else content


def _key(url: str, found: Entries) -> str:
    """Return what names the local copy: another each time where the store cannot tell what has changed."""
    versions = {name: version(entry) for name, entry in found.items()}
    once = [secrets.token_hex(8)] if None in versions.values() else []
    return json_hash([url, sorted(versions.items()), *once])


def _look(files: Any, path: str, url: str) -> tuple[Entries, str, bool]:
    """Return the files, the folder in the store that they lie below, and whether it is one named file."""

    def look() -> tuple[Entries, str, bool]:
        files.invalidate_cache()  # else it may answer from a listing it made before
        if "*" in path or has_range(path):
            return _matching(files, path, url), fixed_part(path), False
        try:
            info = within(CONNECT_SECONDS * 2, lambda: files.info(path))
        except FileNotFoundError:
            if not glob.has_magic(path):  # a name may hold ? and [ as they are
                raise
            return _matching(files, path, url), fixed_part(path), False
        if info["type"] != "directory":
            return {info["name"]: info}, info["name"].rpartition("/")[0], True
        found = within(patience.STALL_SECONDS, lambda: files.find(path, detail=True))
        # Some tools mark a folder by an empty file of its name.
        return {name: one for name, one in found.items() if name[-1] != "/"}, info["name"].rstrip("/"), False

    return retried(look, url)


def _matching(files: Any, path: str, url: str) -> Entries:
    """Return the files of a pattern.

    Raises:
        DataError: there is none, or one of a range is not there.
    """
    named = not glob.has_magic(path)
    found: dict[str, Any] = {}
    missing: list[str] = []
    # All names of a range are found by one listing; with a pattern besides, each of them needs its own.
    for pattern in [widened(path)] if named else spread(path):
        matches = within(patience.STALL_SECONDS, partial(files.glob, pattern, detail=True))
        fitting = {name: entry for name, entry in matches.items() if entry["type"] == "file"}
        missing += [] if fitting or named else [pattern]
        found |= fitting
    if named:
        wanted = spread(path)
        missing = [name for name in wanted if name not in found]
        found = {name: found[name] for name in wanted if name in found}
    if not found:
        raise DataError("no file is called so", where=public_name(url), fix="check the pattern")
    if missing:
        raise DataError(
            f"{len(missing):,} of the range are not there (the first: {missing[0].rpartition('/')[2]})",
            where=public_name(url),
            fix="check the range, or bring what is missing",
        )
    return found


def _check_sizes(found: Entries, url: str) -> None:
    total, most = _bytes(found), cache_bytes()
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


def _make_room(folder: Path, found: Entries, url: str) -> None:
    """Remove what was used longest ago; refuse what the disk cannot hold before the first byte arrives."""
    have = sum(file.stat().st_size for file in (folder / "content").rglob("*") if file.is_file())
    coming = max(_bytes(found) - have, 0)
    prune(folder, coming=coming)
    free = shutil.disk_usage(folder).free
    if coming > free:
        raise DataError(
            f"{coming / 2**30:,.1f} GB are to come, and the disk has {free / 2**30:,.1f} GB left",
            where=public_name(url),
            fix="make room, or let TRAINWRIGHT_CACHE name a folder on another disk",
        )


def _bytes(found: Entries) -> int:
    return sum(entry.get("size") or 0 for entry in found.values())


def _check_same(before: Entries, now: Entries, base: str, content: Path, url: str) -> None:
    """Remove files that changed in the store while they arrived: they may be half the one, half the other."""
    same = {name for name, entry in before.items() if name in now and version(entry) == version(now[name])}
    for name in before.keys() - same:
        target_of(content, name, base).unlink()
    if len(same) < max(len(before), len(now)):
        raise DataError("it changed while it was fetched", where=public_name(url), fix="run it again")


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    amazon = scheme_of(url) in {"s3", "s3a"} and "::" not in url
    with told(url):
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

    with told(url):
        return within(timeout, read)
