"""Files of an object store, fetched side by side: each range once, unless it fails."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from trainwright.data import patience
from trainwright.data.patience import Patient, within
from trainwright.data.ranged import ChecksumError, arrived, download, part_of
from trainwright.data.remote_errors import told
from trainwright.data.retry import retried
from trainwright.data.transfer import save
from trainwright.data.urls import public_name
from trainwright.foundation.errors import DataError
from trainwright.foundation.hashing import json_hash
from trainwright.foundation.paths import inside, write_json

Entries = Mapping[str, Mapping[str, Any]]
"""Path in the store → what its file system says of the file."""

_AT_ONCE = 8
"""Files that are fetched side by side: one connection seldom fills a line."""
_VERSION_WORDS = (
    *("mtime", "LastModified", "last_modified", "updated", "created", "modified", "modify"),
    *("modificationTime", "md5Hash", "checksum", "content_md5"),
)


def version(entry: Mapping[str, Any]) -> str | None:
    """Return what changes when a file of a store does; None where its file system tells only the size."""
    tag = _tag(entry)  # other words are said in other ways by a listing and by a question about one file
    words = [tag] if tag else [(word, entry[word]) for word in _VERSION_WORDS if entry.get(word)]
    return repr([entry.get("size"), *words]) if words else None


def _tag(entry: Mapping[str, Any]) -> str | None:
    return entry.get("ETag") or entry.get("etag") or None


def fetch_shards(files: Any, found: Entries, base: str, content: Path, *, url: str) -> None:
    """Download files into a folder; the first that fails for good stops the others, which keep their parts.

    Args:
        files: the file system of the store.
        found: which files.
        base: the folder in the store that `content` stands for.
        content: where they go; what is there is not asked for again.
        url: what the user named.

    Raises:
        DataError: a file cannot be fetched, and why.
    """
    stop = threading.Event()
    parts = {name for name in found if name.endswith(".part") and name.removesuffix(".part") in found}
    if parts:
        both = min(parts).rpartition("/")[2]
        raise DataError(
            f"'{both.removesuffix('.part')}' and '{both}' get into each other's way",
            where=public_name(url),
            fix="rename one of them",
        )

    def fetch_one(name: str, entry: Mapping[str, Any]) -> None:
        target = target_of(content, name, base)
        target.parent.mkdir(parents=True, exist_ok=True)

        def read(start: int, end: int) -> bytes:
            return within(patience.STALL_SECONDS, lambda: bytes(files.cat_file(name, start=start, end=end)))

        def attempt() -> None:
            if stop.is_set():
                return
            if entry.get("size") is None:
                with within(patience.STALL_SECONDS, partial(files.open, name, "rb")) as stream:
                    save(Patient(stream), part_of(target), url, None)  # `target` may be linked to another
                part_of(target).replace(target)
                return
            download(
                read,
                target,
                size=int(entry["size"]),
                tag=_tag(entry),
                is_digest=partial(_tag_is_digest, files, name),
                stopped=stop.is_set,
            )

        def persist() -> None:
            retried(attempt, name, progress=partial(arrived, target), sleep=stop.wait)

        try:
            with told(url if "::" in url else files.unstrip_protocol(name)):
                try:
                    persist()
                except ChecksumError:
                    persist()  # once more from the start: the network may have erred, but hardly twice
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


def target_of(content: Path, name: str, base: str) -> Path:
    """Return where a file of the store lies on this machine."""
    return inside(content, name.removeprefix(base).lstrip("/"))


def _tag_is_digest(files: Any, name: str) -> bool:
    """Return whether an ETag of 32 digits is the MD5 of the content.

    In S3 it is none where the content is encrypted with a key of KMS or of the customer (S3 API reference,
    'Object').
    """
    if not hasattr(files, "call_s3"):
        return True
    bucket, key, _ = files.split_path(name)
    head = retried(
        lambda: within(patience.STALL_SECONDS, lambda: files.call_s3("head_object", Bucket=bucket, Key=key)),
        name,
    )
    return head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head


def take_over(folder: Path, found: Entries, base: str) -> None:
    """Write down which versions of which files a folder is for, and take from the folders beside it what they
    have of these: where one file of a set has changed, the others are not fetched again.

    Args:
        folder: holds `content`.
        found, base: as for `fetch_shards`.
    """
    name = f"versions-{json_hash([base.lstrip('/').partition('/')[0]])}.json"
    mine = {one: known for one, entry in found.items() if (known := version(entry)) is not None}
    content = folder / "content"
    for other in sorted(folder.parent.glob(f"*/{name}")):
        with suppress(FileNotFoundError):  # it may be removed meanwhile
            theirs = json.loads(other.read_text(encoding="utf-8"))
            same = [one for one, known in mine.items() if theirs["files"].get(one) == known]
            for one in same if other.parent != folder else []:
                source = target_of(other.parent / "content", one, theirs["base"])
                _take(source, target_of(content, one, base))
    write_json(folder / name, {"base": base, "files": mine})


def _take(source: Path, target: Path) -> None:
    """Link a whole file, or copy what has arrived of one: it only ever grows."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
        part_of(target).unlink(missing_ok=True)
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            if part_of(source).stat().st_size > arrived(target):
                shutil.copyfile(part_of(source), part_of(target))
    except OSError:  # a disk without links
        shutil.copyfile(source, part_of(target))
        part_of(target).replace(target)
