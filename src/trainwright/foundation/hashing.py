"""Content hashes: what names caches, data fingerprints and the files of a model folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; the file is read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_hash(value: Any) -> str:
    """Return 32 hexadecimal digits that name a JSON-able value; key order does not matter.

    Raises:
        TypeError: the value is no JSON. Its `str` would not do: that of a set or of an object without
            its own changes from process to process, and a cache would never be found again.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
