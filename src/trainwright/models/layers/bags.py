"""A bag of tokens and hashed bigrams: which words a text has and which stand together, not where.

Sources: Joulin et al. 2016, 'Bag of Tricks for Efficient Text Classification' (a linear model over embeddings
and hashed bigrams); Salton & Buckley 1988 (texts of any length as vectors of one length); Iyyer et al. 2015,
'Deep Unordered Composition Rivals Syntactic Methods' (whole tokens are dropped in training).
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

_BIGRAM_SCALE = 0.7
"""Weight of a bigram beside a token: most bigrams are seen a few times only."""

_OUTPUT_SCALE = 4.0
"""Under Adam also the ratio of learning rates: a linear model learns faster than the networks beside it."""


class TokenBag(nn.Module):
    """Tokens [batch, time] and lengths → [batch, width]: the weighted sum of tokens and bigrams.

    The weights of a text have the Euclidean length 1, as with TF-IDF, so that a long text does not speak
    louder than a short one nor fainter. Vectors are narrow and the table of bigrams long: two bigrams that
    share a row harm more than width helps, and a linear model needs little of it.

    Args:
        vocabulary: number of tokens.
        rank: width of the vectors that are added up.
        width: width of the result.
        buckets: rows that bigrams are hashed to.
        token_dropout: share of tokens, and of bigrams, left out of a training row.
    """

    no_decay = ("bigrams", "tokens")

    def __init__(self, vocabulary: int, width: int, *, rank: int, buckets: int, token_dropout: float) -> None:
        super().__init__()
        self.buckets, self.token_dropout = buckets, token_dropout
        self.tokens = nn.Parameter(torch.empty(vocabulary, rank))
        self.bigrams = nn.Parameter(torch.empty(buckets, rank))
        self.project = nn.Linear(rank, width, bias=False)

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the tables: tokens small, bigrams 0."""
        del fill
        self.tokens.normal_(std=_TOKEN_STD)
        self.bigrams.zero_()

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return [batch, width]; an empty row gives zeros."""
        # Never empty, so that there is a bigram to look up; the mask leaves out what is padding.
        tokens = F.pad(tokens, (0, max(0, 2 - tokens.shape[1])))
        mask = length_mask(lengths, tokens.shape[1])
        share = self.token_dropout if self.training else 0.0
        words = drop_positions(mask, share).to(self.tokens.dtype)
        pairs = drop_positions(mask[:, 1:], share).to(words.dtype) * _BIGRAM_SCALE
        squares = words.square().sum(dim=1, keepdim=True) + pairs.square().sum(dim=1, keepdim=True)
        scale = _OUTPUT_SCALE * squares.clamp(min=1).rsqrt()
        hashed = hashed_ngrams(tokens, 2, self.buckets)
        summed = F.embedding_bag(tokens, self.tokens, per_sample_weights=words * scale, mode="sum")
        summed = summed + F.embedding_bag(hashed, self.bigrams, per_sample_weights=pairs * scale, mode="sum")
        return self.project(summed)  # type: ignore[no-any-return]
