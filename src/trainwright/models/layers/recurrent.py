"""Bidirectional recurrent layers over padded rows (Schuster & Paliwal 1997)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.masking import mean_and_max, reverse_rows
from trainwright.models.layers.stems import SequenceStem
from trainwright.models.options import ScratchOptions


class RecurrentOptions(ScratchOptions):
    """Options of recurrent encoders."""

    width: int = Field(128, ge=1, description="Width of the input of the first layer.")
    hidden: int = Field(96, ge=1, description="Units of each direction.")
    depth: int = Field(1, ge=1, description="Bidirectional layers.")

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return widths and depth for the size dial."""
        width, hidden, depth = {
            "tiny": (32, 32, 1),
            "small": (128, 96, 1),
            "base": (256, 256, 2),
            "large": (512, 512, 3),
        }[size]
        return {"width": width, "hidden": hidden, "depth": depth}


class Bidirectional(nn.Module):
    """Two recurrent layers, one of which reads every row from its own end.

    Rows are reversed within their length instead of packed: no trip of the lengths to the host, and since a
    layer reads only backwards in its own time, padding (always last) cannot reach a true position.

    Args:
        layer: `nn.LSTM` or `nn.GRU`.
        inputs: width in.
        hidden: units of each direction.
    """

    def __init__(self, layer: type[nn.LSTM | nn.GRU], inputs: int, hidden: int) -> None:
        super().__init__()
        self.forwards = layer(inputs, hidden, batch_first=True)
        self.backwards = layer(inputs, hidden, batch_first=True)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Return [batch, time, 2 · hidden] from [batch, time, inputs] and lengths int64 [batch]."""
        ahead, _ = self.forwards(hidden)
        back, _ = self.backwards(reverse_rows(hidden, lengths))
        return torch.cat([ahead, reverse_rows(back, lengths)], dim=-1)


class RecurrentEncoder(Encoder):
    """A stem, bidirectional layers with dropout before each, and mean and maximum over time."""

    modalities = ("text", "audio", "sequence")
    Options = RecurrentOptions
    learning_rate = 2e-3
    layer: type[nn.LSTM | nn.GRU]

    def __init__(self, spec: dict[str, Any], options: RecurrentOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        self.stem = SequenceStem(spec, modality, options.width)
        widths = [options.width, *[2 * options.hidden] * (options.depth - 1)]
        self.layers = nn.ModuleList(Bidirectional(self.layer, width, options.hidden) for width in widths)
        self.dropout = Dropout(options.dropout)
        self.width = 4 * options.hidden
        initialise(self, options.initialisation, matrices="xavier")

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        hidden, lengths, mask = self.stem(*inputs)
        for layer in self.layers:
            hidden = layer(self.dropout(hidden), lengths)
        return mean_and_max(hidden, mask).unsqueeze(1)
