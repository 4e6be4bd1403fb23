"""What a sample of images says about a column: size, channels, value range and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainwright.features.base import Array
from trainwright.features.image_arrays import Levels

_GREY_SPREAD = 4 / 255
"""Largest difference between the channels of a grey pixel, as a share of the range: JPEG rounds."""

_MULTIPLE = 8
"""Reduced sides are multiples of this, so that strides and patches come out even."""

_SMALLEST_STD = 0.01
"""Floor of a channel's deviation, 0 to 1: blank images would be divided by nothing."""


@dataclass(frozen=True)
class Probe:
    """One image of the sample, as numbers that take no room.

    Attributes:
        height, width: size of the original, as seen.
        deep: its values are no bytes of 0 to 255 and need `Levels`.
        grey: its channels are equal.
        low, high: smallest and largest value.
        mean: mean of each channel, [3].
        square: mean square of each channel, [3].
        border: median of the outermost pixels.
    """

    height: int
    width: int
    deep: bool
    grey: bool
    low: float
    high: float
    mean: Array
    square: Array
    border: float


def probe(pixels: Array, *, height: int, width: int, deep: bool) -> Probe:
    """Measure one image.

    Args:
        pixels: the image as stored, or a reduced copy, [h, w, 1 or 3].
        height, width: size of the original.
        deep: see `Probe`.
    """
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float64)
    low, high = float(planes.min()), float(planes.max())
    scale = max(high - low, 1e-12) if deep else 255.0
    edge = np.concatenate([planes[:, 0], planes[:, -1], planes[:, :, 0], planes[:, :, -1]], axis=1)
    return Probe(
        height=height,
        width=width,
        deep=deep,
        grey=float((planes.max(axis=0) - planes.min(axis=0)).max()) <= _GREY_SPREAD * scale,
        low=low,
        high=high,
        mean=np.broadcast_to(planes.mean(axis=(1, 2)), 3),
        square=np.broadcast_to(np.square(planes).mean(axis=(1, 2)), 3),
        border=float(np.median(edge)),
    )


def typical_size(probes: Sequence[Probe], longest: int) -> tuple[int, int]:
    """Return the (height, width) that fits a sample: its median proportions and its median longer side.

    Images up to `longest` keep their size to the pixel; larger ones are reduced to it.
    """
    sizes = np.array([(image.height, image.width) for image in probes], dtype=np.float64)
    proportion = float(np.exp(np.median(np.log(sizes[:, 1] / sizes[:, 0]))))
    side = float(np.median(sizes.max(axis=1)))
    height, width = (side / proportion, side) if proportion >= 1 else (side, side * proportion)
    if side <= longest:
        return max(1, round(height)), max(1, round(width))
    return _even(height * longest / side, longest), _even(width * longest / side, longest)


def _even(side: float, longest: int) -> int:
    if round(side) == longest:  # what the user asked for stands
        return longest
    return max(_MULTIPLE, round(side / _MULTIPLE) * _MULTIPLE) if longest > _MULTIPLE else max(1, round(side))


def learn_levels(probes: Sequence[Probe]) -> Levels:
    """Return black and white of images that are not made of bytes; 16 bits where the sample has none."""
    deep = [image for image in probes if image.deep]
    if not deep:
        return Levels()
    return Levels.of(min(image.low for image in deep), max(image.high for image in deep))


def learn_statistics(
    probes: Sequence[Probe], levels: Levels, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Return mean and deviation of each channel, 0 to 1, and the usual value at the border, 0 to 255.

    Every image weighs the same, whatever its size.
    """
    mean, square = np.stack([image.mean for image in probes]), np.stack([image.square for image in probes])
    border = np.array([image.border for image in probes])
    deep = np.array([image.deep for image in probes])
    low = np.where(deep, levels.low, 0.0)
    scale = np.where(deep, 1 / (levels.high - levels.low), 1 / 255)
    shift, factor = low[:, None], scale[:, None]
    square = (square - 2 * shift * mean + shift**2) * factor**2
    mean = (mean - shift) * factor
    total = mean.mean(axis=0)
    deviation = np.sqrt(np.maximum(square.mean(axis=0) - total**2, _SMALLEST_STD**2))
    background = float(np.clip(np.median((border - low) * scale), 0, 1))
    means, deviations = (tuple(np.round(moment[:channels], 6).tolist()) for moment in (total, deviation))
    return means, deviations, round(255 * background)
