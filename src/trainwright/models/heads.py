"""Heads: from the row's vector to one target's raw outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright.models.initialisation import initialise
from trainwright.models.layers.ensemble import MemberLinear


class Head(nn.Module):
    """A linear layer, one of its own for every member.

    Args:
        width: width of the row's vector.
        outputs: numbers the task asks for.
        members: members of the ensemble below; 1 for a plain model.
    """

    def __init__(self, width: int, outputs: int, *, members: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(width, outputs) if members == 1 else MemberLinear(width, outputs, members)
        initialise(self, matrices="xavier")

    def set_bias(self, bias: Tensor) -> None:
        """Start from known outputs, such as log class frequencies: the first steps need not learn them.

        Args:
            bias: [outputs].
        """
        with torch.no_grad():
            self.linear.bias.copy_(bias.expand_as(self.linear.bias))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [batch, members, outputs] from [batch, members, width]."""
        return self.linear(hidden)  # type: ignore[no-any-return]
