"""Files behind URLs: fetched once into the user's cache, with sizes checked and little patience.

http and https are fetched by the standard library; s3, gs and the rest by fsspec and the package that it
names for them.
"""

from __future__ import annotations

from pathlib import Path

from trainwright.data.transfer import pieces
from trainwright.data.urls import scheme_of

_WEB = {"http", "https"}


def fetch(url: str) -> Path:
    """Return the local copy of a remote file or folder.

    What has not changed since the last time, by the server's own word, is not fetched again.

    Raises:
        DataError: it is not there, the server cannot be reached, or the download broke off.
    """
    if scheme_of(url) in _WEB:
        from trainwright.data.remote_http import fetch_http

        return fetch_http(url)
    from trainwright.data.remote_files import fetch_files

    return fetch_files(url)


def download_bytes(url: str, *, max_bytes: int, timeout: float) -> bytes:
    """Return the content of a URL; it is not cached.

    Raises:
        DataError: it cannot be fetched in time, or has more than `max_bytes`.
    """
    if scheme_of(url) in _WEB:
        from trainwright.data.remote_http import opened_http

        with opened_http(url, timeout) as answer:
            return b"".join(pieces(answer, url, max_bytes, timeout))
    from trainwright.data.remote_files import read_file

    return read_file(url, max_bytes=max_bytes, timeout=timeout)
