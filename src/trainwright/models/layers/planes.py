"""Two-dimensional convolutions over pictures, and over spectrograms of different lengths.

A spectrogram is a picture of one channel whose height is time. Rows of a batch have different heights then:
after every convolution what lies below a row's own height is set back to 0, which is what the convolution
would have seen beyond the edge had the row been alone, so padding never changes a result.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.models.layers.masking import length_mask

Plane = tuple[Tensor, Tensor | None]
"""Maps [batch, channels, height, width] and their heights int64 [batch]; None where all are full."""


def clear_below(maps: Tensor, heights: Tensor | None) -> Tensor:
    """Set what lies below each row's height to 0."""
    if heights is None:
        return maps
    return maps.masked_fill(~length_mask(heights, maps.shape[2])[:, None, :, None], 0)


def shrink(heights: Tensor | None, stride: int) -> Tensor | None:
    """Return the heights after a padded convolution or pooling with this stride: rounded up."""
    return heights if heights is None or stride == 1 else (heights + stride - 1) // stride


def plane_mean(maps: Tensor, heights: Tensor | None) -> Tensor:
    """Return the mean over each row's own area, [batch, channels]; an empty row gives zeros.

    `maps` must be 0 below the heights.
    """
    if heights is None:
        return maps.mean(dim=(2, 3))
    return maps.sum(dim=(2, 3)) / (heights.clamp(min=1) * maps.shape[3]).unsqueeze(1).to(maps.dtype)


def as_plane(inputs: tuple[Tensor, ...]) -> Plane:
    """Return the plane of an image encoder's input (pixels) or of an audio encoder's (frames, lengths)."""
    if len(inputs) == 1:
        return inputs[0], None
    frames, lengths = inputs
    maps = frames.unsqueeze(1)
    if maps.shape[2] == 0:
        maps = F.pad(maps, (0, 0, 0, 1))
    return clear_below(maps, lengths), lengths


class ConvNorm(nn.Module):
    """A convolution with padding for its kernel, and batch norm (Ioffe & Szegedy 2015).

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel, odd.
        stride: step of the kernel; height and width are divided by it, rounded up.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor, heights: Tensor | None) -> Plane:
        """Return the maps and their heights; cleared below them."""
        heights = shrink(heights, self.stride)
        return clear_below(self.norm(self.convolution(maps)), heights), heights


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is carried along (He et al. 2016).

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: step of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs)
        self.shortcut = (
            ConvNorm(inputs, outputs, kernel=1, stride=stride) if stride != 1 or inputs != outputs else None
        )

    def start_as_identity(self) -> None:
        """Let the block begin as its shortcut: the last norm's scale is 0 (Goyal et al. 2017)."""
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, maps: Tensor, heights: Tensor | None) -> Plane:
        """Return the maps and their heights."""
        inner, shrunk = self.first(maps, heights)
        # Norms do not look at what they gave when gradients flow back, so it is changed in place: a third
        # less memory is moved, which on a CPU is what these steps take.
        inner, _ = self.second(inner.relu_(), shrunk)
        carried = maps if self.shortcut is None else self.shortcut(maps, heights)[0]
        return inner.add_(carried).relu_(), shrunk


def half_size(maps: Tensor, heights: Tensor | None) -> Plane:
    """Take the largest of 3x3 at every second place; a ReLU must come before or after.

    After is cheaper and gives the same, as the largest of values cut off at 0 is the largest of all, cut off
    at 0.
    """
    heights = shrink(heights, 2)
    return clear_below(F.max_pool2d(maps, 3, stride=2, padding=1), heights), heights


def strides(side: int, stages: int) -> list[int]:
    """Return the stride of every stage: 2 from the second on, as long as 4 positions a side are left."""
    steps = []
    for stage in range(stages):
        steps.append(2 if stage and -(-side // 2) >= 4 else 1)
        side = -(-side // steps[-1])
    return steps
