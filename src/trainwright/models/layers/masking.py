"""Rows of different lengths in one tensor: masks, and pooling over time that padding cannot change."""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lengths: Tensor, time: int) -> Tensor:
    """Return bool [batch, time], true where a position is inside its row.

    Args:
        lengths: int64 [batch].
        time: padded length of the tensor the mask is for.
    """
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(1)


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the true positions, [batch, width]; a row without any gives zeros.

    Args:
        hidden: [batch, time, width].
        mask: bool [batch, time].
    """
    weights = mask.to(hidden.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("btw,bt->bw", hidden.masked_fill(~mask.unsqueeze(-1), 0), weights)


def masked_max(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the largest value over the true positions, [batch, width]; a row without any gives zeros.

    Args:
        hidden: [batch, time, width].
        mask: bool [batch, time].
    """
    lowest = torch.finfo(hidden.dtype).min
    best = hidden.masked_fill(~mask.unsqueeze(-1), lowest).amax(dim=1)
    return best.masked_fill(~mask.any(dim=1, keepdim=True), 0)


def mean_and_max(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return mean and maximum over time, [batch, 2 · width] (concat pooling, Howard & Ruder 2018)."""
    return torch.cat([masked_mean(hidden, mask), masked_max(hidden, mask)], dim=-1)


def reverse_rows(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return every row with its true positions in reverse order and the padding left at the end.

    Args:
        hidden: [batch, time, width].
        lengths: int64 [batch].
    """
    time = hidden.shape[1]
    position = torch.arange(time, device=hidden.device).expand(hidden.shape[0], time)
    mirrored = lengths.unsqueeze(1) - 1 - position
    source = torch.where(mirrored >= 0, mirrored, position)
    return hidden.gather(1, source.unsqueeze(-1).expand_as(hidden))


def drop_positions(mask: Tensor, share: float) -> Tensor:
    """Return a mask with this share of its true positions left out at random.

    Args:
        mask: bool [batch, time].
        share: chance of a position to be left out; 0 draws nothing.
    """
    return mask & (torch.rand(mask.shape, device=mask.device) >= share) if share else mask
