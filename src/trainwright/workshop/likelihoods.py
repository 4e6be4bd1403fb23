"""How likely a language model finds texts, and whether they are what it would write itself.

A row is the ids of a text and the place from which on they are scored; those before are only read. The window
of a long text follows EleutherAI's lm-evaluation-harness (Gao et al. 2021): each token is told once, from as
much as the model reads at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from trainwright.data.token_batches import cuts_by_budget

if TYPE_CHECKING:
    import torch

    from trainwright.models.language.base import LanguageModel
    from trainwright.workshop.text_model import TextModel

Ids: TypeAlias = npt.NDArray[np.int32]

_BATCH_TOKENS = {"cpu": 4_096}
_GPU_TOKENS = 32_768


@dataclass(frozen=True)
class Row:
    """A text to score.

    Attributes:
        ids: tokens, int32 [tokens].
        start: the first that is scored; at least 1, as a token is told from those before it.
    """

    ids: Ids
    start: int

    def within(self, limit: int | None) -> Row:
        """Return the last tokens of the row, so many that at most `limit` are read."""
        cut = 0 if limit is None else max(len(self.ids) - 1 - limit, 0)
        return Row(self.ids[cut:], max(self.start - cut, 1))


@dataclass(frozen=True)
class Score:
    """What a model thinks of a row.

    Attributes:
        nats: sum of the log-probabilities of its scored tokens.
        greedy: whether each of them is the likeliest.
    """

    nats: float
    greedy: bool


def rolling(ids: Ids, limit: int | None) -> Iterator[Row]:
    """Yield rows that score every token but the first once, each from as many before it as there can be.

    Args:
        ids: a text with the token before it, int32 [tokens].
        limit: most tokens that are read at once; None reads all.
    """
    step = max(len(ids) - 1, 1) if limit is None else limit
    for start in range(1, len(ids), step):
        end = min(start + step, len(ids))
        first = max(end - 1 - step, 0)
        yield Row(ids[first:end], start - first)


def score(model: TextModel, rows: Sequence[Row]) -> list[Score]:
    """Return what a model thinks of some rows; rows of like length are read together.

    Args:
        model: a causal model.
        rows: each at most as long as the model reads.
    """
    lengths = np.array([len(row.ids) - 1 for row in rows], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    budget = model.network.at_once(_BATCH_TOKENS.get(model.device.type, _GPU_TOKENS))
    cuts = cuts_by_budget(lengths[order], budget)
    found: dict[int, Score] = {}
    for first, last in pairwise(cuts.tolist()):
        numbers = order[first:last]
        found.update(zip(numbers.tolist(), _batch(model, [rows[n] for n in numbers]), strict=True))
    return [found[number] for number in range(len(rows))]


def _batch(model: TextModel, rows: Sequence[Row]) -> list[Score]:
    """Return the scores of rows that come shortest first."""
    import torch

    from trainwright.data.encoded import Batch
    from trainwright.tasks.language import LABELS, WHERE, batch_inputs, states_of

    lengths = np.array([len(row.ids) - 1 for row in rows], dtype=np.int64)
    begins = np.cumsum(lengths) - lengths
    where = [
        np.arange(begin + row.start - 1, begin + length)
        for row, begin, length in zip(rows, begins, lengths, strict=True)
    ]
    inputs = batch_inputs(np.concatenate([row.ids[:-1] for row in rows]), lengths)
    inputs[WHERE] = torch.from_numpy(np.concatenate(where))
    labels = np.concatenate([row.ids[row.start :] for row in rows]).astype(np.int64)
    batch = Batch(inputs, {LABELS: torch.from_numpy(labels)}, np.arange(len(rows))).to(model.device)
    with torch.inference_mode():
        nats, likeliest = _told(model.network, states_of(model.network, batch), batch.targets[LABELS])
    sizes = [len(places) for places in where]
    return [
        Score(float(each.double().sum()), bool(best.all()))
        for each, best in zip(
            torch.split(nats.cpu(), sizes), torch.split(likeliest.cpu(), sizes), strict=True
        )
    ]


def _told(
    network: LanguageModel, states: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probability of each label, and whether it is the likeliest, both [labels]."""
    import torch

    from trainwright.models.layers.chunked_cross_entropy import rows_at_once

    size = rows_at_once(network.vocabulary, states.device)
    nats, likeliest = [], []
    for part, truth in zip(torch.split(states, size), torch.split(labels, size), strict=True):
        logits = network.logits(part).float()
        nats.append(-torch.nn.functional.cross_entropy(logits, truth, reduction="none"))
        likeliest.append(logits.argmax(-1) == truth)
    return torch.cat(nats), torch.cat(likeliest)
