"""Learning targets from sources that an encoder reads (Sutskever et al. 2014; Raffel et al. 2020, 'T5').

A batch is sources and targets side by side, filled up: `source` [rows, time], `source.lengths` [rows] and
`target` [rows, target_time]. `where` [learned] counts places of the targets, row after row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from trainwright.data.batch_plan import BatchPlan, plan_batches
from trainwright.data.encoded import Batch
from trainwright.data.token_store import Tokens
from trainwright.tasks.language import LABELS, LANGUAGE_TASKS, WHERE, Array, LanguageTask, Reading

SOURCE, SOURCE_LENGTHS, TARGET = "source", "source.lengths", "target"


@dataclass(frozen=True)
class SourceBatches:
    """Batches of pairs (see `training.loop.Batches`)."""

    task: EncoderDecoderTask
    index: Array
    budget: int
    seed: int | None
    unit: ClassVar[str] = "tokens"

    def plan(self, epoch: int) -> BatchPlan:
        """Return the plan of an epoch: each pair once, beside others of its length.

        At most `budget` tokens are in a batch as they are filled up to the longest, or one longer pair.
        """
        lengths = self.task.lengths(self.index).sum(axis=0)
        plan = plan_batches(
            len(self.index),
            batch=max(1, self.budget // max(int(lengths.min(initial=self.budget)), 1)),
            seed=self.seed or 0,
            epoch=epoch,
            shuffle=self.seed is not None,
            lengths=lengths,
            tokens=self.budget,
        )
        return BatchPlan(self.index[plan.rows], plan.offsets)

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some pairs."""
        return self.task.pairs(rows)

    def size(self, rows: Array) -> int:
        """Return how many tokens some pairs have."""
        return int(self.task.lengths(rows).sum())


@LANGUAGE_TASKS.register("encoder-decoder")
class EncoderDecoderTask(LanguageTask):
    """Each token of a target is told from its source and from those before it in the target.

    It is what `task: sequence-to-sequence` becomes where a model has an encoder. Of a sample the tokens that
    are not learned are the source.
    """

    def __init__(self, tokens: Tokens, reading: Reading) -> None:
        super().__init__(tokens, reading)
        assert tokens.trained is not None
        # What is learned of a sample lies at its end, and is never nothing: a target has an end.
        self._targets = np.add.reduceat(tokens.trained, tokens.offsets[:-1], dtype=np.int64)

    def lengths(self, rows: Array) -> Array:
        """Return how many tokens of the source and the target of some samples are read, [2, rows]."""
        return np.minimum(self._whole(rows), self.reading.context)

    def _whole(self, rows: Array) -> Array:
        """Return how many tokens the source and the target of some samples have, [2, rows]."""
        targets = self._targets[rows]
        return np.stack([self.tokens.lengths_of(rows) - targets, targets])

    def num_long(self, index: Array) -> int:
        """Return how many of some samples have a source or a target of more tokens than are read."""
        longest = self._whole(index).max(axis=0)
        return int((longest > self.reading.context).sum())

    def ends(self, index: Array) -> Array:
        """Return of which samples the end of the target is read, bool [samples]."""
        return np.asarray(self._targets[index] <= self.reading.context)

    def batches(self, index: Array, *, budget: int, training: bool) -> SourceBatches:
        """Return the batches of a part."""
        return SourceBatches(self, index, budget, self.reading.seed if training else None)

    def batch(self, cutting: Any, rows: Array) -> Batch:
        """Return the tensors of some pairs."""
        return self.pairs(rows)

    def pairs(self, rows: Array) -> Batch:
        """Return the tensors of some pairs."""
        whole, read = self._whole(rows), self.lengths(rows)
        starts = self.tokens.offsets[rows]
        sources, _ = self._beside(starts, read[0])
        # A source that is cut off keeps the special token at its end: the encoder has seen no other.
        last = self.tokens.ids[starts + whole[0] - 1]
        cut = (whole[0] > read[0]) & np.isin(last, np.fromiter(self.reading.special, dtype=np.int64))
        sources[cut, read[0][cut] - 1] = last[cut]
        targets, learned = self._beside(starts + whole[0], read[1])
        where = np.flatnonzero(learned)
        inputs = {
            SOURCE: torch.from_numpy(sources),
            SOURCE_LENGTHS: torch.from_numpy(read[0]),
            TARGET: torch.from_numpy(targets),
            WHERE: torch.from_numpy(where),
        }
        return Batch(inputs, {LABELS: torch.from_numpy(targets.ravel()[where])}, rows)

    def _beside(self, starts: Array, lengths: Array) -> tuple[Array, Array]:
        """Return runs of ids side by side, int64 [rows, longest], filled up with 0, and what is none."""
        places = np.arange(max(int(lengths.max(initial=0)), 1))
        inside = places < lengths[:, None]
        ids = np.zeros(inside.shape, dtype=np.int64)
        ids[inside] = self.tokens.ids[(starts[:, None] + places)[inside]]
        return ids, inside

    def states(self, model: Any, batch: Batch) -> Tensor:
        """Return the states at which tokens are learned, [learned, width]."""
        inputs = batch.inputs
        states: Tensor = model.told(inputs[SOURCE], inputs[SOURCE_LENGTHS], inputs[TARGET])
        return states.flatten(0, 1).index_select(0, inputs[WHERE])
