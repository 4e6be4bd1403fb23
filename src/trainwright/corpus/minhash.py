"""MinHash signatures of a batch of texts: one permutation, densified.

Broder 1997, 'On the resemblance and containment of documents'; Li, Owen and Zhang 2012, 'One permutation
hashing'; Shrivastava 2017, 'Optimal densification for fast and accurate minwise hashing'. One hash of each
n-gram chooses a bin and is a candidate for its minimum, so that the work follows the length of a text and
not the length of its signature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trainwright.corpus.tokens import Hashes, Places, Tokens, mixed

GRAM = 5
"""Words, or characters of Chinese and Japanese, of an n-gram."""

BINS = 128
BANDS, ROWS = 21, 6
"""Texts with a similarity of 0.8 share a band with probability 0.998, those with 0.5 with 0.28."""

Signatures = npt.NDArray[np.uint16]

_HASH_BITS, _BIN_BITS = 48, 7
_VALUE_BITS = _HASH_BITS - _BIN_BITS
MOST_TEXTS = 1 << (64 - _HASH_BITS)
"""Of one batch: the number of the text stands above the hash in 64 bits."""

_PROBES = np.random.Generator(np.random.PCG64(0xD0E5)).integers(0, BINS, (64, BINS))
"""Where an empty bin looks for a value, attempt after attempt; the same for all texts."""

_BIN_SALTS = mixed(np.arange(1, BINS + 1, dtype=np.uint64) << np.uint64(20))

_ROW_FACTORS = mixed(np.arange(1, BANDS * ROWS + 1, dtype=np.uint64)) | np.uint64(1)


def sorted_grams(tokens: Tokens) -> Hashes:
    """Return the n-grams of all texts as (text, 48 bits of hash), sorted; equal ones stand side by side.

    A text with fewer than `GRAM` tokens has one n-gram: all of it.
    """
    _, hashes = tokens.grams(GRAM)
    counts = np.maximum(tokens.counts - GRAM + 1, 0)
    texts = np.repeat(np.arange(tokens.num_texts, dtype=np.uint64), counts)
    short = np.flatnonzero((tokens.counts > 0) & (tokens.counts < GRAM))
    if len(short):
        whole = tokens.stretches(tokens.first[short], tokens.first[short + 1])
        hashes, texts = np.concatenate([hashes, whole]), np.concatenate([texts, short.astype(np.uint64)])
    keys = (texts << np.uint64(_HASH_BITS)) | (hashes >> np.uint64(64 - _HASH_BITS))
    keys.sort()
    return keys


def repeated(keys: Hashes, num_texts: int) -> Places:
    """Return how many n-grams of each text have come before in it."""
    again = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(_HASH_BITS)
    return np.bincount(again.astype(np.int64), minlength=num_texts)


def signatures(keys: Hashes, num_texts: int) -> tuple[Signatures, npt.NDArray[np.bool_]]:
    """Return a signature for each text, uint16 [texts, BINS], and whether it has one: it has an n-gram."""
    groups = keys >> np.uint64(_VALUE_BITS)
    firsts = np.flatnonzero(np.diff(groups, prepend=~np.uint64(0)))
    place = groups[firsts].astype(np.int64)
    found = np.zeros((num_texts, BINS), dtype=np.uint64)
    filled = np.zeros((num_texts, BINS), dtype=bool)
    found.reshape(-1)[place] = keys[firsts] & np.uint64((1 << _HASH_BITS) - 1)
    filled.reshape(-1)[place] = True
    has_any: npt.NDArray[np.bool_] = np.asarray(filled.any(axis=1))
    texts, bins = np.nonzero(~filled & has_any[:, None])
    for probe in _PROBES:
        if not len(texts):
            break
        other = probe[bins]
        hit = filled[texts, other]
        found[texts[hit], bins[hit]] = found[texts[hit], other[hit]]
        texts, bins = texts[~hit], bins[~hit]
    if len(texts):  # of very short texts: any value will do, if it is the same one for equal texts
        found[texts, bins] = found[texts, filled[texts].argmax(axis=1)]
    # Other 16 bits in each bin: a short text, one value in all bins, is told by all of its bits.
    return (mixed(found + _BIN_SALTS) >> np.uint64(48)).astype(np.uint16), has_any


def bands(found: Signatures) -> Hashes:
    """Return a hash for each band of each signature, uint64 [texts, BANDS]."""
    rows = found[:, : BANDS * ROWS].astype(np.uint64) + np.uint64(1)
    rows *= _ROW_FACTORS
    summed: Any = mixed(rows).reshape(len(found), BANDS, ROWS).sum(axis=2, dtype=np.uint64)
    return mixed(summed)
