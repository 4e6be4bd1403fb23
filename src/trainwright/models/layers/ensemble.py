"""Linear layers that hold several models at once.

Sources: Wen, Tran & Ba 2020, 'BatchEnsemble'; Gorishniy, Kotelnikov & Babenko 2024, 'TabM'.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainwright.models.initialisation import Fill


class SharedLinear(nn.Module):
    """One weight matrix for all members, with vectors r, s and b of each member's own: s ∘ (W (r ∘ x)) + b.

    Args:
        inputs: width in.
        outputs: width out.
        members: number of members.
        first: whether it is the first layer: its r is ±1 at random, which is what makes members differ;
            elsewhere r and s start at 1, so that members part only as far as training wants.
    """

    no_decay = ("scale_in", "scale_out", "bias")

    def __init__(self, inputs: int, outputs: int, members: int, *, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.scale_in = nn.Parameter(torch.empty(members, inputs))
        self.scale_out = nn.Parameter(torch.empty(members, outputs))
        self.bias = nn.Parameter(torch.empty(members, outputs))

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill the shared matrix by the scheme, r and s as TabM does, and b alike for all members."""
        fill(self.weight)
        self.scale_in.fill_(1)
        if self.first:
            self.scale_in.bernoulli_(0.5).mul_(2).sub_(1)
        self.scale_out.fill_(1)
        bound = 1 / math.sqrt(self.weight.shape[1])
        self.bias.copy_(torch.empty_like(self.bias[0]).uniform_(-bound, bound))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [batch, members, outputs] from [batch, members, inputs] (or [batch, 1, inputs], shared)."""
        return nn.functional.linear(hidden * self.scale_in, self.weight) * self.scale_out + self.bias


class MemberLinear(nn.Module):
    """A linear layer of its own for every member.

    Args:
        inputs: width in.
        outputs: width out.
        members: number of members.
    """

    no_decay = ("bias",)

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(members, outputs))

    def initialise_parameters(self, fill: Fill) -> None:
        """Fill every member's matrix by the scheme; biases are 0."""
        for member in self.weight:
            fill(member.T)
        self.bias.zero_()

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [batch, members, outputs] from [batch, members, inputs]."""
        if self.weight.shape[2] == 1:  # products of a matrix and a vector: four times as slow as a sum
            return (hidden * self.weight[:, :, 0]).sum(dim=2, keepdim=True) + self.bias
        return torch.einsum("bmi,mio->bmo", hidden, self.weight) + self.bias
