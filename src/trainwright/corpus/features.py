"""What is kept of each document to tell doubles: fixed numbers of bytes, in a few files for all documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwright.corpus.minhash import BANDS, BINS, Signatures
from trainwright.corpus.personal import KINDS
from trainwright.corpus.tokens import Hashes
from trainwright.foundation.paths import whole_folder

LIGHT = np.dtype(
    [
        ("exact", np.uint64, 2),
        ("bytes", np.uint32),
        ("characters", np.uint32),
        ("cut", np.uint32),
        ("masked", np.uint16, len(KINDS)),
        ("set", np.uint8),
        ("signed", np.bool_),
    ]
)
"""`exact` is a hash of the text without case and spaces, `bytes` and `characters` its length as it will be
written, `cut` the characters of evaluation sets that were taken out of it, `masked` the places of personal
data, `set` 1 + the evaluation set that it meets, `signed` whether it has a signature."""

HEAVY = np.dtype([("bands", np.uint64, BANDS), ("signature", np.uint16, BINS)])

LIGHT_FILE, HEAVY_FILE = "light.bin", "heavy.bin"
_BANDS, _SIGNATURES, _STARTS = "bands.bin", "signatures.bin", "starts.npy"

BLOCK = 1 << 16
"""Documents that are looked at together: 28 MB of what is kept of them."""

Rows = npt.NDArray[np.void]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Features of all documents of a corpus.

    Attributes:
        folder: where they are, see `gather`.
    """

    folder: Path

    @cached_property
    def starts(self) -> Indices:
        """Number of the first document of each piece, and of all documents, int64 [pieces + 1]."""
        found: Indices = np.load(self.folder / _STARTS)
        return found

    @property
    def num_documents(self) -> int:
        """How many documents there are."""
        return int(self.starts[-1])

    def light(self) -> Iterator[tuple[int, Rows]]:
        """Yield the number of a document, and the light features of so many from there."""
        start = 0
        for rows in _blocks(self.folder / LIGHT_FILE, LIGHT):
            yield start, rows
            start += len(rows)

    def column(self, name: str) -> Any:
        """Return one of the light features of all documents."""
        kind = LIGHT[name]
        found = np.empty((self.num_documents, *kind.shape), dtype=kind.base)
        for start, rows in self.light():
            found[start : start + len(rows)] = rows[name]
        return found

    def band(self, number: int) -> Hashes:
        """Return one band of all documents, uint64 [documents]."""
        count = self.num_documents
        return np.fromfile(self.folder / _BANDS, np.uint64, count=count, offset=8 * count * number)

    @cached_property
    def signatures(self) -> Signatures:
        """Signatures of all documents, read in place, uint16 [documents, BINS]."""
        return np.memmap(self.folder / _SIGNATURES, np.uint16, mode="r", shape=(self.num_documents, BINS))


def gather(folder: Path, pieces: Sequence[Path]) -> None:
    """Put the features of all pieces into a few files, and remove them from the pieces.

    Who looks for doubles so opens three files, whatever the number of pieces, and finds each band in one
    stretch.

    Args:
        folder: what to make, for `Features`.
        pieces: folders of the first pass, in order.
    """
    sizes = [(piece / LIGHT_FILE).stat().st_size // LIGHT.itemsize for piece in pieces]
    starts = np.cumsum([0, *sizes], dtype=np.int64)
    with whole_folder(folder) as scratch:  # on the disk, for what it was made of is removed
        np.save(scratch / _STARTS, starts)
        with ExitStack() as files:
            light, bands, signatures = (
                files.enter_context((scratch / name).open("wb")) for name in (LIGHT_FILE, _BANDS, _SIGNATURES)
            )
            for piece, start in zip(pieces, starts.tolist(), strict=False):
                for rows in _blocks(piece / LIGHT_FILE, LIGHT):
                    light.write(rows.tobytes())
                at = start
                for rows in _blocks(piece / HEAVY_FILE, HEAVY):
                    signatures.write(rows["signature"].tobytes())
                    for band in range(BANDS):
                        bands.seek(8 * (band * int(starts[-1]) + at))
                        bands.write(rows["bands"][:, band].tobytes())
                    at += len(rows)
    for piece in pieces:
        for name in (LIGHT_FILE, HEAVY_FILE):
            (piece / name).unlink(missing_ok=True)


def _blocks(path: Path, kind: np.dtype[np.void]) -> Iterator[Rows]:
    with path.open("rb") as stream:
        while len(rows := np.fromfile(stream, dtype=kind, count=BLOCK)):
            yield rows
