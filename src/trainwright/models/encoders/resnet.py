"""A residual network for pictures and spectrograms, the default for both.

Sources: He et al. 2016, 'Deep Residual Learning for Image Recognition'; He et al. 2015 for the initial
weights; every block starts as the identity (Goyal et al. 2017). Pictures of up to 64 pixels get a 3x3 stem in
place of the 7x7 one of ImageNet nets, which would throw most of them away. Spectrograms are pictures of one
channel (Hershey et al. 2017, 'CNN Architectures for Large-Scale Audio Classification').
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.models.base import ENCODERS, Encoder
from trainwright.models.initialisation import initialise
from trainwright.models.layers.dropout import Dropout
from trainwright.models.layers.planes import (
    BasicBlock,
    ConvNorm,
    as_plane,
    half_size,
    plane_mean,
    strides,
)
from trainwright.models.options import ScratchOptions

SMALL_SIDE = 64
"""Longest side in pixels of a picture that gets the small stem."""

LARGE_MELS = 32
"""Mel bands from which a recording gets the stem of large pictures."""


class ResNetOptions(ScratchOptions):
    """Options of `resnet`."""

    channels: tuple[int, ...] = Field((32, 64, 128), min_length=1, description="Channels of each stage.")
    blocks: int = Field(1, ge=1, description="Residual blocks a stage.")
    early_pool: bool = Field(
        True,
        description="Halve the picture after the stem: four times fewer operations, a little less accuracy.",
    )

    @classmethod
    def for_size(cls, size: str) -> dict[str, Any]:
        """Return channels, blocks and pooling for the size dial; `large` is ResNet-18 in shape."""
        channels, blocks, early_pool = {
            "tiny": ((16, 32, 64), 1, True),
            "small": ((32, 64, 128), 1, True),
            "base": ((64, 128, 256), 2, False),
            "large": ((64, 128, 256, 512), 2, False),
        }[size]
        return {"channels": channels, "blocks": blocks, "early_pool": early_pool}


@ENCODERS.register("resnet")
class ResNet(Encoder):
    """A stem, stages of basic blocks, and the mean over each row's own area."""

    modalities = ("image", "audio")
    Options = ResNetOptions
    learning_rate = 3e-3

    def __init__(self, spec: dict[str, Any], options: ResNetOptions, modality: str) -> None:
        super().__init__(spec, options, modality)
        image = modality == "image"
        channels = int(spec["channels"]) if image else 1
        side = max(int(spec["height"]), int(spec["width"])) if image else int(spec["mels"])
        # A log-mel has a hundred frames a second, most of them alike: it is halved as a large picture is.
        large = side > SMALL_SIDE if image else side >= LARGE_MELS
        width = options.channels[0]
        kernel, stride = (7, 2) if large else (3, 1)
        self.stem = ConvNorm(channels, width, kernel=kernel, stride=stride)
        self.pool = large or (options.early_pool and side >= 16)
        side = side // (2 if large else 1) // (2 if self.pool else 1)
        blocks = []
        for outputs, stride in zip(options.channels, strides(side, len(options.channels)), strict=True):
            for block in range(options.blocks):
                blocks.append(BasicBlock(width, outputs, stride=stride if block == 0 else 1))
                width = outputs
        self.blocks = nn.ModuleList(blocks)
        self.dropout = Dropout(options.dropout)
        self.width = width
        initialise(self, options.initialisation, matrices="he")
        for residual in blocks:
            residual.start_as_identity()
        # mypy knows no overload of `to` with only a memory format.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return [batch, 1, width]."""
        maps, heights = as_plane(inputs)
        maps, heights = self.stem(maps.contiguous(memory_format=torch.channels_last), heights)
        if self.pool:
            maps, heights = half_size(maps, heights)
        maps = maps.relu_()
        for block in self.blocks:
            maps, heights = block(maps, heights)
        return self.dropout(plane_mean(maps, heights)).unsqueeze(1)  # type: ignore[no-any-return]
