"""Learning from pairs of a better and a worse answer: DPO (Rafailov et al. 2023).

The model that training starts from is the reference. It is asked once, before the first step, for what it
thinks of every answer: no second model is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trainwright.data.batch_plan import BatchPlan
from trainwright.data.encoded import Batch
from trainwright.data.token_batches import Pieces, cuts_by_budget
from trainwright.data.token_store import Tokens
from trainwright.foundation.random import numpy_stream
from trainwright.models.language.base import LanguageModel
from trainwright.models.layers.chunked_cross_entropy import rows_at_once
from trainwright.tasks.base import Loss
from trainwright.tasks.language import (
    LABELS,
    LANGUAGE_TASKS,
    WHERE,
    Array,
    LanguageTask,
    Reading,
    batch_inputs,
    states_of,
)

SIZES, PLACES, REFERENCE = "sizes", "places", "reference"


@dataclass(frozen=True)
class PairBatches:
    """Batches of pairs; a pair is named by the number of its first row of tokens, the better answer."""

    task: PreferenceTask
    index: Array
    budget: int
    seed: int | None
    unit: ClassVar[str] = "tokens"

    def plan(self, epoch: int) -> BatchPlan:
        """Return the plan of an epoch: every pair once, at most `budget` tokens in a batch or one pair."""
        rows = self.index
        if self.seed is not None:
            rows = rows[numpy_stream(self.seed, "batches", epoch).permutation(len(rows))]
        lengths = self.task.lengths(rows) + self.task.lengths(rows + 1)
        return BatchPlan(rows, cuts_by_budget(lengths, self.budget))

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some pairs."""
        return self.task.pairs(rows)

    def size(self, rows: Array) -> int:
        """Return how many tokens some pairs have."""
        return int((self.task.lengths(rows) + self.task.lengths(rows + 1)).sum())


@LANGUAGE_TASKS.register("preference")
class PreferenceTask(LanguageTask):
    """The better answer becomes likelier than the worse one, beside what the reference thinks of both."""

    unit = "pair"
    measures = ("loss", "reward_accuracy", "reward_margin")

    def __init__(self, tokens: Tokens, reading: Reading) -> None:
        super().__init__(tokens, reading)
        self.reference = np.zeros(len(tokens.lengths), dtype=np.float32)

    def lengths(self, parts: Array) -> Array:
        """Return how many tokens of some rows are read."""
        lengths = self.tokens.lengths_of(parts) - self.spare
        return np.asarray(np.clip(lengths, 0, self.reading.context))

    def num_long(self, index: Array) -> int:
        """Return how many of some pairs have an answer of more tokens than are read of one."""
        longest = np.maximum(self.tokens.lengths_of(index), self.tokens.lengths_of(index + 1))
        return int((longest > self.reading.context + self.spare).sum())

    def batches(self, index: Array, *, budget: int, training: bool) -> PairBatches:
        """Return the batches of a part."""
        return PairBatches(self, index, budget, self.reading.seed if training else None)

    def batch(self, cutting: Any, rows: Array) -> Batch:
        """Return the tensors of some pairs."""
        return self.pairs(rows)

    def pairs(self, rows: Array) -> Batch:
        """Return the tensors of some pairs: both answers of each, shortest row first."""
        parts = np.stack([rows, rows + 1], axis=1).ravel()
        lengths = self.lengths(parts)
        order = np.argsort(lengths, kind="stable")
        pieces = Pieces(self.tokens.offsets[parts[order]], lengths[order], np.zeros_like(order))
        at = pieces.positions()
        assert self.tokens.trained is not None
        where = np.flatnonzero(self.tokens.trained[at + 1])
        owner = np.repeat(np.arange(len(order)), pieces.lengths)[where]
        inputs = batch_inputs(self.tokens.ids[at], pieces.lengths) | {WHERE: torch.from_numpy(where)}
        targets = {
            LABELS: torch.from_numpy(self.tokens.ids[at + 1][where].astype(np.int64)),
            SIZES: torch.from_numpy(np.bincount(owner, minlength=len(order))),
            PLACES: torch.from_numpy(np.argsort(order)),
            REFERENCE: torch.from_numpy(self.reference[parts]),
        }
        return Batch(inputs, targets, rows)

    def count(self, batch: Batch) -> Tensor:
        """Return how many pairs a batch has, [1]."""
        return batch.targets[REFERENCE].new_tensor([len(batch.targets[REFERENCE]) / 2])

    def prepare(self, model: LanguageModel, index: Array, *, budget: int) -> None:
        """Ask the reference for its opinion of some pairs: the model before its first step."""
        device = next(model.parameters()).device
        batches = self.batches(index, budget=budget, training=False)
        plan = batches.plan(0)
        training = model.training
        model.eval()
        with torch.no_grad():
            for number in range(len(plan)):
                rows = plan[number]
                found = self.opinions(model, self.pairs(rows).to(device)).float().cpu().numpy()
                self.reference[rows], self.reference[rows + 1] = found[0::2], found[1::2]
        model.train(training)

    def opinions(self, model: LanguageModel, batch: Batch) -> Tensor:
        """Return the log-probability of each answer, [2 · pairs]: better and worse in turn."""
        states = states_of(model, batch)
        chances = log_probabilities(model, states, batch.targets[LABELS])
        # Segment by segment, in a fixed order, which adding by index has not on a GPU.
        sums = torch.segment_reduce(chances, "sum", lengths=batch.targets[SIZES], unsafe=True)
        return sums.index_select(0, batch.targets[PLACES])

    def margins(self, model: LanguageModel, batch: Batch) -> Tensor:
        """Return by how many nats more than the reference the model prefers the better answer, [pairs]."""
        gains = self.opinions(model, batch) - batch.targets[REFERENCE]
        return gains[0::2] - gains[1::2]

    def __call__(self, model: Any, batch: Batch) -> Loss:
        """Return sum and count of the loss, [1]."""
        margins = self.margins(model, batch)
        return Loss(-F.logsigmoid(self.reading.beta * margins).sum().unsqueeze(0), self.count(batch))

    def measured(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sums of loss, of pairs whose better answer has the higher reward, and of its lead, [3].

        The reward of an answer is beta times what it has gained in log-probability since the reference.
        """
        leads = self.reading.beta * self.margins(model, batch)
        return torch.stack([-F.logsigmoid(leads).sum(), (leads > 0).sum(), leads.sum()]), self.count(batch)


def log_probabilities(model: LanguageModel, states: Tensor, labels: Tensor) -> Tensor:
    """Return the log-probability of each label, float32 [labels]; logits are made some rows at a time."""
    rows = rows_at_once(model.vocabulary, states.device)

    def some(part: Tensor, truth: Tensor) -> Tensor:
        return -F.cross_entropy(model.logits(part).float(), truth, reduction="none")

    pieces = [
        checkpoint(some, states[start : start + rows], labels[start : start + rows], use_reentrant=False)
        for start in range(0, len(labels), rows)
    ]
    return torch.cat(pieces) if pieces else states.new_zeros(0)
