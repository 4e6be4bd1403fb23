"""From tokens or frames to vectors: what lets one sequence encoder serve text, audio and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.models.layers.masking import length_mask

AUDIO_STACK = 4
"""Spectrogram frames joined into one step (Sak et al. 2015): four times fewer steps, nothing thrown away."""


def frame_width(spec: Mapping[str, Any], modality: str) -> int:
    """Return the numbers in a frame: mel bands of audio, columns of a sequence."""
    return int(spec["mels"] if modality == "audio" else spec["width"])


class SequenceStem(nn.Module):
    """Tokens [batch, time] or frames [batch, time, d] → ([batch, steps, width], lengths, mask).

    Padded steps leave as zeros. There is at least one step, so a batch of empty rows is no special case.

    Args:
        spec: spec of the input.
        modality: "text" (an embedding table), "audio" (frames joined by `AUDIO_STACK`) or "sequence".
        width: width of a step.
    """

    def __init__(self, spec: Mapping[str, Any], modality: str, width: int) -> None:
        super().__init__()
        self.stack = AUDIO_STACK if modality == "audio" else 1
        self.project: nn.Module = (
            nn.Embedding(int(spec["vocabulary"]), width)
            if modality == "text"
            else nn.Linear(frame_width(spec, modality) * self.stack, width)
        )

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return steps [batch, steps, width], lengths int64 [batch] and mask bool [batch, steps]."""
        if values.dim() == 2:
            values = values if values.shape[1] else F.pad(values, (0, 1))
        else:
            values = self._stacked(values, lengths)
            lengths = (lengths + self.stack - 1) // self.stack
        mask = length_mask(lengths, values.shape[1])
        return self.project(values).masked_fill(~mask.unsqueeze(-1), 0), lengths, mask

    def _stacked(self, frames: Tensor, lengths: Tensor) -> Tensor:
        time = frames.shape[1]
        steps = max(1, -(-time // self.stack))
        frames = frames.masked_fill(~length_mask(lengths, time).unsqueeze(-1), 0)
        frames = F.pad(frames, (0, 0, 0, steps * self.stack - time))
        return frames.reshape(frames.shape[0], steps, self.stack * frames.shape[2])
