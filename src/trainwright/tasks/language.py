"""What language models learn, as batches and losses: the next token, hidden ones, or the better answer.

Here a batch is samples end to end: `tokens` [tokens] and `tokens.lengths` [rows]. The tokens that are learned
are `labels` [learned]; `where` [learned] says at which place each is read off, where that is not everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from trainwright.data.batch_plan import BatchPlan
from trainwright.data.encoded import TOTAL, Batch
from trainwright.data.token_batches import Cutting, Long, Pieces, uniform
from trainwright.data.token_store import Tokens
from trainwright.foundation.random import stream_seed
from trainwright.foundation.registry import Registry
from trainwright.models.language.base import LanguageModel
from trainwright.models.layers.chunked_cross_entropy import chunked_cross_entropy
from trainwright.models.layers.packing import Packing, packing
from trainwright.tasks.base import Loss

Array = npt.NDArray[Any]

TOKENS, LENGTHS, LABELS, WHERE = "tokens", "tokens.lengths", "labels", "where"


_LONGEST_WORD = 8
"""Tokens that are hidden together at most."""


@dataclass(frozen=True)
class Reading:
    """How samples are read.

    Attributes:
        context: most tokens of a row.
        long: what becomes of longer samples.
        seed: of the run.
        vocabulary: number of ids.
        mask_token: id that hides another, for masked models.
        mask: share of tokens that are hidden.
        word_ends: whether an id begins a word, and whether what follows it does, bool [vocabulary] each.
        special: ids that are never hidden.
        beta: of preference training.
    """

    context: int
    long: Long
    seed: int
    vocabulary: int
    mask_token: int | None = None
    mask: float = 0.15
    word_ends: tuple[Array, Array] | None = None
    special: frozenset[int] = frozenset()
    beta: float = 0.1


class LanguageTask(ABC):
    """Batches and loss of one way to learn.

    Args:
        tokens: all samples.
        reading: how they are read.

    Class attributes:
        spare: tokens at the end of a sample that begin no piece.
        causal: whether the model sees earlier tokens alone.
        unit: what the loss is a mean over: "token" or "pair".
        measures: what is told of a part, each a mean over the same: the loss, and what else there is.
        writes: whether the model can be asked to go on with a text.
    """

    spare: ClassVar[int] = 1
    causal: ClassVar[bool] = True
    unit: ClassVar[str] = "token"
    measures: ClassVar[tuple[str, ...]] = ("loss",)
    writes: ClassVar[bool] = True

    def __init__(self, tokens: Tokens, reading: Reading) -> None:
        self.tokens, self.reading = tokens, reading

    def batches(self, index: Array, *, budget: int, training: bool) -> Any:
        """Return the batches of a part.

        Args:
            index: samples, int64 [samples].
            budget: tokens in a batch.
            training: in another order and with other cuts each epoch; else always the same.
        """
        seed = self.reading.seed if training else None
        cutting = Cutting(self.tokens, index, self.reading.context, self.reading.long, self.spare, seed)
        return LanguageBatches(self, cutting, budget)

    def prepare(self, model: LanguageModel, index: Array, *, budget: int) -> None:
        """Ask the model, before its first step, for what the loss needs of it: mostly nothing."""
        del model, index, budget

    @abstractmethod
    def batch(self, cutting: Cutting, rows: Array) -> Batch:
        """Return the tensors of some pieces, shortest first, on the CPU."""

    def num_long(self, index: Array) -> int:
        """Return how many of some samples have more tokens than are read of one."""
        return int((self.tokens.lengths_of(index) > self.reading.context + self.spare).sum())

    def states(self, model: Any, batch: Batch) -> Tensor:
        """Return the states at which tokens are learned, [learned, width]."""
        return states_of(model, batch)

    def count(self, batch: Batch) -> Tensor:
        """Return how many tokens of a batch are learned, [1]."""
        return (batch.targets[LABELS] >= 0).sum().to(torch.float32).unsqueeze(0)

    def __call__(self, model: Any, batch: Batch) -> Loss:
        """Return sum and count of the loss in nats, [1]."""
        labels = batch.targets[LABELS]
        states = self.states(model, batch)
        output = model.output()
        if output is None:
            total = F.cross_entropy(states.float(), labels, reduction="sum")
        else:
            weight, bias = output
            hidden = model.read_out(states)
            total = chunked_cross_entropy(hidden, weight, labels, bias=bias, cap=model.capping)
        return Loss(total.unsqueeze(0), self.count(batch))

    def measured(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of each measure of a batch, [measures], and what it is a sum over, [1]."""
        loss = self(model, batch)
        return loss.sum, loss.count


@dataclass(frozen=True)
class LanguageBatches:
    """Batches of a part (see `training.loop.Batches`)."""

    task: LanguageTask
    cutting: Cutting
    budget: int
    unit: ClassVar[str] = "tokens"

    def plan(self, epoch: int) -> BatchPlan:
        """Return the plan of an epoch."""
        return self.cutting.plan(epoch, budget=self.budget, shuffle=self.cutting.seed is not None)

    def batch(self, rows: Array) -> Batch:
        """Return the tensors of some pieces."""
        return self.task.batch(self.cutting, rows)

    def size(self, rows: Array) -> int:
        """Return how many tokens some pieces have."""
        return int(self.cutting.pieces(rows).lengths.sum())


