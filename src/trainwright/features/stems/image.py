"""The image stem: uint8 pixels to normalised floats, with random changes while training.

Everything is tensor work over the whole batch on the pixels' device. Random numbers come from torch's global
generator of that device, which the trainer seeds and checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LUMA = (0.299, 0.587, 0.114)


class ImageStem(nn.Module):
    """({"pixels": uint8 [b, c, h, w]}) → float [b, c, h, w], each channel with mean 0 and deviation 1.

    Args:
        mean: mean of each channel, 0 to 1.
        std: standard deviation of each channel.
        policy: amplitudes of the random changes (see `image_augment.image_policy`).
    """

    mean: Tensor
    std: Tensor
    luma: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], policy: Mapping[str, Any]) -> None:
        super().__init__()
        # The transforms' state holds both; the weights file need not.
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)
        self.register_buffer("luma", torch.tensor(_LUMA if len(mean) == 3 else (1.0,)), persistent=False)
        self.policy = dict(policy)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return normalised, and in training randomly changed, images."""
        pixels = inputs["pixels"]
        if not self.training:
            return self._normalised(pixels.float())
        policy = self.policy
        if policy["rotate"] or policy["scale"]:
            images = affine(pixels.float(), policy)
        elif policy["shift"] or policy["flip"] != "none":
            images = shift_and_flip(pixels, policy).float()
        else:
            images = pixels.float()
        images = self._recoloured(images) if policy["colour"] else self._normalised(images)
        return cut_out(images, policy["cutout"]) if policy["cutout"] else images

    def _normalised(self, images: Tensor) -> Tensor:
        scale = 1 / (255 * self.std)
        return images * scale.view(1, -1, 1, 1) - (self.mean / self.std).view(1, -1, 1, 1)

    def _recoloured(self, images: Tensor) -> Tensor:
        """Change brightness, contrast and saturation, and normalise: one matrix product.

        All are linear: x → brightness · (contrast · (S x - m) + m), with m the image's mean luma and S the
        blend of a colour with its own luma.
        """
        rows, channels, _, _ = images.shape
        luma = self.luma
        change = (1 + self.policy["colour"] * (2 * torch.rand(3, rows, device=images.device) - 1)).view(
            3, rows, 1, 1
        )
        brightness, contrast, saturation = change.unbind()
        grey = luma.expand(channels, channels)
        blend = saturation * torch.eye(channels, device=images.device) + (1 - saturation) * grey
        flat = images.flatten(2)
        level = (flat.mean(dim=2) * luma).sum(dim=1).view(rows, 1, 1)
        scale = 1 / (255 * self.std).view(1, -1, 1)
        matrix = brightness * contrast * scale * blend
        offset = brightness * (1 - contrast) * level * scale - (self.mean / self.std).view(1, -1, 1)
        return torch.baddbmm(offset.expand(rows, channels, 1), matrix, flat).view_as(images)


def _mirrored(rows: int, flip: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return for every row whether it is mirrored left to right and top to bottom, bool [rows]."""
    draw = torch.rand(2, rows, device=device) < 0.5
    never = torch.zeros_like(draw[0])
    return draw[0] if flip != "none" else never, draw[1] if flip == "both" else never


def shift_and_flip(pixels: Tensor, policy: Mapping[str, Any]) -> Tensor:
    """Move every image by whole pixels and mirror some: one gather.

    Args:
        pixels: [b, c, h, w] of any type.
        policy: "shift", "flip" and "background".
    """
    rows, channels, height, width = pixels.shape
    device = pixels.device
    across, down = _mirrored(rows, policy["flip"], device)
    index, inside = [], []
    for size, flipped in ((height, down), (width, across)):
        most = min(round(policy["shift"] * size), size - 1)
        moved = torch.arange(size, device=device) + torch.randint(-most, most + 1, (rows, 1), device=device)
        inside.append((moved >= 0) & (moved < size))
        moved = (size - 1) - ((size - 1) - moved.abs()).abs()  # mirrored at the border
        index.append(torch.where(flipped.unsqueeze(1), size - 1 - moved, moved))
    flat = (index[0].unsqueeze(2) * width + index[1].unsqueeze(1)).view(rows, 1, height * width)
    out = pixels.flatten(2).gather(2, flat.expand(rows, channels, height * width)).view_as(pixels)
    if policy["background"] is None:
        return out
    outside = ~(inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1)
    return out.masked_fill(outside, policy["background"])


def affine(images: Tensor, policy: Mapping[str, Any]) -> Tensor:
    """Mirror, turn, scale and move every image by its own amounts: one bilinear resampling.

    Args:
        images: float [b, c, h, w].
        policy: "flip", "rotate" (degrees), "scale", "shift" and "background".
    """
    rows, _, height, width = images.shape
    device = images.device
    across, down = _mirrored(rows, policy["flip"], device)
    draw = 2 * torch.rand(4, rows, device=device) - 1
    angle = draw[0] * math.radians(policy["rotate"])
    zoom = 1 / (1 + draw[1] * policy["scale"])  # the matrix leads from output to input
    shift = 2 * policy["shift"]
    sign_x, sign_y = 1 - 2 * across.float(), 1 - 2 * down.float()
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    # Coordinates run from -1 to 1 along both sides, so a rotation of pixels is stretched by the proportions.
    to_x = torch.stack([cos * sign_x, -sin * sign_y * (height / width), shift * draw[2]], dim=1)
    to_y = torch.stack([sin * sign_x * (width / height), cos * sign_y, shift * draw[3]], dim=1)
    grid = F.affine_grid(torch.stack([to_x, to_y], dim=1), list(images.shape), align_corners=False)
    background = policy["background"]
    fill = 0 if background is None else background
    padding = "reflection" if background is None else "zeros"
    moved: Tensor = F.grid_sample(images - fill, grid, padding_mode=padding, align_corners=False)
    return moved + fill


def cut_out(images: Tensor, share: float) -> Tensor:
    """Set a square of every image to the mean, its centre anywhere (DeVries & Taylor 2017).

    Args:
        images: normalised, [b, c, h, w].
        share: side of the square as a share of the shorter side.
    """
    rows, _, height, width = images.shape
    half = share * min(height, width) / 2
    centre = torch.rand(2, rows, 1, device=images.device)
    down = (torch.arange(height, device=images.device) + 0.5 - centre[0] * height).abs() < half
    across = (torch.arange(width, device=images.device) + 0.5 - centre[1] * width).abs() < half
    return images.masked_fill((down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1), 0)
