"""Batches of tokens: which pieces of which samples make a step, as a pure function of seed and epoch.

A piece is named by one number: epoch · tokens + the position of its first token. Where it ends, and which of
its tokens are hidden from a masked model, follows from that number and the seed, so that a batch can be made
again anywhere, in any order, by anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainwright.data.batch_plan import BatchPlan
from trainwright.data.token_store import Tokens
from trainwright.foundation.random import numpy_stream, stream_seed

Array = npt.NDArray[Any]
Long = Literal["split", "truncate"]


@dataclass(frozen=True)
class Pieces:
    """Where pieces lie in the flat array of tokens.

    Attributes:
        starts: position of the first token, int64 [pieces].
        lengths: tokens, int64 [pieces].
        epochs: which pass each belongs to, int64 [pieces].
    """

    starts: Array
    lengths: Array
    epochs: Array

    def positions(self) -> Array:
        """Return the position of every token, piece after piece, int64 [tokens]."""
        ends = np.cumsum(self.lengths)
        begins = np.repeat(self.starts - (ends - self.lengths), self.lengths)
        return np.asarray(np.arange(len(begins)) + begins)


@dataclass(frozen=True)
class Cutting:
    """How samples are cut into pieces.

    Attributes:
        tokens: all samples.
        index: the samples of this part, int64 [samples].
        context: most tokens of a piece.
        long: whether longer samples are split, or end there.
        spare: tokens at the end of a sample that begin no piece: the last, where the next one is learned.
        seed: decides where long samples are first cut, anew in every epoch; None cuts at their beginning.
    """

    tokens: Tokens
    index: Array
    context: int
    long: Long
    spare: int
    seed: int | None

    @property
    def total(self) -> int:
        """All tokens of the store."""
        return int(self.tokens.offsets[-1])

    def plan(self, epoch: int, *, budget: int, shuffle: bool = True) -> BatchPlan:
        """Plan a pass: every piece once, at most `budget` tokens in a batch (or one longer piece).

        Args:
            epoch: which pass it is.
            budget: tokens.
            shuffle: in random order.
        """
        first, counts = self._cuts(epoch)
        begins, lengths = self.tokens.offsets[self.index], self._usable()
        # Cut k > 0 of a sample lies at first + (k - 1) · context.
        number = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        offset = np.where(number == 0, 0, np.repeat(first, counts) + (number - 1) * self.context)
        starts = np.repeat(begins, counts) + offset
        ends = np.minimum(
            np.where(number == 0, np.repeat(first, counts), offset + self.context), np.repeat(lengths, counts)
        )
        sizes = ends - offset
        if shuffle:
            assert self.seed is not None
            order = numpy_stream(self.seed, "batches", epoch).permutation(len(starts))
            starts, sizes = starts[order], sizes[order]
        return BatchPlan(epoch * self.total + starts, cuts_by_budget(sizes, budget))

    def pieces(self, rows: Array) -> Pieces:
        """Return where the pieces of these numbers lie."""
        epochs, starts = np.divmod(rows, self.total)
        sample = np.searchsorted(self.tokens.offsets, starts, side="right") - 1
        begins, ends = self.tokens.offsets[sample], self.tokens.offsets[sample + 1] - self.spare
        if self.long == "truncate":
            return Pieces(starts, np.minimum(self.context, ends - starts), epochs)
        first = self._first(sample, ends - begins, epochs)
        place = starts - begins
        until = np.where(place == 0, first, place + self.context)
        return Pieces(starts, np.minimum(until, ends - begins) - place, epochs)

    def _usable(self) -> Array:
        """Return how many tokens of each sample begin or go on a piece."""
        return np.asarray(np.maximum(self.tokens.lengths_of(self.index) - self.spare, 0))

    def _cuts(self, epoch: int) -> tuple[Array, Array]:
        """Return the length of each sample's first piece, and its number of pieces."""
        lengths = self._usable()
        if self.long == "truncate":
            return np.minimum(lengths, self.context), (lengths > 0).astype(np.int64)
        first = self._first(self.index, lengths, np.full(len(self.index), epoch))
        rest = np.maximum(lengths - first, 0)
        return first, (lengths > 0) + -(-rest // self.context)

    def _first(self, sample: Array, lengths: Array, epochs: Array) -> Array:
        """Return the length of the first piece of some samples: random, so that cuts fall elsewhere."""
        if self.seed is None:
            return np.full(len(sample), self.context)
        drawn = hashed(sample, epochs, seed=stream_seed(self.seed, "cuts")) % np.uint64(self.context)
        return np.where(lengths > self.context, 1 + drawn.astype(np.int64), self.context)


def cuts_by_budget(lengths: Array, budget: int) -> Array:
    """Return offsets of batches of at most `budget` tokens, or of one longer piece, int64 [batches + 1]."""
    ends = np.cumsum(lengths)
    cuts, start, before = [0], 0, 0
    while start < len(lengths):
        until = int(np.searchsorted(ends, before + budget, side="right"))
        start = max(until, start + 1)
        before = int(ends[start - 1])
        cuts.append(start)
    return np.asarray(cuts, dtype=np.int64)


def hashed(*numbers: Array | int, seed: int) -> npt.NDArray[np.uint64]:
    """Return a random 64-bit number for each tuple of numbers, always the same one (SplitMix64).

    Steele, Lea & Flood 2014, 'Fast splittable pseudorandom number generators'.
    """
    state = np.uint64(seed)
    with np.errstate(over="ignore"):
        mixed: npt.NDArray[np.uint64] = np.asarray(state)
        for number in numbers:
            value = mixed ^ np.asarray(number).astype(np.uint64)
            value = value + np.uint64(0x9E3779B97F4A7C15)
            value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = value ^ (value >> np.uint64(31))
    return mixed


def uniform(*numbers: Array | int, seed: int) -> npt.NDArray[np.float64]:
    """Return a random number between 0 and 1 for each tuple of numbers, always the same one."""
    return (hashed(*numbers, seed=seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
