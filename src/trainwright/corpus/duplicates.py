"""Doubles among all documents of a corpus, and near doubles by MinHash; the first of each cluster stays.

Memory holds about 30 bytes for each document, and 300 MB beyond: keys are sorted a part at a time. Signatures
and bands stay on the disk: one band is held at a time, and signatures are read only for documents that share
a band.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from trainwright.corpus.features import BLOCK, Features, Indices
from trainwright.corpus.minhash import BANDS
from trainwright.corpus.tokens import Hashes

Flags = npt.NDArray[np.bool_]

_SORTED = 1 << 22
"""Keys that are sorted together, about."""

_PAIRS = 1 << 15


def exact_firsts(hashes: Hashes, alive: Flags) -> Indices:
    """Return for each document the first with the same hash, which may be itself.

    Args:
        hashes: hash of each, uint64 [documents, 2].
        alive: documents to look at; the others are their own first.
    """
    first = np.arange(len(hashes))
    for documents in _by_key(hashes[:, 0], alive):
        ordered = hashes[documents]
        heads = np.ones(len(documents), dtype=bool)
        heads[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        first[documents] = documents[_places_of(heads)]
    return first


def unite_near(first: Indices, features: Features, alive: Flags, *, similarity: float) -> None:
    """Give each document the first of its cluster of near doubles, which may be itself.

    Documents that share a band are compared with the first and with the one before in that band; they are
    of one cluster where their signatures agree in a share of `similarity` or more.

    Args:
        first: what to change: of documents to look at each is its own first, int64 [documents].
        features: features of the documents.
        alive: documents to look at: they have a signature and are no exact doubles.
        similarity: share of n-grams in common, from which two count as the same (Jaccard).
    """
    if not alive.any():
        return
    signatures = features.signatures
    for number in range(BANDS):
        band = features.band(number)
        for documents in _by_key(band, alive):
            for pairs in _pairs(band[documents], documents):
                one, other = pairs[:, _heads(first, pairs[0]) != _heads(first, pairs[1])]
                same = (signatures[one] == signatures[other]).mean(axis=1) >= similarity
                _unite(first, one[same], other[same])
    for start in range(0, len(first), BLOCK):
        _heads(first, np.flatnonzero(alive[start : start + BLOCK]) + start)


def _by_key(keys: Hashes, alive: Flags) -> Iterator[Indices]:
    """Yield the documents that are alive in the order of their keys, a part of all keys at a time.

    Those with the same key are in one part, and in their own order.
    """
    num_parts = len(keys) // _SORTED + 1
    part_of = np.empty(len(keys), dtype=np.uint16)
    for start in range(0, len(keys), BLOCK):
        high = keys[start : start + BLOCK] >> np.uint64(48)
        part_of[start : start + BLOCK] = (high * np.uint64(num_parts)) >> np.uint64(16)
    part_of[~alive] = num_parts
    for part in range(num_parts):
        documents = np.flatnonzero(part_of == part)
        yield documents[np.argsort(keys[documents], kind="stable")]


def _pairs(keys: Hashes, documents: Indices) -> Iterator[Indices]:
    """Yield pairs of documents that have the same key, int64 [2, pairs].

    Args:
        keys: key of each.
        documents: in the order of their keys.
    """
    again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    heads = np.ones(len(keys), dtype=bool)
    heads[again] = False
    later = documents[again]
    for earlier in (documents[_places_of(heads)[again]], documents[again - 1]):
        for start in range(0, len(later), _PAIRS):
            yield np.stack([earlier[start : start + _PAIRS], later[start : start + _PAIRS]])


def _places_of(heads: Flags) -> Indices:
    """Return for each place that of the last head, at it or before."""
    return np.maximum.accumulate(np.where(heads, np.arange(len(heads)), 0))


def _heads(first: Indices, documents: Indices) -> Indices:
    """Return the first of each document's cluster, and note it, so that the way there is short next time."""
    found = first[documents]
    while not np.array_equal(above := first[found], found):
        first[documents] = found = above
    return found


def _unite(first: Indices, one: Indices, other: Indices) -> None:
    """Make the clusters of pairs one."""
    while True:
        heads = _heads(first, np.concatenate([one, other]))
        one, other = heads[: len(one)], heads[len(one) :]
        low, high = np.minimum(one, other), np.maximum(one, other)
        apart = low != high
        if not apart.any():
            return
        # Their heads stand for the documents from now on: chains of these are halved with each look.
        one, other = low[apart], high[apart]
        np.minimum.at(first, other, one)
