"""Attention among inputs: each becomes a token, tokens look at each other, and their mean is the row.

Sources: Vaswani et al. 2017; as fusion of modalities in the manner of Tsai et al. 2019, 'Multimodal
Transformer for Unaligned Multimodal Language Sequences', on one token an input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright.models.fusion.base import FUSIONS, Fusion, members_of
from trainwright.models.layers.attention import TransformerBlock

HEAD_WIDTH = 16
"""Least width of an attention head."""


@FUSIONS.register("attention")
class Attention(Fusion):
    """A projection and a type vector for every input, and one transformer block over the inputs."""

    def join(self, widths: dict[str, int], width: int, dropout: float) -> int:
        """Make the projections, the type vectors and the block."""
        self.norms = nn.ModuleList(nn.LayerNorm(own) for own in widths.values())
        self.project = nn.ModuleList(nn.Linear(own, width) for own in widths.values())
        self.types = nn.Embedding(len(widths), width)
        heads = next(heads for heads in (4, 2, 1) if heads == 1 or width % (heads * HEAD_WIDTH) == 0)
        self.block = TransformerBlock(width, heads, dropout=dropout)
        self.norm = nn.LayerNorm(width)
        return width

    def fuse(self, vectors: list[Tensor], present: Tensor) -> Tensor:
        """Return [batch, members, width]; the stand-in of a missing input is looked at like any other."""
        batch, members = vectors[0].shape[0], members_of(vectors)
        parts = zip(self.project, self.norms, vectors, strict=True)
        tokens = torch.stack([project(norm(v)).expand(-1, members, -1) for project, norm, v in parts], dim=2)
        hidden = self.block((tokens + self.types.weight).flatten(0, 1))  # [batch · members, inputs, width]
        return self.norm(hidden).mean(dim=1).view(batch, members, -1)  # type: ignore[no-any-return]
