"""FT-Transformer: attention over the columns of a row.

Source: Gorishniy, Rubachev, Khrulkov & Babenko 2021, 'Revisiting Deep Learning Models for Tabular Data';
numbers with bins are embedded piecewise-linearly (Gorishniy et al. 2022).
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.attention import TransformerBlock
from trainwright.models.layers.columns import ColumnTokens
from trainwright.models.options import ScratchOptions


class FtTransformerOptions(ScratchOptions):
    """Options of `ft_transformer`."""

    width: int = Field(96, ge=2, description="Width of a column's token; a multiple of 2 · heads.")
    depth: int = Field(2, ge=1, description="Transformer blocks.")
    heads: int = Field(8, ge=1, description="Attention heads.")

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return width, depth and heads for the size dial; `base` is the paper's default."""
        width, depth = {"tiny": (32, 1), "small": (96, 2), "base": (192, 3), "large": (384, 4)}[size]
        return {"width": width, "depth": depth, "heads": 4 if size == "tiny" else 8}


@ENCODERS.register("ft_transformer")
class FtTransformer(Encoder):
    """A token for every column and one that reads them all; its last state is the row's vector."""

    modalities = ("table",)
    Options = FtTransformerOptions
    learning_rate = 3e-4

    def __init__(self, spec: dict[str, Any], options: FtTransformerOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        self.columns = ColumnTokens(spec, options.width)
        self.reader = nn.Embedding(1, options.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                options.width,
                options.heads,
                dropout=options.dropout,
                activation="reglu",
                expansion=4 / 3,
                normalise_first=block > 0,  # the paper: an embedding needs no norm before the first attention
            )
            for block in range(options.depth)
        )
        self.norm = nn.LayerNorm(options.width)
        self.width = options.width
        initialise(self, options.initialisation, matrices="xavier")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        dense, index = inputs
        columns = self.columns(dense, index)
        reader = self.reader.weight.expand(columns.shape[0], 1, -1)
        hidden = torch.cat([reader, columns], dim=1)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden[:, :1]).relu()  # type: ignore[no-any-return]
