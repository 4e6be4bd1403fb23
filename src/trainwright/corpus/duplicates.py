"""Doubles among all documents of a corpus, and near doubles by MinHash; the first of each cluster stays.

Memory holds about 60 bytes for each document. Signatures and bands stay on the disk: as many bands are looked
at together as fit into 256 MB, and signatures are read only for documents that share a band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from trainwright.corpus.features import Rows
from trainwright.corpus.minhash import BANDS, BINS, Signatures
from trainwright.corpus.tokens import Hashes

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_BANDS_BYTES = 256 << 20
_PAIRS = 1 << 15


def exact_firsts(hashes: Hashes) -> Indices:
    """Return for each document the first with the same hash, which may be itself.

    Args:
        hashes: hash of each, uint64 [documents, 2].
    """
    order = np.argsort(hashes[:, 0], kind="stable")
    ordered = hashes[order]
    heads = np.ones(len(order), dtype=bool)
    heads[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(heads, np.arange(len(order)), 0))]
    return first


def near_firsts(pieces: Sequence[Rows], alive: Flags, *, similarity: float) -> Indices:
    """Return for each document the first of its cluster of near doubles, which may be itself.

    Documents that share a band are compared with the first and with the one before in that band; they are
    of one cluster where their signatures agree in a share of `similarity` or more.

    Args:
        pieces: features of documents in their order, see `features.HEAVY`.
        alive: documents that have a signature and are no exact doubles.
        similarity: share of n-grams in common, from which two count as the same (Jaccard).
    """
    offsets = np.cumsum([0, *map(len, pieces)])
    root = np.arange(offsets[-1])
    members = np.flatnonzero(alive)
    together = max(1, min(BANDS, _BANDS_BYTES // max(1, 8 * len(members))))
    for start in range(0, BANDS, together):
        stop = min(start + together, BANDS)
        held = np.concatenate(
            [
                np.asarray(piece["bands"][alive[offset : offset + len(piece)], start:stop])
                for piece, offset in zip(pieces, offsets, strict=False)
            ]
            or [np.zeros((0, stop - start), dtype=np.uint64)]
        )
        for band in range(stop - start):
            for first, second in _pairs(held[:, band], members, root):
                same = _agreement(pieces, offsets, first, second) >= similarity
                root = _united(root, first[same], second[same])
    return root


def _pairs(band: Hashes, members: Indices, root: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs of documents that share a band and are not of one cluster yet."""
    order = np.argsort(band, kind="stable")
    ordered = band[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    if not len(same):
        return
    heads = np.ones(len(order), dtype=bool)
    heads[same] = False
    head = np.maximum.accumulate(np.where(heads, np.arange(len(order)), 0))[same]
    later = members[order[same]]
    for other in (members[order[head]], members[order[same - 1]]):
        for start in range(0, len(later), _PAIRS):
            first, second = other[start : start + _PAIRS], later[start : start + _PAIRS]
            new = root[first] != root[second]
            if new.any():
                yield first[new], second[new]


def _agreement(
    pieces: Sequence[Rows], offsets: Indices, first: Indices, second: Indices
) -> npt.NDArray[np.float64]:
    same = _signatures(pieces, offsets, first) == _signatures(pieces, offsets, second)
    return np.asarray(same.mean(axis=1))


def _signatures(pieces: Sequence[Rows], offsets: Indices, documents: Indices) -> Signatures:
    found = np.empty((len(documents), BINS), dtype=np.uint16)
    owner = np.searchsorted(offsets, documents, side="right") - 1
    for piece in np.unique(owner):
        here = owner == piece
        found[here] = pieces[piece]["signature"][documents[here] - offsets[piece]]
    return found


def _united(root: Indices, first: Indices, second: Indices) -> Indices:
    """Return the first of each cluster after clusters of pairs became one."""
    while True:
        low, high = np.minimum(root[first], root[second]), np.maximum(root[first], root[second])
        apart = low != high
        if not apart.any():
            return root
        root = root.copy()
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(higher := root[root], root):
            root = higher
