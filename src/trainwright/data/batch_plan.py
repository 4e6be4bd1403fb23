"""The batch plan: which rows make which step, as a pure function of seed, epoch, lengths and budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwright.foundation.random import numpy_stream

Rows = npt.NDArray[np.int64]

_WINDOW = 100
"""Batches that are sorted by length together: enough to leave little padding, few enough to stay random."""


@dataclass(frozen=True)
class BatchPlan:
    """The batches of one pass over some rows.

    Attributes:
        rows: positions, one batch after another, int64 [total].
        offsets: batch i is `rows[offsets[i]:offsets[i + 1]]`, int64 [batches + 1].
    """

    rows: Rows
    offsets: Rows

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, batch: int) -> Rows:
        return self.rows[self.offsets[batch] : self.offsets[batch + 1]]


def windows(
    plan_of: Callable[[int], BatchPlan], epoch: int, window: int, accumulation: int
) -> Iterator[list[Rows]]:
    """Yield the micro-batches of each step from a place on, epoch after epoch.

    Args:
        plan_of: epoch → its plan; asked when it is reached.
        epoch: where to begin.
        window: steps of that epoch which are done.
        accumulation: micro-batches a step; the last step of an epoch has what is left.
    """
    while True:
        plan = plan_of(epoch)
        for first in range(window * accumulation, len(plan), accumulation):
            yield [plan[i] for i in range(first, min(first + accumulation, len(plan)))]
        epoch, window = epoch + 1, 0


def plan_batches(
    num_rows: int,
    *,
    batch: int,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    lengths: npt.NDArray[Any] | None = None,
    tokens: int | None = None,
    weights: npt.NDArray[np.float64] | None = None,
) -> BatchPlan:
    """Plan one pass over rows 0 … num_rows - 1.

    The same arguments give the same plan on every machine. Without `weights` every row appears exactly
    once. Batches are as equal in size as they can be, so that no small one is left over at the end.

    Args:
        num_rows: rows to plan.
        batch: most rows in a batch.
        seed: the run's seed.
        epoch: which pass it is; each has its own order.
        shuffle: random order; without it rows come in order (or by length, where lengths are given).
        lengths: tokens of each row; rows of similar length then share a batch.
        tokens: most tokens in a batch, counted as rows x longest row; a longer row is a batch alone.
        weights: chance of each row; rows are then drawn with replacement, `num_rows` of them.
    """
    random = numpy_stream(seed, "batches", epoch)
    if weights is not None:
        order = np.searchsorted(np.cumsum(weights) / np.sum(weights), random.random(num_rows), side="right")
        order = np.minimum(order, num_rows - 1).astype(np.int64)
    else:
        order = random.permutation(num_rows) if shuffle else np.arange(num_rows, dtype=np.int64)
    if lengths is None:
        return BatchPlan(order, _even_cuts(num_rows, batch))
    window = np.arange(num_rows) // (_WINDOW * batch) if shuffle else np.zeros(num_rows, dtype=np.int64)
    ordered = np.asarray(lengths, dtype=np.int64)[order]
    by_length = np.lexsort((ordered, window))
    order, ordered = order[by_length], ordered[by_length]
    offsets = _even_cuts(num_rows, batch) if tokens is None else _token_cuts(ordered, batch, tokens)
    if not shuffle:
        return BatchPlan(order, offsets)
    turn = random.permutation(len(offsets) - 1)
    sizes = np.diff(offsets)[turn]
    starts = offsets[:-1][turn]
    moved = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    gather = np.arange(num_rows) - np.repeat(moved[:-1], sizes) + np.repeat(starts, sizes)
    return BatchPlan(order[gather], moved)


def _even_cuts(num_rows: int, batch: int) -> Rows:
    num_batches = -(-num_rows // batch)
    return (np.arange(num_batches + 1, dtype=np.int64) * num_rows) // max(num_batches, 1)


def _token_cuts(lengths: Rows, batch: int, tokens: int) -> Rows:
    """Cut greedily so that rows x longest ≤ tokens; one short look-ahead a batch, not a row."""
    cuts, start = [0], 0
    while start < len(lengths):
        ahead = lengths[start : start + batch]
        cost = np.maximum.accumulate(ahead) * np.arange(1, len(ahead) + 1)
        fits = int(np.searchsorted(cost, tokens, side="right"))  # cost never falls along a batch
        start += max(fits, 1)
        cuts.append(start)
    return np.asarray(cuts, dtype=np.int64)
