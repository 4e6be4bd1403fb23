"""Dropout (Srivastava et al. 2014) that costs a CPU a third of torch's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """Set a share of numbers to 0 in training and scale the others up, so that the expectation stays.

    On a CPU one 64-bit draw decides eight numbers, a byte each, where torch draws for each: that was a
    sixth of a step of `tabm`. The share is rounded to 1/256 there. A compiler has its own way to draw.

    Args:
        share: chance of a number to be dropped.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.dropped = min(round(share * _LEVELS), _LEVELS - 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        if not self.training or self.share == 0:
            return hidden
        if hidden.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(hidden, self.share)
        draws = torch.empty(-(-hidden.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        levels = draws.view(torch.uint8)[: hidden.numel()].view(hidden.shape)
        # 0 and 1 in the numbers' own type: a product with a bool converts it anew for each use.
        kept = levels.to(hidden.dtype).ge_(self.dropped)
        return hidden * kept * (_LEVELS / (_LEVELS - self.dropped))

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"{self.share}"
