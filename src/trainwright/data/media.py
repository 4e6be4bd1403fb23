"""Media values to bytes: a path inside the data folder, a URL, or the bytes themselves."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath

from trainwright.data.remote import download_bytes
from trainwright.data.urls import REMOTE, public_name, redacted, scheme_of
from trainwright.foundation.errors import DataError

MAX_BYTES = 256 * 2**20
"""No single image or sound may be larger."""

TIMEOUT_SECONDS = 20.0


def open_media(
    value: str | bytes, root: str | None, *, max_bytes: int = MAX_BYTES, timeout: float = TIMEOUT_SECONDS
) -> bytes:
    """Return the content of one media value.

    Threads may call it at once.

    Args:
        value: file content, a path, or an http, https, s3, gs, … URL.
        root: folder or URL that relative paths start from, and that no path may leave, links followed.
            None means that the values are the calling program's own: paths are taken as they are,
            relative ones from the working folder. Whoever passes on the values of strangers gives a root.
        max_bytes: refuse more than this.
        timeout: seconds to wait for a server.

    Raises:
        DataError: the file is missing, empty, too large, cannot be read or lies outside `root`.
    """
    if isinstance(value, bytes):
        content = value
    elif "://" in value:
        content = _fetch(value, root, max_bytes, timeout)
    elif root is not None and "://" in root:
        content = _fetch(_below(root, value), root, max_bytes, timeout)
    else:
        content = _read(value, root, max_bytes)
    if not content:
        raise DataError("the file is empty", where=_shown(value))
    if len(content) > max_bytes:
        raise _too_large(value, max_bytes)
    return content


def _read(value: str, root: str | None, max_bytes: int) -> bytes:
    try:
        path = Path(value).expanduser() if root is None else _inside(root, value)
        size = -1 if path.is_dir() else path.stat().st_size
        content = path.read_bytes() if 0 <= size <= max_bytes else b""
    except DataError:  # which is a ValueError too
        raise
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=value) from error
    except (OSError, ValueError) as error:  # a path may hold a zero byte
        raise DataError("the file cannot be read", where=value) from error
    if size < 0:
        raise DataError("this is a folder, not a file", where=value)
    if size > max_bytes:
        raise _too_large(value, max_bytes)
    return content


def _inside(root: str, value: str) -> Path:
    """Return a path after checking that it stays inside the root, links followed."""
    folder = _resolved(Path(root).expanduser().absolute())  # the working folder may change between calls
    path = (folder / value).resolve()
    if not path.is_relative_to(folder):
        raise DataError(
            f"the path '{value}' leaves the data folder", where=root, fix="use paths inside the folder"
        )
    return path


@lru_cache(maxsize=64)
def _resolved(root: Path) -> Path:
    return root.resolve()


def _below(root: str, value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"the path '{value}' leaves the data folder",
            where=public_name(root),
            fix="use paths inside the folder",
        )
    return f"{root.rstrip('/')}/{value}"


def _fetch(url: str, root: str | None, max_bytes: int, timeout: float) -> bytes:
    """Fetch a URL; one that would open local files is no way round the data folder."""
    scheme = scheme_of(url)
    if scheme not in REMOTE and (root is None or scheme != scheme_of(root)):
        raise DataError(f"'{scheme}://' URLs are not opened", where=_shown(url), fix="give a path")
    return download_bytes(url, max_bytes=max_bytes, timeout=timeout)


def _shown(value: str | bytes) -> str:
    return redacted(value) if isinstance(value, str) else f"{len(value):,} bytes"


def _too_large(value: str | bytes, max_bytes: int) -> DataError:
    return DataError(f"the file is larger than {max_bytes >> 20} MB", where=_shown(value))
