"""A temporal convolutional network: dilated causal convolutions with residual blocks.

Source: Bai, Kolter & Koltun 2018, 'An Empirical Evaluation of Generic Convolutional and Recurrent Networks
for Sequence Modeling'. Two departures: layer norm over each step in place of weight norm (steadier without
tuning), and mean and maximum over time in place of the last step (the row is judged as a whole).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.masking import mean_and_max
from trainwright.models.layers.stems import SequenceStem
from trainwright.models.options import ScratchOptions


class TcnOptions(ScratchOptions):
    """Options of `tcn`."""

    width: int = Field(64, ge=1, description="Channels.")
    depth: int = Field(5, ge=1, description="Blocks; block i looks back 2^i times as far as block 0.")
    kernel: int = Field(5, ge=2, description="Steps a convolution spans.")

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return width and depth for the size dial."""
        width, depth = {"tiny": (32, 4), "small": (64, 5), "base": (128, 6), "large": (256, 8)}[size]
        return {"width": width, "depth": depth}


class CausalBlock(nn.Module):
    """Two dilated convolutions that see only the past, around which the input is carried along."""

    def __init__(self, width: int, kernel: int, dilation: int, *, dropout: float) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, kernel, dilation=dilation) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [batch, time, width]."""
        inner = hidden
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            channels_first = F.pad(inner.transpose(1, 2), (self.past, 0))
            inner = self.dropout(norm(convolution(channels_first).transpose(1, 2)).relu())
        return (hidden + inner).relu()


@ENCODERS.register("tcn")
class Tcn(Encoder):
    """Causal blocks of doubling reach, pooled over time."""

    modalities = ("sequence", "audio", "text")
    Options = TcnOptions
    learning_rate = 2e-3

    def __init__(self, spec: dict[str, Any], options: TcnOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        self.stem = SequenceStem(spec, modality, options.width)
        self.blocks = nn.Sequential(
            *(
                CausalBlock(options.width, options.kernel, 2**block, dropout=options.dropout)
                for block in range(options.depth)
            )
        )
        self.width = 2 * options.width
        initialise(self, options.initialisation, matrices="he")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        hidden, _, mask = self.stem(*inputs)
        return mean_and_max(self.blocks(hidden), mask).unsqueeze(1)
