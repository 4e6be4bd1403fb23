"""Images: files, bytes or pixel arrays to uint8 pixels of one size, augmented on the device."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from trainwright.features.base import FEATURES, Array, Context, Encoded, FeatureOptions
from trainwright.features.image_arrays import Levels, check_finite, shaped
from trainwright.features.image_augment import ImageAugment, image_policy
from trainwright.features.image_files import (
    Canvas,
    ResizeMode,
    draw,
    open_image,
    pad,
    picture_of,
    to_channels,
)
from trainwright.features.image_sample import Probe, learn_levels, learn_statistics, probe, typical_size
from trainwright.features.learned import LearnedFeature, LearnedInput
from trainwright.features.media_values import (
    Unreadable,
    Value,
    first_reason,
    in_threads,
    media_values,
    read_bytes,
    sample_rows,
)
from trainwright.foundation.errors import DataError

if TYPE_CHECKING:
    from torch import nn

_SAMPLE = 1_000
"""Images that size, channels and statistics are learned from."""

_STRETCH = 1.25
"""Change of proportions from which an image is counted as stretched, cropped or padded."""

_SMALL_FILE = 8_192
"""Bytes of a file in memory below which threads slow each other down (5,600 a second become 3,700)."""

_SIDE = 2_048
"""Largest side of an encoded image, in pixels."""


class ImageOptions(FeatureOptions):
    """Options of an image column."""

    height: int | None = Field(
        None, ge=1, le=_SIDE, description="Height in pixels; by the training images and size."
    )
    width: int | None = Field(
        None, ge=1, le=_SIDE, description="Width in pixels; by the training images and size."
    )
    size: int = Field(
        96,
        ge=4,
        le=_SIDE,
        description="Longest side that larger images are reduced to, smaller ones keep theirs. Work and "
        "memory grow with its square: raise it (to 224, say) where small details decide.",
    )
    channels: Literal["auto", 1, 3] = Field(
        "auto", description="1 (grey) or 3 (colour); auto: 1 when all training images are grey."
    )
    resize: ResizeMode = Field(
        "squash",
        description="What happens to other proportions. squash: stretched; nothing is lost, and as the size "
        "has the typical proportions few images change. crop: cut at the borders. pad: grey borders added.",
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        le=178_956_970,
        description="Images of more pixels are refused unread, because a few bytes can claim gigabytes.",
    )
    augment: ImageAugment = Field(
        ImageAugment(), description="Random changes of training images; by the data."
    )


class LearnedImages(LearnedInput):
    """What an image column learned."""

    height: int = Field(ge=1, le=_SIDE)
    width: int = Field(ge=1, le=_SIDE)
    channels: Literal[1, 3]
    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    background: int = Field(ge=0, le=255)

    @model_validator(mode="after")
    def _fits(self) -> LearnedImages:
        if not (
            len(self.mean) == len(self.std) == self.channels and min(self.std) > 0 and self.low < self.high
        ):
            raise ValueError("the statistics of the images do not fit together")
        return self


@FEATURES.register("image")
class ImageFeature(LearnedFeature):
    """A column of images: paths, URLs, file contents, or arrays of pixels.

    Encodes to "pixels" uint8 [rows, channels, height, width] and "present" bool [rows]; a missing or broken
    image is black and not present. Size, channels, value range and statistics are learned from a seeded
    sample of 1,000 training images.
    """

    type = "image"
    modality = "image"
    Options = ImageOptions
    Input = LearnedImages

    learned_: LearnedImages

    def fit(self, values: pl.Series, context: Context) -> None:
        """Learn size, channels, value range and statistics.

        Raises:
            DataError: not one image of the sample can be read.
        """
        sample = media_values(sample_rows(values, _SAMPLE, context, "image", self.name), self.name)
        with _no_warnings():
            seen = in_threads(
                lambda row: self._probe(sample[row], context.root), len(sample), context.workers
            )
        probes = [image for image in seen if isinstance(image, Probe)]
        if not probes:
            reason = first_reason([image for image in seen if isinstance(image, Unreadable)])
            raise DataError(
                f"none of the {len(sample)} images looked at can be read ({reason})",
                where=f"column '{self.name}'",
                fix="mend the files or leave the column out",
            )
        options = self.options
        channels = options.channels
        if channels == "auto":
            channels = 1 if all(image.grey for image in probes) else 3
        height, width = _chosen_size(options.height, options.width, typical_size(probes, options.size))
        levels = learn_levels(probes)
        mean, std, background = learn_statistics(probes, levels, channels)
        self.learned_ = LearnedImages(
            height=height,
            width=width,
            channels=channels,
            low=levels.low,
            high=levels.high,
            mean=mean,
            std=std,
            background=background,
            notes=self._notes(probes, height, width, levels),
        )

    def _notes(self, probes: Sequence[Probe], height: int, width: int, levels: Levels) -> tuple[str, ...]:
        """Return what was decided and may surprise, one sentence each."""
        notes = []
        if any((image.height, image.width) != (height, width) for image in probes):
            notes.append(f"Images are brought to {width} x {height} pixels; option size changes that.")
        if self.options.channels == "auto" and all(image.grey for image in probes):
            notes.append("All images looked at are grey, so one channel is kept.")
        if any(image.deep for image in probes) and (levels.low, levels.high) != (0.0, 255.0):
            notes.append(f"Pixel values from {levels.low:g} to {levels.high:g} become black to white.")
        return tuple(notes)

    def _probe(self, value: str | bytes | Array | None, root: str | None) -> Probe | Unreadable | None:
        options = self.options
        try:
            if value is None:
                return None
            if isinstance(value, np.ndarray):
                pixels = shaped(value, options.height, options.width)[:, :, :3]
                height, width, deep = *pixels.shape[:2], True
                step = -(-max(height, width) // _SIDE)
                pixels = pixels[::step, ::step]
            else:
                opened = open_image(read_bytes(value, root), max_pixels=options.max_pixels)
                height, width = opened.height, opened.width
                share = min(1.0, options.size / max(height, width))
                pixels = draw(opened, Canvas(max(1, round(height * share)), max(1, round(width * share))))
                deep = pixels.dtype != np.uint8
            if options.channels == 1:
                pixels = to_channels(pixels, 1)
            check_finite(pixels)
            return probe(pixels, height=height, width=width, deep=deep)
        except Unreadable as reason:
            return reason

    def encode(self, values: pl.Series, context: Context) -> Encoded:
        """Return "pixels" uint8 [rows, channels, height, width] and "present" bool [rows]."""
        learned = self.learned_
        items = media_values(values, self.name)
        rows = len(items)
        pixels = np.zeros((rows, learned.channels, learned.height, learned.width), dtype=np.uint8)
        present = np.zeros(rows, dtype=bool)
        reshaped = np.zeros(rows, dtype=bool)
        broken: dict[int, str] = {}
        reader = self._reader(context.root)

        def one(row: int) -> None:
            value = items[row]
            if value is None:
                return
            try:
                picture, reshaped[row] = reader(value)
            except Unreadable as reason:
                broken[row] = str(reason)
                return
            pixels[row] = picture.transpose(2, 0, 1)
            present[row] = True

        with _no_warnings():
            in_threads(one, rows, _threads(items, context.workers))
        word = {"squash": "stretched", "crop": "cropped", "pad": "padded"}[self.options.resize]
        count = int(reshaped.sum())
        return Encoded(
            {"pixels": pixels, "present": present},
            broken=dict(sorted(broken.items())),
            counts={word: count} if count else {},
        )

    def _reader(self, root: str | None) -> Callable[[str | bytes | Array], tuple[Array, bool]]:
        """Return the function from a value to uint8 [h, w, c] and whether its proportions changed much."""
        learned, options = self.learned_, self.options
        fill = round(255 * sum(learned.mean) / learned.channels)
        canvas = Canvas(learned.height, learned.width, options.resize, fill)
        levels = Levels(learned.low, learned.high)
        proportion = learned.width / learned.height

        def read(value: str | bytes | Array) -> tuple[Array, bool]:
            if isinstance(value, np.ndarray):
                opened = picture_of(levels.apply(shaped(value, options.height, options.width)))
            else:
                opened = open_image(read_bytes(value, root), max_pixels=options.max_pixels)
            picture = draw(opened, canvas)
            if picture.dtype != np.uint8:
                picture = levels.apply(picture)
            change = opened.width / opened.height / proportion
            return pad(to_channels(picture, learned.channels), canvas), max(change, 1 / change) > _STRETCH

        return read

    def decode(self, encoded: Encoded) -> pl.Series:
        """Return the encoded pictures as PNG files (Binary), null where there is none."""
        from PIL import Image

        pixels, present = encoded.arrays["pixels"], encoded.arrays["present"]
        assert isinstance(pixels, np.ndarray)
        assert isinstance(present, np.ndarray)

        def png(picture: Array) -> bytes:
            stream = io.BytesIO()
            Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)).save(
                stream, "PNG"
            )
            return stream.getvalue()

        files = [png(picture) if there else None for picture, there in zip(pixels, present, strict=True)]
        return pl.Series(self.name, files, dtype=pl.Binary)

    def spec(self) -> dict[str, Any]:
        """Return sizes, statistics and the augmentation policy with its reasons."""
        learned = self.learned_
        policy = image_policy(
            self.options.augment,
            channels=learned.channels,
            height=learned.height,
            width=learned.width,
            background=learned.background,
        )
        return {
            "channels": learned.channels,
            "height": learned.height,
            "width": learned.width,
            "mean": list(learned.mean),
            "std": list(learned.std),
            "augment": policy,
        }

    def stem(self) -> nn.Module:
        """Return the module that normalises, and in training varies, the pixels on the device."""
        from trainwright.features.stems.image import ImageStem

        spec = self.spec()
        return ImageStem(spec["mean"], spec["std"], spec["augment"])


def _chosen_size(height: int | None, width: int | None, typical: tuple[int, int]) -> tuple[int, int]:
    """Return the size asked for; one side alone takes the other from the typical proportions."""
    if height and width:
        return height, width
    if height:
        return height, min(_SIDE, max(1, round(height * typical[1] / typical[0])))
    if width:
        return min(_SIDE, max(1, round(width * typical[0] / typical[1]))), width
    return typical


def _threads(values: Sequence[Value], workers: int) -> int:
    """Return how many threads decode: one where Python's own share of the work is the larger part."""
    known = [value for value in values if isinstance(value, bytes | np.ndarray)]
    size = sum(len(value) if isinstance(value, bytes) else value.nbytes for value in known)
    return 1 if known and size < _SMALL_FILE * len(known) else workers


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Silence Pillow on odd and large files: what cannot be used is refused with a reason instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
