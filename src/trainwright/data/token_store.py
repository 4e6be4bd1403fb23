"""Tokens on disk: flat files of ids that are mapped into memory, written so that a kill loses no work.

A journal says how much of each file is whole and how many rows of the table are in it. Whoever opens a store
that is not finished cuts the files there and goes on with the next row; one that lacks something of what its
journal says is written anew.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from trainwright.foundation.paths import write_json, writing

Array = npt.NDArray[Any]

_JOURNAL = "tokens.json"
_WORDS = {"done", "rows_done", "bytes", "kinds", "broken", "counts"}
_COMMIT_TOKENS = 1 << 24
"""Tokens after which what was written is declared whole: about every twenty seconds of work."""

_WIDE = np.dtype("<i8")
_FLAG = np.dtype("u1")


@dataclass
class TokenRows:
    """Some samples as tokens, end to end.

    Attributes:
        ids: int [tokens].
        trained: whether a token is learned, bool [tokens]; None where all are.
        lengths: tokens of each part, int64 [parts]; a sample is one part, or two (see `parts_of`).
        rows: row of the table that each sample is from, int64 [samples].
        sizes: bytes of each sample's text in UTF-8, int64 [samples].
        characters: of each sample's text, int64 [samples].
        broken: row → why nothing can be learned from it.
        counts: what happened to how many, to be said once.
    """

    ids: Array
    trained: Array | None
    lengths: Array
    rows: Array
    sizes: Array
    characters: Array
    broken: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tokens:
    """All samples as tokens.

    Attributes:
        ids: uint16 or uint32 [tokens], perhaps on disk.
        trained: whether a token is learned, uint8 [tokens]; None where all are.
        offsets: where each part begins, int64 [parts + 1].
        rows: row of the table that each sample is from, int64 [samples].
        sizes, characters: of each sample's text, int64 [samples]; bytes are those of UTF-8.
        broken: row → why nothing can be learned from it.
        counts: what happened to how many.
    """

    ids: Array
    trained: Array | None
    offsets: Array
    rows: Array
    sizes: Array
    characters: Array
    broken: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def lengths(self) -> Array:
        """Tokens of each part, int64 [parts]."""
        return np.diff(self.offsets)

    def lengths_of(self, parts: Array) -> Array:
        """Tokens of some parts, in time that does not grow with the others."""
        return np.asarray(self.offsets[parts + 1] - self.offsets[parts])

    def in_memory(self, limit_bytes: int) -> Tokens:
        """Return the same with ids in memory where they take at most so much, else itself."""
        if self.ids.nbytes > limit_bytes:
            return self
        trained = None if self.trained is None else np.array(self.trained)
        return Tokens(
            np.array(self.ids),
            trained,
            self.offsets,
            self.rows,
            self.sizes,
            self.characters,
            self.broken,
            self.counts,
        )


class TokenWriter:
    """Writes samples one behind another; a second writer goes on where the first was killed.

    Args:
        folder: where; made if need be.
        vocabulary: number of ids, which decides how wide they are stored.
        flagged: whether tokens are marked as trained or not.

    Attributes:
        rows_done: rows of the table that are in it, broken ones counted.
    """

    def __init__(self, folder: Path, *, vocabulary: int, flagged: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        kinds: dict[str, np.dtype[Any]] = {
            "ids": np.dtype("<u2") if vocabulary <= 1 << 16 else np.dtype("<u4")
        }
        if flagged:
            kinds["trained"] = _FLAG
        self._kinds = kinds | {"lengths": _WIDE, "rows": _WIDE, "sizes": _WIDE, "characters": _WIDE}
        known = _journal(folder)
        if known is not None and not _can_go_on(folder, known, self._kinds):
            # First the journal goes: whoever is killed from here on leaves nothing that seems whole.
            with writing(folder):
                (folder / _JOURNAL).unlink()
            known = None
        self.rows_done: int = known["rows_done"] if known else 0
        self._bytes: dict[str, int] = known["bytes"] if known else dict.fromkeys(self._kinds, 0)
        self._broken: list[Any] = known["broken"] if known else []
        self._counts: dict[str, int] = known["counts"] if known else {}
        self._since = 0
        self._files = {name: self._open(name) for name in self._kinds}

    def _open(self, name: str) -> BinaryIO:
        path = self._folder / f"{name}.bin"
        path.touch()
        stream = path.open("r+b")
        stream.truncate(self._bytes[name])
        stream.seek(self._bytes[name])
        return stream

    def append(self, samples: TokenRows, *, rows_done: int) -> None:
        """Write samples behind those that are there.

        Args:
            samples: of the next rows.
            rows_done: rows of the table that are in the store with these.
        """
        arrays = {
            "ids": samples.ids,
            "trained": samples.trained,
            "lengths": samples.lengths,
            "rows": samples.rows,
            "sizes": samples.sizes,
            "characters": samples.characters,
        }
        with writing(self._folder):
            for name, kind in self._kinds.items():
                values = np.ascontiguousarray(arrays[name], dtype=kind)
                self._files[name].write(values.data)
                self._bytes[name] += values.nbytes
        self._broken += [[int(row), why] for row, why in samples.broken.items()]
        for word, count in samples.counts.items():
            self._counts[word] = self._counts.get(word, 0) + count
        self.rows_done = rows_done
        self._since += len(samples.ids)
        if self._since >= _COMMIT_TOKENS:
            self._commit(done=False)

    def close(self, *, done: bool = True) -> None:
        """Declare everything whole; `done` where no row is left."""
        self._commit(done=done)
        for stream in self._files.values():
            stream.close()

    def _commit(self, *, done: bool) -> None:
        with writing(self._folder):
            for stream in self._files.values():
                stream.flush()
                os.fsync(stream.fileno())
            write_json(
                self._folder / _JOURNAL,
                {
                    "done": done,
                    "rows_done": self.rows_done,
                    "bytes": self._bytes,
                    "kinds": {name: kind.str for name, kind in self._kinds.items()},
                    "broken": self._broken,
                    "counts": self._counts,
                },
            )
        self._since = 0


def _can_go_on(folder: Path, known: dict[str, Any], kinds: dict[str, np.dtype[Any]]) -> bool:
    """Return whether all that a journal says is there, and rows may follow."""
    if known["done"] or known["kinds"] != {name: kind.str for name, kind in kinds.items()}:
        return False
    return all(_size(folder / f"{name}.bin") >= size for name, size in known["bytes"].items())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def open_tokens(folder: Path) -> Tokens | None:
    """Return the tokens of a store, mapped into memory; None where it is not finished, or damaged."""
    known = _journal(folder)
    if known is None or not known["done"]:
        return None
    arrays: dict[str, Array] = {}
    for name, kind in known["kinds"].items():
        path, size = folder / f"{name}.bin", known["bytes"][name]
        if _size(path) != size:
            return None
        count = size // np.dtype(kind).itemsize
        small = name not in {"ids", "trained"} or count == 0  # an empty file cannot be mapped
        arrays[name] = np.fromfile(path, kind) if small else np.memmap(path, kind, mode="r", shape=(count,))
    offsets = np.concatenate([[0], np.cumsum(arrays["lengths"])]).astype(np.int64)
    if offsets[-1] != len(arrays["ids"]):
        return None
    return Tokens(
        arrays["ids"],
        arrays.get("trained"),
        offsets,
        arrays["rows"],
        arrays["sizes"],
        arrays["characters"],
        dict(known["broken"]),
        known["counts"],
    )


def _journal(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / _JOURNAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= _WORDS else None
