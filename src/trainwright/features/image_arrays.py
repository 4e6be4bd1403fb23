"""Arrays of numbers to pixels: which axis is which, and which value is black and which white."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trainwright.features.base import Array
from trainwright.features.media_values import Unreadable

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Levels:
    """The values that become black and white; one pair for the whole column, so that rows stay comparable.

    Attributes:
        low: value of black.
        high: value of white, greater than `low`.
    """

    low: float = 0.0
    high: float = 65_535.0

    @classmethod
    def of(cls, lowest: float, highest: float) -> Levels:
        """Return the levels that a sample's smallest and largest value speak for.

        Full scale is 1 for shares, 255 for bytes and 2^k - 1 for k-bit counts (a 12-bit sensor stored in 16
        bits is then not almost black); anything else, such as digits of 0 to 16, takes its own extremes.
        """
        if lowest < 0:
            symmetric = lowest >= -1 and highest <= 1
            return cls(-1.0, 1.0) if symmetric else cls(lowest, max(highest, lowest + 1.0))
        if highest <= 1:
            return cls(0.0, 1.0)
        if highest <= 127:
            return cls(0.0, highest)
        if highest < 2**32:
            return cls(0.0, 2.0 ** max(8, math.ceil(math.log2(highest + 1))) - 1)
        return cls(0.0, highest)

    def apply(self, values: Array) -> Array:
        """Return the values as uint8, 0 at `low` and 255 at `high`; values beyond are clipped.

        Raises:
            Unreadable: a value is NaN or infinite.
        """
        if values.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return values
        scaled = (values.astype(np.float64) - self.low) * (255.0 / (self.high - self.low))
        check_finite(scaled)
        return (np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)


def check_finite(values: Array) -> None:
    """Check a picture's values.

    Raises:
        Unreadable: one is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise Unreadable("the image holds values that are not finite numbers")


def shaped(array: Array, height: int | None, width: int | None) -> Array:
    """Return an array as [height, width, 1, 3 or 4 channels].

    Args:
        array: [h, w], [h, w, c], [c, h, w], or the flat pixels of a grey image.
        height, width: how a flat array folds; as a square without them.

    Raises:
        Unreadable: the numbers form no image, or could form two.
    """
    if array.size == 0:
        raise Unreadable("the array is empty or its rows differ in length")
    if array.ndim == 1:
        return _folded(array, height, width)
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3 and array.shape[2] in _CHANNELS:
        return array
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        return np.ascontiguousarray(array.transpose(1, 2, 0))
    raise Unreadable("an image array has the axes [height, width] or [height, width, channels 1, 3 or 4]")


def _folded(array: Array, height: int | None, width: int | None) -> Array:
    if height and width and array.size == height * width:
        return array.reshape(height, width, 1)
    side = math.isqrt(array.size)
    if side * side == array.size:
        return array.reshape(side, side, 1)
    # A flat colour image lies by pixel or by colour plane, and nothing in it tells which.
    raise Unreadable(
        "flat pixels fold only into a square grey image (or the options height and width); give nested arrays"
    )
