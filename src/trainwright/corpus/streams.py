"""Files, compressed or not, as streams of bytes that neither explode nor lose what comes before damage."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainwright.data.archive import MAX_RATIO, RATIO_FROM_BYTES
from trainwright.foundation.errors import DataError

BLOCK = 1 << 18


def _open_zstd(path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstd,
}


def is_compressed(path: Path) -> bool:
    """Return whether a file is one compressed stream, by its ending."""
    return path.suffix.lower() in _OPENERS


def inner_suffix(path: Path) -> str:
    """Return the ending below that of compression: `.jsonl` for `a.jsonl.gz`."""
    return Path(path.stem).suffix.lower() if is_compressed(path) else path.suffix.lower()


class Stream(io.RawIOBase):
    """Bytes of a file, unpacked.

    Damage ends it like the end of the file, so that what lies before it is not lost; `check` tells.

    Args:
        path: the file.
        name: what messages call it.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        opener = _OPENERS.get(path.suffix.lower())
        self._name, self._packed = name, path.stat().st_size
        self._bounded = opener is not None
        self._file: Any = path.open("rb", buffering=0) if opener is None else opener(path)
        # `read1` gives what one step unpacks; `read` would lose all that comes before damage.
        self._read = getattr(self._file, "read1", self._file.read)
        self._given = 0
        self._damage: DataError | None = None

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return whether places in it can be gone to."""
        return not self._bounded

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place."""
        return int(self._file.tell())

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, and return how much of it."""
        if self._damage is not None:
            return 0
        try:
            block = self._read(min(len(buffer), BLOCK))
        except (EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            return self._end(error)
        except OSError as error:
            if error.errno is not None:
                raise
            return self._end(error)  # bz2, gzip and zstd report damage so
        self._given += len(block)
        if self._bounded and self._is_bomb():
            self._damage = bomb(self._name)
            return 0
        buffer[: len(block)] = block
        return len(block)

    def _end(self, error: Exception) -> int:
        self._damage = DataError(
            "the file is cut off or damaged", where=self._name, fix="copy or download it again"
        )
        self._damage.__cause__ = error
        return 0

    def _is_bomb(self) -> bool:
        # However much it unpacks to: nothing of it is held, and dumps of hundreds of gigabytes are honest.
        return self._given > max(RATIO_FROM_BYTES, MAX_RATIO * self._packed)

    def check(self) -> None:
        """Raise what ended the stream early.

        Raises:
            DataError: the file is cut off, damaged, or a bomb.
        """
        if self._damage is not None:
            raise self._damage

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def bomb(name: str) -> DataError:
    """Return the sentence for a file that unpacks to far more than it is."""
    return DataError(
        f"the file looks like a zip bomb: it unpacks to more than {MAX_RATIO} times its size",
        where=name,
        fix="unpack it yourself if you trust it",
    )


def cannot_be_read(name: str, error: Exception) -> DataError:
    """Return the sentence for a file that ends in an error of the disk, or of what reads it.

    Args:
        name: what messages call the file.
        error: what it ended in; its text may name paths of this machine, and is left out.
    """
    if isinstance(error, PermissionError):
        return DataError("the file cannot be read", where=name, fix="check its permissions")
    why = error.strerror if isinstance(error, OSError) else None
    why = why or type(error).__name__
    return DataError(f"the file cannot be read to its end ({why})", where=name, fix="leave it out or mend it")


@contextmanager
def opened(path: Path, name: str) -> Iterator[io.BufferedReader[Stream]]:
    """Open a file, unpacked, and check at the end of the body that nothing was cut off.

    Raises:
        DataError: the file cannot be read, is cut off or damaged, or looks like a bomb.
    """
    try:
        raw = Stream(path, name)
    except OSError as error:
        raise DataError("the file cannot be read", where=name, fix="check its permissions") from error
    with io.BufferedReader(raw, buffer_size=BLOCK) as stream:
        yield stream
        raw.check()


def head_of(path: Path, name: str, size: int) -> bytes:
    """Return the first bytes of a file, unpacked.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        raw = Stream(path, name)
    except OSError as error:
        raise DataError("the file cannot be read", where=name, fix="check its permissions") from error
    with io.BufferedReader(raw, buffer_size=BLOCK) as stream:
        head = stream.read(size)
        if not head:
            raw.check()
        return head
