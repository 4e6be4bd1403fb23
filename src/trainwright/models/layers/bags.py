"""A bag of tokens and hashed bigrams: which words a text has and which stand together, not where.

Sources: Joulin et al. 2016, 'Bag of Tricks for Efficient Text Classification' (means of embeddings, hashed
bigrams); Iyyer et al. 2015, 'Deep Unordered Composition Rivals Syntactic Methods' (whole tokens are dropped
in training).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.models.initialisation import Fill
from trainwright.models.layers.masking import drop_positions, length_mask
from trainwright.models.layers.ngrams import hashed_ngrams

_TOKEN_STD = 0.02
"""Deviation of initial token vectors: small, so that a rare token says nothing until it has been learned."""

_BIGRAM_SCALE = 0.3
"""Weight of bigrams beside tokens. Under Adam it is also the ratio of their learning rates: most bigrams are
seen a few times only, and at full speed they learn those rows by heart (sst2: 0.77 at 1, 0.79 at 0.3)."""

_OUTPUT_SCALE = 4.0
"""Brings the mean of many small vectors to the size that a head starts well with."""


class TokenBag(nn.Module):
    """Tokens [batch, time] and lengths → [batch, width]: a weighted mean of tokens plus the mean of bigrams.

    Every token has a learned weight, as inverse document frequency would give it one; all begin alike.

    Args:
        vocabulary: number of tokens.
        width: width of a vector.
        buckets: rows that bigrams are hashed to.
        token_dropout: share of tokens, and of bigrams, left out of a training row.
    """

    no_decay = ("importance", "bigrams", "tokens")

    def __init__(self, vocabulary: int, width: int, *, buckets: int, token_dropout: float) -> None:
        super().__init__()
        self.buckets, self.token_dropout = buckets, token_dropout
        self.tokens = nn.Parameter(torch.empty(vocabulary, width))
        self.importance = nn.Parameter(torch.empty(vocabulary, 1))
        self.bigrams = nn.Parameter(torch.empty(buckets, width))

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the tables: tokens small, bigrams and importances 0."""
        del fill
        self.tokens.normal_(std=_TOKEN_STD)
        self.importance.zero_()
        self.bigrams.zero_()

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return [batch, width]; an empty row gives zeros."""
        # Never empty, so that there is a bigram to look up; the mask leaves out what is padding.
        tokens = F.pad(tokens, (0, max(0, 2 - tokens.shape[1])))
        mask = length_mask(lengths, tokens.shape[1])
        share = self.token_dropout if self.training else 0.0
        kept = drop_positions(mask, share)
        scores = F.embedding(tokens, self.importance).squeeze(-1)
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~kept, lowest).softmax(dim=1) * kept
        words = F.embedding_bag(tokens, self.tokens, per_sample_weights=weights, mode="sum")
        pairs = drop_positions(mask[:, 1:], share).to(weights.dtype)
        pairs = pairs / pairs.sum(dim=1, keepdim=True).clamp(min=1)
        hashed = hashed_ngrams(tokens, 2, self.buckets)
        joined = F.embedding_bag(hashed, self.bigrams, per_sample_weights=pairs, mode="sum")
        return _OUTPUT_SCALE * (words + _BIGRAM_SCALE * joined)
