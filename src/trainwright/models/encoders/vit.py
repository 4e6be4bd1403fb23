"""A vision transformer: a picture as a sequence of patches.

Sources: Dosovitskiy et al. 2021, 'An Image is Worth 16x16 Words'; fixed sine-cosine positions and the mean
over patches in place of a class token from Beyer, Zhai & Kolesnikov 2022, 'Better plain ViT baselines for
ImageNet-1k'.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.attention import TransformerBlock, soften_residuals
from trainwright.models.options import ScratchOptions

PATCHES_A_SIDE = 8
"""Patches along the longer side when the option is not set: 64 tokens cost little and see enough."""


class VitOptions(ScratchOptions):
    """Options of `vit`."""

    width: int = Field(128, ge=4, description="Width of a patch's vector; a multiple of 4 and of heads.")
    depth: int = Field(4, ge=1, description="Blocks.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    patch: int | None = Field(
        None, ge=1, description="Side of a patch in pixels; an eighth of the longer side."
    )

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return width, depth and heads for the size dial; `large` is ViT-S of Touvron et al. 2021."""
        width, depth, heads = {
            "tiny": (64, 2, 2),
            "small": (128, 4, 4),
            "base": (256, 6, 4),
            "large": (384, 12, 6),
        }[size]
        return {"width": width, "depth": depth, "heads": heads}


def plane_positions(rows: int, columns: int, width: int) -> Tensor:
    """Return sines and cosines of patch positions, [rows · columns, width]; `width` is a multiple of 4."""
    frequency = 10_000.0 ** (-torch.arange(width // 4) / (width // 4))
    vertical = torch.arange(rows).unsqueeze(1) * frequency
    horizontal = torch.arange(columns).unsqueeze(1) * frequency
    vertical = vertical.repeat_interleave(columns, dim=0)
    horizontal = horizontal.repeat(rows, 1)
    return torch.cat([vertical.sin(), vertical.cos(), horizontal.sin(), horizontal.cos()], dim=1)


@ENCODERS.register("vit")
class Vit(Encoder):
    """Patches by a strided convolution, pre-norm blocks, and the mean over patches."""

    modalities = ("image",)
    Options = VitOptions
    learning_rate = 1e-3
    products = True

    def __init__(self, spec: dict[str, Any], options: VitOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        height, width = int(spec["height"]), int(spec["width"])
        patch = options.patch or max(1, round(max(height, width) / PATCHES_A_SIDE))
        # Pictures that patches do not divide are filled up on the right and below.
        self.fill = (0, -width % patch, 0, -height % patch)
        self.patches = nn.Conv2d(int(spec["channels"]), options.width, patch, stride=patch)
        positions = plane_positions(-(-height // patch), -(-width // patch), options.width)
        self.register_buffer("positions", positions, persistent=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(options.width, options.heads, dropout=options.dropout)
            for _ in range(options.depth)
        )
        self.norm = nn.LayerNorm(options.width)
        self.width = options.width
        initialise(self, options.initialisation, matrices="xavier")
        soften_residuals(self.blocks)

    positions: Tensor

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        (pixels,) = inputs
        hidden = (
            self.patches(nn.functional.pad(pixels, self.fill)).flatten(2).transpose(1, 2) + self.positions
        )
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden).mean(dim=1, keepdim=True)  # type: ignore[no-any-return]
