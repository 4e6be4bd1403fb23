"""Vectors side by side: nothing is lost and the head sorts it out."""

from __future__ import annotations

import torch
from torch import Tensor

from trainwright.models.fusion.base import FUSIONS, Fusion, members_of
from trainwright.models.layers.dropout import Dropout


@FUSIONS.register("concat")
class Concat(Fusion):
    """All vectors joined as they are: norms in between made models overfit sooner."""

    def join(self, widths: dict[str, int], width: int, dropout: float) -> int:
        """Make nothing but dropout."""
        self.dropout = Dropout(dropout)
        return sum(widths.values())

    def fuse(self, vectors: list[Tensor], present: Tensor) -> Tensor:
        """Return [batch, members, sum of widths]."""
        members = members_of(vectors)
        return self.dropout(torch.cat([v.expand(-1, members, -1) for v in vectors], dim=-1))  # type: ignore[no-any-return]
