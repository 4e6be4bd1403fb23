"""Hashes of content: equal rows give an equal fingerprint, wherever and in whatever chunks they were read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

_WHOLE_BYTES = 1 << 30
"""Files up to this size are hashed whole."""

_BLOCK = 1 << 20
_BLOCKS = 64


class Fingerprint:
    """A hash of rows that arrive in chunks of one schema; where the chunks are cut makes no difference."""

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, Any]] = {}
        self._kinds: dict[str, str] = {}

    def update(self, frame: pl.DataFrame) -> None:
        """Add rows behind those before."""
        for series in frame:
            self._kinds[series.name] = str(series.dtype)
            self._feed(self._columns.setdefault(series.name, {}), "", series)

    def hexdigest(self) -> str:
        """Return 32 hexadecimal digits."""
        whole = _hasher()
        for name, streams in self._columns.items():
            whole.update(repr((name, self._kinds[name])).encode())
            for path in sorted(streams):
                whole.update(repr((path, streams[path].hexdigest())).encode())
        return str(whole.hexdigest())

    def _feed(self, streams: dict[str, Any], path: str, series: pl.Series) -> None:
        """Hash nulls, lengths and values as streams of their own, so that chunks can be cut anywhere."""

        def put(what: str, values: Any) -> None:
            streams.setdefault(path + what, _hasher()).update(values)

        put("nulls", np.ascontiguousarray(series.is_null().to_numpy()).view(np.uint8))
        kind = series.dtype
        if isinstance(kind, pl.Struct):
            for field in kind.fields:
                self._feed(streams, f"{path}{field.name}.", series.struct.field(field.name))
            return
        if isinstance(kind, pl.List | pl.Array):
            if isinstance(kind, pl.List):
                put("lengths", series.list.len().fill_null(0).cast(pl.UInt32).to_numpy())
            flat = series.drop_nulls().explode(empty_as_null=False)
            self._feed(streams, path + "items.", flat)
            return
        if kind in {pl.String, pl.Binary}:
            filled = series.cast(pl.Binary).fill_null(b"").to_arrow(compat_level=pl.CompatLevel.oldest())
            _, ends, data = filled.buffers()
            offsets = np.frombuffer(ends, dtype=np.int64)[filled.offset : filled.offset + len(filled) + 1]
            put("lengths", np.diff(offsets))
            if data is not None and len(offsets) > 0:
                put("values", memoryview(data)[offsets[0] : offsets[-1]])
            return
        physical = series.to_physical() if kind.is_temporal() else series
        physical = physical.cast(pl.UInt8) if kind == pl.Boolean else physical
        put("values", np.ascontiguousarray(physical.fill_null(0).to_numpy()))


def _hasher() -> Any:
    return hashlib.blake2b(digest_size=16)


def frame_fingerprint(frame: pl.DataFrame) -> str:
    """Return the fingerprint of a frame's content."""
    fingerprint = Fingerprint()
    fingerprint.update(frame)
    return fingerprint.hexdigest()


def file_fingerprint(path: Path) -> str:
    """Return the fingerprint of a file.

    Up to 1 GiB it is a hash of all bytes. Beyond, it is a hash of the size, the time of the last change and
    64 evenly spaced blocks of 1 MiB, the last of which holds a Parquet file's footer with the statistics
    of every row group: a change is seen, but a copy of the file counts as other content.
    """
    status = path.stat()
    digest = _hasher()
    with path.open("rb") as stream:
        if status.st_size <= _WHOLE_BYTES:
            while block := stream.read(_BLOCK):
                digest.update(block)
            return str(digest.hexdigest())
        digest.update(repr((status.st_size, status.st_mtime_ns)).encode())
        for start in np.linspace(0, status.st_size - _BLOCK, _BLOCKS).astype(np.int64):
            stream.seek(int(start))
            digest.update(stream.read(_BLOCK))
    return str(digest.hexdigest())
