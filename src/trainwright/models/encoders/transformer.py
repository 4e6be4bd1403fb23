"""A bidirectional transformer over tokens, spectrogram frames or number sequences.

Sources: Vaswani et al. 2017, 'Attention Is All You Need'; norms before each branch (Xiong et al. 2020);
rotary positions (Su et al. 2021), which need no table and so no longest length; mean over time as the row's
vector.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.attention import TransformerBlock, attention_mask, rotary, soften_residuals
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.masking import masked_mean
from trainwright.models.layers.packing import Packing, packing, packs
from trainwright.models.layers.stems import SequenceStem
from trainwright.models.options import ScratchOptions


class TransformerOptions(ScratchOptions):
    """Options of `transformer`."""

    width: int = Field(128, ge=2, description="Width of a step; a multiple of 2 · heads.")
    depth: int = Field(2, ge=1, description="Blocks.")
    heads: int = Field(4, ge=1, description="Attention heads.")

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return width, depth and heads for the size dial."""
        width, depth, heads = {
            "tiny": (64, 1, 2),
            "small": (128, 2, 4),
            "base": (256, 4, 4),
            "large": (512, 8, 8),
        }[size]
        return {"width": width, "depth": depth, "heads": heads}


@ENCODERS.register("transformer")
class Transformer(Encoder):
    """Pre-norm blocks with rotary positions, averaged over time."""

    modalities = ("text", "audio", "sequence")
    Options = TransformerOptions
    learning_rate = 1e-3
    products = True
    takes_total = True

    def __init__(self, spec: dict[str, Any], options: TransformerOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        self.modality, self.longest = modality, spec.get("max_tokens")
        self.stem = SequenceStem(spec, modality, options.width)
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(options.width, options.heads, dropout=options.dropout)
            for _ in range(options.depth)
        )
        self.norm = nn.LayerNorm(options.width)
        self.width, self.head_width = options.width, options.width // options.heads
        initialise(self, options.initialisation, matrices="xavier")
        soften_residuals(self.blocks)

    def forward(self, values: Tensor, lengths: Tensor, total: int | None = None) -> Tensor:
        """Return [batch, 1, width]."""
        if self.modality == "text" and packs(lengths.device, self.head_width):
            return self._packed(values, packing(lengths, total=total, longest=self.longest))
        hidden, _, mask = self.stem(values, lengths)
        keys = attention_mask(mask)
        rotation = rotary(hidden.shape[1], self.head_width, hidden.device)
        hidden = self.dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden, keys, rotation)
        return masked_mean(self.norm(hidden), mask).unsqueeze(1)

    def _packed(self, tokens: Tensor, packed: Packing) -> Tensor:
        hidden = self.dropout(self.stem.project(packed.pack(tokens)))
        time = max(tokens.shape[1], 1)
        cosine, sine = rotary(time, self.head_width, hidden.device)
        place = packed.position.clamp(max=time - 1)
        # [tokens, 1, head_width / 2]
        rotation = cosine.index_select(0, place).unsqueeze(1), sine.index_select(0, place).unsqueeze(1)
        for block in self.blocks:
            hidden = block(hidden, rotation=rotation, packed=packed)
        return packed.mean(self.norm(hidden)).unsqueeze(1)
