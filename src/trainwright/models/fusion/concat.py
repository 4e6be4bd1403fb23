"""Vectors side by side: nothing is lost and the head sorts it out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright.models.fusion.base import FUSIONS, Fusion, members_of
from trainwright.models.layers.dropout import Dropout


@FUSIONS.register("concat")
class Concat(Fusion):
    """Each vector normalised (no input shall drown the others by its scale), and all of them joined."""

    def join(self, widths: dict[str, int], width: int, dropout: float) -> int:
        """Make a norm for every input."""
        self.norms = nn.ModuleList(nn.LayerNorm(own) for own in widths.values())
        self.dropout = Dropout(dropout)
        return sum(widths.values())

    def fuse(self, vectors: list[Tensor], present: Tensor) -> Tensor:
        """Return [batch, members, sum of widths]."""
        members = members_of(vectors)
        normed = [norm(vector) for norm, vector in zip(self.norms, vectors, strict=True)]
        return self.dropout(torch.cat([v.expand(-1, members, -1) for v in normed], dim=-1))  # type: ignore[no-any-return]
