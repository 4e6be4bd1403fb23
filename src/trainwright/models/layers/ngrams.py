"""Hashed n-grams of tokens, computed on the device (Weinberger et al. 2009, 'Feature Hashing')."""

from __future__ import annotations

import torch
from torch import Tensor

# Odd constants (golden ratio, MurmurHash3, xxHash); products wrap around in 64 bits, on every device alike.
_MULTIPLIERS = (0x1E3779B1, 0x05EBCA6B, 0x42B2AE35, 0x27D4EB2F)


def hashed_ngrams(tokens: Tensor, order: int, buckets: int) -> Tensor:
    """Return the bucket of the n-gram that starts at every position, int64 [batch, time - order + 1].

    Args:
        tokens: int64 [batch, time], time ≥ order, ids below 2^31.
        order: n, from 2 to 4.
        buckets: number of buckets; different n-grams may share one.
    """
    assert 2 <= order <= len(_MULTIPLIERS)
    starts = tokens.shape[1] - order + 1
    mixed = torch.full_like(tokens[:, :starts], order)
    for offset in range(order):
        mixed = (mixed ^ (tokens[:, offset : offset + starts] + 1)) * _MULTIPLIERS[offset]
        mixed = mixed ^ (mixed >> 15)
    return mixed.remainder(buckets)