LANGUAGE_TASKS: Registry[type[LanguageTask]] = Registry("task", package="trainwright.tasks")


def packed_of(batch: Batch) -> Packing:
    """Return how the rows of a batch lie."""
    total = batch.inputs.get(TOKENS + TOTAL)
    longest = batch.inputs.get("longest" + TOTAL)
    return packing(
        batch.inputs[LENGTHS],
        total=None if total is None else int(total),
        longest=None if longest is None else int(longest),
    )


def states_of(model: LanguageModel, batch: Batch) -> Tensor:
    """Return the states at which tokens are learned, [learned, width]."""
    packed = packed_of(batch)
    tokens = batch.inputs[TOKENS]
    if len(tokens) < len(packed.row):  # filled up to one of a few shapes
        tokens = F.pad(tokens, (0, len(packed.row) - len(tokens)))
    states = model.states(tokens, packed)
    where = batch.inputs.get(WHERE)
    return states[: len(batch.targets[LABELS])] if where is None else states.index_select(0, where)


def _sorted(pieces: Pieces) -> Pieces:
    """Return pieces shortest first, as packed rows lie."""
    order = np.argsort(pieces.lengths, kind="stable")
    return Pieces(pieces.starts[order], pieces.lengths[order], pieces.epochs[order])


def batch_inputs(ids: Array, lengths: Array) -> dict[str, Tensor]:
    """Return what a model reads: ids of rows end to end, and how long each is."""
    return {
        TOKENS: torch.from_numpy(ids.astype(np.int64)),
        LENGTHS: torch.from_numpy(lengths.astype(np.int64)),
        TOKENS + TOTAL: torch.tensor(int(lengths.sum())),
        "longest" + TOTAL: torch.tensor(int(lengths.max(initial=1))),
    }


@LANGUAGE_TASKS.register("causal-lm")
class CausalLM(LanguageTask):
    """Each token is told from those before it (Radford et al. 2018)."""

    def batch(self, cutting: Cutting, rows: Array) -> Batch:
        """Return the tensors of some pieces."""
        pieces = _sorted(cutting.pieces(rows))
        at = pieces.positions()
        inputs = batch_inputs(self.tokens.ids[at], pieces.lengths)
        labels = torch.from_numpy(self.tokens.ids[at + 1].astype(np.int64))
        if self.tokens.trained is not None:
            where = torch.from_numpy(np.flatnonzero(self.tokens.trained[at + 1]))
            inputs[WHERE] = where
            labels = labels[where]
        return Batch(inputs, {LABELS: labels}, rows)


@LANGUAGE_TASKS.register("chat")
class Chat(CausalLM):
    """What the assistant says is told from what was said before (supervised fine-tuning)."""


@LANGUAGE_TASKS.register("sequence-to-sequence")
class SequenceToSequence(CausalLM):
    """A target is told from its source and from what stands before in the target, by a decoder alone."""


@LANGUAGE_TASKS.register("masked-lm")
class MaskedLM(LanguageTask):
    """Hidden tokens are told from those around them, whole words at a time (Devlin et al. 2019).

    Of the hidden tokens 80 % become [MASK], 10 % another token, 10 % stay; others are hidden in every epoch
    (Liu et al. 2019).
    """

    spare = 0
    causal = False
    writes = False

    def batch(self, cutting: Cutting, rows: Array) -> Batch:
        """Return the tensors of some pieces."""
        pieces = _sorted(cutting.pieces(rows))
        at, epochs = pieces.positions(), np.repeat(pieces.epochs, pieces.lengths)
        truth = self.tokens.ids[at].astype(np.int64)
        hidden = self._hidden(truth, at, epochs, pieces.lengths)
        shown = self._shown(truth, at, epochs, hidden)
        where = np.flatnonzero(hidden)
        inputs = batch_inputs(shown, pieces.lengths) | {WHERE: torch.from_numpy(where)}
        return Batch(inputs, {LABELS: torch.from_numpy(truth[where])}, rows)

    def _hidden(self, truth: Array, at: Array, epochs: Array, lengths: Array) -> Array:
        """Return which tokens are hidden, bool [tokens]: all of a word by the draw of its first."""
        reading = self.reading
        assert reading.word_ends is not None
        begins, ends = reading.word_ends
        first = begins[truth]
        first[1:] |= ends[truth[:-1]]
        first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True  # the first token of a piece
        # Scripts without spaces would be hidden whole: a long word is several.
        places = np.arange(len(truth))
        first |= (places - np.maximum.accumulate(np.where(first, places, 0))) % _LONGEST_WORD == 0
        word = np.cumsum(first) - 1
        leads = at[first]
        drawn = uniform(leads, epochs[first], seed=stream_seed(reading.seed, "mask")) < reading.mask
        hidden: Array = drawn[word] & ~np.isin(truth, np.fromiter(reading.special, dtype=np.int64))
        return hidden

    def _shown(self, truth: Array, at: Array, epochs: Array, hidden: Array) -> Array:
        reading = self.reading
        assert reading.mask_token is not None
        fate = uniform(at, epochs, seed=stream_seed(reading.seed, "mask fate"))
        other = uniform(at, epochs, seed=stream_seed(reading.seed, "mask other")) * reading.vocabulary
        shown = np.where(hidden & (fate < 0.8), reading.mask_token, truth)
        return np.where(hidden & (fate >= 0.8) & (fate < 0.9), other.astype(np.int64), shown)
