"""An n-gram model of tokens: what counting alone can tell of the next one.

Interpolated absolute discounting (Ney, Essen & Kneser 1994). Counts are kept as sorted hashes of the last
tokens, so that everything is a sort or a search over whole arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwright.data.token_batches import hashed

Array = npt.NDArray[Any]

DISCOUNT = 0.75
"""What is taken from every count for what was never seen (Ney et al.: between 0.5 and 1)."""


@dataclass(frozen=True)
class _Order:
    """Counts of one order: of contexts with their next token, and of contexts alone."""

    grams: Array
    gram_counts: Array
    contexts: Array
    context_counts: Array
    context_kinds: Array


class NGrams:
    """An n-gram model.

    Args:
        ids: training tokens, end to end.
        offsets: where each sample begins, int64 [samples + 1].
        vocabulary: number of ids.
        order: tokens that a prediction looks at, itself counted.
    """

    def __init__(self, ids: Array, offsets: Array, vocabulary: int, *, order: int) -> None:
        self.vocabulary, self.order = vocabulary, order
        place = _places(offsets)
        self._orders = []
        for length in range(1, order + 1):
            grams, contexts = _hashes(ids, length)
            known = place >= length - 1
            keys, counts = np.unique(grams[known], return_counts=True)
            heads, totals = np.unique(contexts[known], return_counts=True)
            # A context's different followers: contexts of the distinct grams.
            _, first = np.unique(grams[known], return_index=True)
            kinds = np.zeros(len(heads), dtype=np.int64)
            np.add.at(kinds, np.searchsorted(heads, contexts[known][first]), 1)
            self._orders.append(_Order(keys, counts, heads, totals, kinds))

    def nats(self, ids: Array, offsets: Array) -> Array:
        """Return -log of the chance of every token, float64 [tokens]; each is told from its own sample."""
        place = _places(offsets)
        chance = np.full(len(ids), 1.0 / self.vocabulary)
        for length, order in enumerate(self._orders, 1):
            grams, contexts = _hashes(ids, length)
            total = _found(order.contexts, order.context_counts, contexts)
            kinds = _found(order.contexts, order.context_kinds, contexts)
            count = _found(order.grams, order.gram_counts, grams)
            known = (place >= length - 1) & (total > 0)
            most = np.maximum(total, 1)
            higher = np.maximum(count - DISCOUNT, 0) / most + DISCOUNT * kinds / most * chance
            chance = np.where(known, higher, chance)
        return np.asarray(-np.log(chance))


def _places(offsets: Array) -> Array:
    """Return the place of each token in its sample."""
    lengths = np.diff(offsets)
    return np.asarray(np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], lengths))


def _hashes(ids: Array, length: int) -> tuple[Array, Array]:
    """Return a hash of each token with the `length - 1` before it, and of those before it alone."""
    before: Array = np.zeros(len(ids), dtype=np.uint64)
    for back in range(length - 1, 0, -1):
        shifted = np.concatenate([np.zeros(back, dtype=np.int64), ids[: len(ids) - back].astype(np.int64)])
        before = hashed(before, shifted[: len(ids)], seed=length)
    return hashed(before, ids.astype(np.int64), seed=length + 101), before


def _found(keys: Array, counts: Array, wanted: Array) -> Array:
    """Return the count of each wanted key; 0 for those that there are not."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, counts[at], 0)
